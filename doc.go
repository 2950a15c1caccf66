//go:generate go run ./scripts/reference docs/configuration.md

// Package sluice holds the words that every room of Sluice shares: [Record] and [Batch], and their stored form.
//
// Logs arrive in waves. Sluice takes them in, keeps them safe on disk until they are analyzed, and runs exactly as many
// analyzers as the backlog needs. The data flows one way:
//
//	emitter -> distributor -> queue -> analyzer -> sink
//
// An emitter sends records. The distributor checks them, gathers them into batches and puts each batch into the queue;
// it answers once the batch is on disk. An analyzer leases a batch, runs a handler over it and acknowledges it. The
// autoscaler stands beside this flow: it looks at the depth of the queue and tells the pool of analyzers how large to be.
//
// # Promises
//
//   - A record that was answered with 2xx is on disk.
//   - Every record that was accepted is analyzed, or kept in the dead letters with its error, or still waiting. Delivery is
//     at least once: after a crash a batch may be analyzed again.
//   - A record keeps the fields that Sluice does not know, byte for byte.
//
// The rooms are the packages below this one: emitter, distributor, queue, analyzer and autoscale. The command is
// cmd/sluice.
package sluice
