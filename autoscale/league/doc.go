// Package league lets other policies play along while a system runs, and says what each of them would have cost.
//
// Every contestant, the policy in charge included, has a small simulated queue and pool of its own, those of
// autoscale/simulate. Once a second somebody brings what really arrived, and what the real pool did:
//
//	l, err := league.New(league.Options{
//		Contestants: []league.Contestant{{Policy: slo, InCharge: true}, {Policy: hpa}},
//		MinSize: 2, MaxSize: 10, CheckInterval: time.Second, SLO: 30 * time.Second,
//	})
//	...
//	l.Step(league.Second{Time: now, Arrived: 512, Completed: 490, ServiceSeconds: 3.9, Workers: 4})
//	...
//	standing := l.Standing() // from any goroutine
//
// # What is compared
//
// All contestants get the same records and have workers of the same rate, which is learned from the real pool. Until it
// is known nothing is scored. They begin with the size that the real pool has then, and with an empty queue. The real
// pool is measured as well and stands beside the policy in charge: what lies between the two is how far the model is
// from reality (workers that are not alike, batches, a pool that somebody paused).
//
// [League.Change] begins all of that anew, with what was learned of the real pool: scores by different rules cannot be
// added up, so that [Standing] counts from the change on, and says so.
//
// The model knows whole seconds only. An SLO or a check interval between them is rounded up, to a second at least; policies
// should be built with what [WholeSeconds] makes of them.
//
// # Promises
//
//   - The real pool is not touched.
//   - Memory is bounded, however long it goes on and however far a contestant falls behind.
//   - A contestant that panics drops out with its reason; the others go on.
package league
