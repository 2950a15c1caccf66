// Package slo measures whether records are done in time.
//
//	t := slo.New(0.999, time.Now())           // 99.9 % of the records must be in time
//	t.SetSLO(30 * time.Second)                // 0 means unknown
//	t.Done(accepted, time.Now(), 500)         // the queue calls it at each acknowledgement
//	report := t.Report(time.Now())            // windows of an hour, a day and a week
//
// A [Tracker] is a queue.Observer: the queue reports records at the moment that it takes their acknowledgement.
//
// # Definition
//
// The wait of a record is the time from its acceptance (accepted_at of its batch) until the queue takes the acknowledgement that
// completes it. Both are read from the clock of the process that has the queue, in nanoseconds, and nothing is rounded; a wait below
// zero, after the clock was set back, is zero. A record is late if its wait is longer than the SLO that is in force at the
// acknowledgement; a wait of exactly the SLO is in time. Failed attempts, pauses between them, handing back, splits, restarts and the
// time as a dead letter are part of the wait. Every record counts once, at its acknowledgement. Records that became dead letters are
// counted apart, as often as they do; records that a person drops are not counted.
//
// While the SLO is unknown records are done, and are neither late nor in time.
//
// # Windows
//
// A window is put together from slots: minutes for an hour, quarters of an hour for a day, hours for a week. It has every slot that
// began less than the window and one slot ago, so that it covers the time it names and up to a slot more.
//
// # What is kept
//
// The slots are kept in a file of the data folder, see [Tracker.Keep]. Counts since the start of the process are not.
package slo
