// Package top is the overview of a running process in a terminal: is it keeping up, how many analyzers are there and why, and what each
// of them does.
//
//	err := top.Run(ctx, top.Options{Client: client, Address: url, Interval: time.Second, In: os.Stdin, Out: os.Stdout})
//
// A [Model] is what is known; it takes looks and keys as plain values and draws itself as lines of text for any size of the screen, so
// that all of that is tested without a terminal. [Run] looks again and again, and leaves the terminal to a library.
//
// # How it fails
//
// A distributor that does not answer is told in the first lines, with the time of the last answer; what was known stays on the screen, and the next look may
// bring it back. Leaving restores the screen, whatever the reason.
package top
