// Package count counts records and bytes by severity and by service, and notes which records of each emitter were
// analyzed. What a record says of both is read as docs/fields.md has it.
//
// [Handler] counts one batch at a time and hands the [Result] to a [Sink]. Only when the sink has taken it is the batch
// done, so a result is never lost; after a crash a batch may be counted again, as delivery is at least once. How often
// that happened can be told for records that carry a sequence number: see [EmitterTotals].
//
// [Totals] adds results up. Its size is bounded, whatever the records say.
package count
