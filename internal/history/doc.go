// Package history keeps how many records arrived in each second, on disk and for some days, so that a simulation can replay
// the traffic of this very installation.
//
//	r := history.New(history.Options{Dir: "data/history", Days: 14, Logger: log})
//	r.Flush(time.Now())    // puts right what a kill left
//	r.Add(time.Now(), 512) // records that arrived in this second
//	r.Flush(time.Now())    // every few seconds
//	r.Close()
//
// # Files
//
// One file per UTC day, 2026-11-24.csv, with the header "second,records" and one row per second with arrivals: the second of
// the day, ascending, and the records. Each file by itself is a trace for `sluice simulate --trace`. A trace takes the
// greatest common divisor of its gaps for the width of its rows; so the second after the first row is there in any case, with 0
// if nothing arrived. Days that are over are compressed, 2026-11-23.csv.gz, and deleted when they are too old. A busy day takes
// about a megabyte, compressed a quarter of that.
//
// # How it fails
//
// Never so that anybody else notices: what cannot be written is told once in the log, and left out. A process that is killed
// loses the seconds since its last flush; what it left half written is put right by the first flush of the next one. A file
// with anything else in it is kept as 2026-11-24.csv.bad-1, with a warning, and its good rows go on in a new one. Where
// the clock was set back, the seconds that are already there are not recorded again until the clock is past them.
package history
