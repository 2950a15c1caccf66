// Package emitter sends log records to a distributor, at a rate you choose, and can tell afterwards what became of each.
//
// A [Client] speaks the distributor's HTTP API. Its Send posts lines of JSON and keeps trying until the distributor has
// answered for every record: it backs off while nothing answers, waits as long as a push-back (503 with Retry-After)
// asks for, and cuts a body in halves that was too large. An application that logs one record at a time puts a
// [Batcher] in front of it:
//
//	client, err := emitter.NewClient("http://127.0.0.1:8000", emitter.ClientOptions{})
//	batcher, err := client.NewBatcher(emitter.BatcherOptions{})
//	err = batcher.Add(ctx, sluice.Record{Severity: "INFO", Body: "user logged in"})
//	err = batcher.Close(ctx)
//
// A [Pool] makes load: some emitters that send generated records, or the lines of a file (see [Replay]), as a [Profile]
// says. The profiles are pure functions of the time since the start: how many records should have been sent by now. They
// hold no rate that could drift and no clock, so an hour of a profile can be checked in a microsecond.
//
// Every generated record carries the name of its emitter and a sequence number. A pool keeps which numbers were sent and
// which were acknowledged; [Verify] asks the distributor which were analyzed or became dead letters, and makes an
// [Account] of it: what was sent, acknowledged, analyzed, lost, analyzed twice.
//
// # Promises
//
//   - Send gives up only when its context ends or the answer is one that no repetition can change. It may deliver a record
//     twice, where an answer was lost on the way; it never reports a record as accepted that was not.
//   - A pool sends exactly as many records as it was told to, each sequence number once.
//   - When a pool is stopped, posts under way get a bounded grace, so that their outcome is known whenever possible.
//   - A record counts as lost only if the distributor acknowledged it, has nothing left to do, and neither analyzed it nor
//     keeps it as a dead letter.
package emitter
