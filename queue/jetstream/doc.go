// Package jetstream is the durable queue: an embedded NATS JetStream server that stores batches in files. It is the only
// room that knows NATS.
//
// # On disk
//
// The batches lie in several streams ("partitions"), because one stream commits one message at a time: with an fsync for
// each, several streams together are several times as fast. A stream keeps a batch until some time after it is acknowledged. The
// subject of a message carries its number of records, so that the server itself knows the depth in records. One more stream holds
// the dead letters.
//
// The server's consumers are only cursors, kept in memory and made anew at each start. What must outlive the process beside
// the batches is in a small file of fixed slots, the journal: how many records were ever accepted, how often each unfinished
// batch was tried, which leases analyzers in other processes hold, and which batches are acknowledged but not deleted. It is
// written in place without fsync: it survives the process, and after a power cut it is put right from the streams.
//
// Deleting a message is dear to the server, so acknowledged ones are deleted together: when they are many, when the analyzers are
// quiet, when space is short, and by Close.
//
// # In memory
//
// The counts of Stats are kept in memory under one lock, so that they add up at any moment, and are taken from the streams
// at each start.
//
// # When the disk is full
//
// Put refuses batches while less than Options.MinFreeBytes are free. Where the disk fills up all the same, the server's
// streams stop taking writes and stay so. The queue then answers [queue.ErrUnavailable], waits for space and starts the
// server anew, in the same process.
package jetstream
