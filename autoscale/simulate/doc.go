// Package simulate answers one question: what would this scaling policy have done on this traffic, and what would it
// have cost?
//
// [ReadTrace] reads arrivals per second or per bin; [Run] plays them, one second at a time, against a queue and a pool
// whose workers take time to start and to leave. The policies are those of package autoscale, and so is the code that
// brings their answers inside the bounds: what is simulated is what runs.
//
//	trace, err := simulate.ReadTrace(file, simulate.TraceOptions{})
//	if err != nil {
//		return err
//	}
//	result, err := simulate.Run(trace, autoscale.DefaultOptions().Threshold(), simulate.Options{
//		Rate: 12.5, Startup: 5 * time.Second, MinSize: 2, MaxSize: 10, SLO: 30 * time.Second,
//	})
//
// A [Stepper] is the same for somebody who brings the arrivals, and perhaps another rate, second by second.
//
// # One second
//
// Workers whose startup is over become ready, drained ones leave; the second's records join the queue; the ready workers
// serve from its front; at a check the policy names a size, and workers start, are cancelled (the youngest first) or
// drain; every worker present costs one worker-second. After the trace the run goes on until the queue is empty, at most
// an hour.
//
// # Promises
//
//   - The same input gives the same output, on every machine: there is no chance, and capacity is kept in integer
//     millionths of a record, since sums of floats drift.
//   - The policy sees nothing of the future.
//   - Records are served first in, first out, and every one of them is accounted for; what still waits at the end counts
//     as late.
//   - A week of one-second traffic takes a few seconds.
package simulate
