// Package demo shows Sluice at work: it makes load, lets people watch, and ends with an account of every record.
//
//   - [Autoscaling] shows a pool that grows under load and shrinks after it.
//   - [Failure] kills analyzer processes while they work.
//   - [Weights] shows analyzers with more slots taking more of the work.
//
// A demo starts what it needs on free ports of the loopback address, with its data in a temporary folder, and leaves nothing
// behind. It is made of the same parts as every other process of Sluice and looks at them from outside, over HTTP, as anybody
// could.
//
// # Promises
//
//   - The [Account] follows single records: emitted = accepted = analyzed is not a comparison of sums.
//   - When its context ends, a demo stops at once and accounts for what happened so far.
//   - When it returns, its goroutines and processes have ended and its folder is gone.
//
// What is drawn is made by functions of plain values, such as [Chart]; a [Screen] puts it on a terminal, or prints a line now
// and then where there is none.
package demo
