// Package tune finds good settings of a policy for given traffic: those that cost the least while hardly a record is late.
//
// [Search] replays a trace with many settings, in the model of package simulate, and says how cost and late records trade for
// each other, which settings it recommends, and what the policy's defaults would have done. [Replay] plays one policy the same
// way, to have something to compare with.
//
//	result, err := tune.Search(ctx, trace, "threshold", tune.Options{
//		Simulate: simulate.Options{Rate: 12.5, MinSize: 2, MaxSize: 20, SLO: 30 * time.Second},
//	})
//	if err != nil {
//		return err
//	}
//	if best := result.Recommended; best != nil {
//		fmt.Println(best.Settings)
//	}
//
// # How it looks
//
// First it tries a fixed grid, [Shapes]. What a setting calls records is there a share of what one worker completes within
// the SLO, so that one grid fits fast and slow workers. Then it walks from the best of the grid, and from those a little cheaper or a
// little less late, to better neighbours, in smaller steps towards the end, until there is none. Of the cheapest ones that are
// in time where they were found, it recommends the first that is in time on the rest, too.
//
// # Promises
//
//   - The same input gives the same output, however many runs go on at once: there is no chance in it.
//   - Settings that fit the past by accident are told apart: they are found on the first part of a trace and judged on the
//     rest, where the trace is long enough for both.
//   - It recommends nothing that was late for more records than allowed. Where no settings are in time, it says so by
//     recommending none.
//   - A context that ends makes it return the best so far.
package tune
