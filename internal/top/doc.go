// Package top is sluice top: what a person wants to see of a running Sluice at three in the morning, in a terminal. Is it keeping up, what is
// wrong, how many analyzers are there and why.
//
// A [State] is fed with looks and draws frames of any size; both are plain values, no clock and no terminal. [Run] is the loop around it:
// it looks once per interval, over the HTTP API, and hands frames to the terminal. A distributor that is away is said, with how long, over the
// last that was seen, and looked for until it is back.
//
// What is kept is bounded: an hour of points for the charts, a thousand decisions.
package top
