// Package autoscale names how many workers should be running, and says why.
//
// A [Controller] repeats one small loop: look at the backlog and the pool, ask a [Policy] for a size, tell the pool.
// Looking and telling are interfaces ([Observer] and [Pool]), so any worker pool can be scaled: goroutines, processes,
// machines. The package knows neither logs nor queues and needs nothing but the standard library.
//
//	scaler, err := autoscale.New(pool, autoscale.DepthFunc(queueDepth), autoscale.Options{})
//	if err != nil {
//		return err
//	}
//	return scaler.Run(ctx) // until ctx ends
//
// # How a size comes about
//
// At every check the policy proposes a size and gives its reason. [Decide] then brings the proposal inside the bounds;
// last, an operator's word ([Controller.Pause], [Controller.Force]) outranks both. Each step that changed the number is
// kept as a [Clamp] by name, so a [Decision] shows the whole way from the size that was named to the size that came out.
//
// Policies do arithmetic on plain values and take the time from the [Observation]. That is why the package
// autoscale/simulate can replay a day of traffic through the very code that runs live.
//
// # Promises
//
//   - The size stays between Options.MinSize and Options.MaxSize, unless somebody forces another one.
//   - Unknown is not zero: a failed, late or panicking look keeps the present size. It never shrinks the pool.
//   - The loop keeps checking: neither a slow drain nor a stuck observer holds it up.
//   - Every check leaves a decision with a reason a person can read, the check that changed nothing included.
//   - Memory is bounded: the ledger keeps the newest Options.LedgerSize decisions.
//
// # How it fails
//
// A failing [Pool] or [Observer] is never fatal: the check holds, the decision carries the error, the next check tries
// again. [New] refuses impossible options and names all of their problems at once. For "why does it behave like this?"
// there is [Diagnose], which reads the ledger and names the setting to change.
package autoscale
