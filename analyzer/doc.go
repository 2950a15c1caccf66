// Package analyzer runs a handler over batches of records, with as many analyzers as it is told.
//
// A [Handler] looks at one batch and returns its verdict as an error. A [Pool] leases batches from a queue (in this
// process or over HTTP, the pool cannot tell), calls the handler, extends the lease while the handler works, and
// acknowledges. Each analyzer of the pool works on a few batches at once, its slots, and never leases more than it has
// slots free for.
//
// # The verdict
//
//   - nil: all records of the batch are done.
//   - [RetryAfter]: try again after this time.
//   - [Discard]: hopeless, make it a dead letter now.
//   - [FailRecords]: these records failed, each with a verdict of its own; all others are done.
//   - any other error: failed, try again when the queue thinks fit.
//
// A verdict is recognised inside an error that wraps it with %w; where several are nested, the outermost counts. A
// panic in the handler is an ordinary failure of its batch.
//
// # What a handler must know
//
//   - It is called from several goroutines at once, each with its own batch.
//   - Delivery is at least once: after a crash or a lost lease the same records come again.
//   - It must return soon after its context ends. That happens when the lease is lost, so that somebody else may have the
//     batch, and when the pool lets go of the batch because its time to drain is over. A handler that goes on all the same
//     wastes its work: the batch is analyzed again, and its verdict is not asked for.
//
// # Growing and shrinking
//
// [Pool.Resize] returns at once. A growing pool first calls back the analyzers that are on their way out, then starts
// new ones. A shrinking pool parts with idle analyzers first, then with those that have the fewest batches in hand, and
// among equals with the youngest. An analyzer that must go stops leasing at once, finishes what it has in hand within
// [Options].DrainTimeout, and hands back what is left then, which costs that batch no attempt.
//
// # Promises
//
//   - A batch that was leased is acknowledged, handed back as failed, handed back untouched, or known to be lost to the
//     pool because its lease ended. [Totals] counts each under exactly one of the four.
//   - Totals never go backwards when analyzers leave, and contain what was finished during a drain.
//   - A queue that cannot be reached stops nothing: the analyzers keep asking, and the log says so once.
package analyzer
