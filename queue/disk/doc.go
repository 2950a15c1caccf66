// Package disk is the durable queue of one machine: two append-only logs in a folder that one process at a time may open.
//
// # On disk
//
// A log is a sequence of checksummed entries in segment files; entry.go has the format. The first log, *.batches, holds
// the batches. [Queue.Put] appends the batches of all calls that arrived during the previous commit as one group, with one
// write and one fdatasync. A new segment starts at Options.SegmentBytes. The folder is synced when a file is new, before
// the first answer that depends on it.
//
// The second log, *.notes, holds facts about records: done, lost, or part of a group of records that waits, is leased or
// is dead; notes.go has the format. A note is written before the call that it is about returns, and synced within a
// second. Facts may be read twice, so a snapshot consists of all facts once more, in a new file that replaces the old one.
//
// Records are numbered from 1 in the order of acceptance, without gaps. Completion and loss are sets of these numbers:
// completing a record twice changes nothing, and a number that is in no readable entry and in no set is missing.
//
// A segment without unfinished records is deleted, whatever its place in the log; facts about its records are synced
// before. If the segments take more than twice the bytes of unfinished batches and a segment besides, unfinished batches
// are copied from the segment with the smallest share of them to the end of the log. A copy keeps its record numbers. A
// batch occupies space until its last record is finished; a dead letter is unfinished until an operator retries or drops
// it.
//
// # In memory
//
// Batches that were never leased are not in memory: a cursor reads them in order. A batch that was leased has an entry with
// its position and parts, the sets of its records that share a state and a number of attempts. All counts of
// [queue.Stats] change under one lock, each when a record changes its state. None is computed from the others, so their
// sum can be compared with the number of accepted records; Open does that.
//
// # Promises
//
//   - With [Disk], a Put that returned nil survives a power cut; with [Process], the end of the process.
//   - An acknowledgement survives the end of the process. A power cut may undo those of the last second: these batches are
//     analyzed again.
//   - A lease ends by the clock of this process. Any call with its token after that gets [queue.ErrLeaseExpired]. Leases
//     of this process end with it, which counts as an attempt unless Close handed them back; those of other processes
//     survive and last one lease time from the start.
//   - accepted = completed + dead + waiting + in flight + lost.
//
// # Failures
//
// Damage. The engine passes over a stretch that it can't read to the next valid header, logs "damaged on disk" with segment
// and offset, and copies the bytes to a file that ends in .bad. It neither cuts nor repairs a file. A batch with a valid
// header and an unreadable payload becomes a dead letter. Records with a damaged header, or of a segment that is missing,
// are counted as lost and logged by number. The end of the last segment is an exception: a group that is incomplete and was
// not answered is the unfinished write of a crash, and nothing is lost. If notes are damaged or missing, batches may be
// analyzed again, and numbers outside of the segments that are there count as completed.
//
// I/O errors. After a failed write or sync Put returns [queue.ErrUnavailable] and the segment is never written again: the
// operating system may hold pages for clean that the disk does not have. The next Put starts a segment, whose first
// ordinal voids the entries of the failed group. [Queue.Healthy] returns the error until storing succeeds; once a second
// the engine tries. A read is tried three times before its bytes count as damaged.
//
// Full disk. Put returns a [queue.FullError] below Options.MinFreeBytes, and when a write finds no space. Leases and
// acknowledgements continue, in zeros that are written ahead of the notes, 1 to 2 MiB; beyond that they continue in memory,
// and a crash repeats work. A snapshot follows when there is space. Open needs no space.
//
// Slow disk. Calls wait; no timeout is taken for an error.
//
// Replaced files. After each write, and once a second, the engine compares LOCK and the segments with the files that it
// opened, and checks that the folder is writable. If the folder, LOCK or the current segment was replaced, Put returns
// [queue.ErrUnavailable]. Open batches of a segment that was removed are copied to another from the open file.
package disk
