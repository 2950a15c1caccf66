// Package rivals holds the rules of other autoscalers as policies, so that they can be compared on the same traffic, in
// the simulator or in the shadow of a live pool.
//
// Each one decides as its product does with the product's defaults, as far as a pool behind a queue lets it. What had to
// be adapted is small and the same everywhere, apart from what the types say themselves:
//
//   - The signal is the queue. Products that measure processor load, requests or lag get the records that wait, and those
//     that count what is in work too get the busy workers on top: a worker works on one record at a time.
//   - A product has a rhythm of its own. Checks between two of its evaluations hold; where checks are rarer than its
//     rhythm it evaluates at every check.
//   - The bounds are those of the pool and take the place of the product's own.
//   - A check without a reading is a metric that could not be read. All of them then keep the size.
//
// # Sources
//
//   - [Static]: a pool that somebody sized by hand.
//   - [HPA]: Kubernetes, pkg/controller/podautoscaler/horizontal.go and replica_calculator.go, and its page "Horizontal
//     Pod Autoscaling"; KEDA, pkg/scaling/executor and the scalers' defaults. Adapted: one metric, external with target
//     type AverageValue; every worker counts as a replica from the moment it is asked for.
//   - [KPA]: Knative Serving, pkg/autoscaler/scaling/autoscaler.go, pkg/autoscaler/aggregation and
//     pkg/autoscaler/config. Adapted: concurrency is waiting records and busy workers; between two checks it is taken to
//     have been what the later one saw; activator and burst capacity have no counterpart.
//   - [DS2]: Flink Kubernetes operator, flink-autoscaler (ScalingMetricEvaluator, JobVertexScaler, ScalingExecutor), after
//     the paper "Three steps is all you need" (Kalavri et al.). Adapted: one stage; lag is the waiting records; the pool
//     goes on working while it is resized.
//   - [Backlog]: Amazon EC2 Auto Scaling, pages "Scaling policy based on Amazon SQS" and "Target tracking scaling
//     policies". Adapted: the steps of scaling in are not published and assumed.
//   - [Celery]: Celery, celery/worker/autoscale.py. Adapted: one Celery node whose processes are the workers.
//   - [Nomad]: Nomad Autoscaler, policy/handler.go and plugins/builtin/strategy/target-value. Adapted: one check, on the
//     waiting records.
//
// Policies keep bounded state and read no clock, as [autoscale.Policy] asks.
package rivals
