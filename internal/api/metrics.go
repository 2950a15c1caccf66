package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicehq/sluice/internal/slo"
)

// metrics serves what /v1/stats says in the conventions of Prometheus, and the figures of the Go runtime.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// One snapshot for all, so that the numbers of a scrape add up.
		snapshot := prometheus.NewRegistry()
		l, err := s.live(r.Context(), time.Now())
		snapshot.MustRegister(snapshotCollector{l, err == nil})
		promhttp.HandlerFor(prometheus.Gatherers{registry, snapshot}, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

type snapshotCollector struct {
	Live
	ok bool
}

// Describe describes nothing: which metrics there are depends on what the process consists of.
func (snapshotCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the snapshot.
func (c snapshotCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("sluice_"+name, help, names, nil), kind, v, values...)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		send(prometheus.GaugeValue, name, help, v, labels...)
	}
	total := func(name, help string, v float64, labels ...string) {
		send(prometheus.CounterValue, name, help, v, labels...)
	}
	st := c.Stats
	gauge("build_info", "Always 1; the labels say what runs.", 1, "version", st.Version, "role", st.Role)
	for _, state := range States {
		gauge("verdict", "1 for the state of the verdict on this process, 0 for the others.", truth(c.Verdict.State == state), "state", state)
	}
	for _, check := range checks {
		found := slices.ContainsFunc(c.Verdict.Reasons, func(r Reason) bool { return r.Check == check.name && r.State != StateOK })
		gauge("verdict_reason", "1 for each check that is a reason of the verdict; a note is none.", truth(found), "check", check.name)
	}
	if up := 0.0; !c.ok {
		gauge("queue_up", "Whether the queue can be read.", up)
		return
	}
	if q := st.QueueStats; q != nil {
		gauge("queue_up", "Whether the queue can be read.", 1)
		gauge("queue_storing", "Whether the queue takes batches; 0 after a write failed.", truth(q.Problem == ""))
		total("queue_accepted_records_total", "Records ever stored.", float64(q.Accepted))
		total("queue_completed_records_total", "Records analyzed, or dropped from the dead letters.", float64(q.Completed))
		total("queue_lost_records_total", "Accepted records that damage to the files of the queue took.", float64(q.Lost))
		total("queue_redelivered_batches_total", "Leases for a second or later attempt.", float64(q.Redelivers))
		total("queue_hand_backs_total", "Batches handed back without an attempt counted: the analyzer had to leave, or could not work.", float64(q.HandBacks))
		gauge("queue_returning_batches", "Unfinished batches that were handed back again and again.", float64(q.Returning))
		gauge("queue_dead_records", "Records in the dead letters.", float64(q.Dead))
		gauge("queue_depth_records", "Records waiting, not leased.", float64(q.Depth))
		gauge("queue_in_flight_records", "Records leased, not yet acknowledged.", float64(q.InFlight))
		gauge("queue_batches", "Batches waiting or leased.", float64(q.Batches))
		gauge("queue_stored_bytes", "Bytes of these batches as stored.", float64(q.Bytes))
		gauge("queue_limit_bytes", "The most that stored bytes may be.", float64(q.LimitBytes))
		gauge("queue_disk_free_bytes", "Free space on the disk of the queue.", float64(q.FreeBytes))
		gauge("queue_disk_min_free_bytes", "Free space below which records are pushed back.", float64(q.MinFree))
		gauge("queue_oldest_wait_seconds", "Age of the oldest unfinished record.", q.OldestWait)
	}
	if st.Waits != nil && st.QueueStats != nil {
		c.collectWaits(ch, gauge, total)
	}
	if st.Remote != nil {
		gauge("queue_remote_analyzers", "Analyzers of other processes that asked for work in the last two minutes.", float64(*st.RemoteCount))
	}
	if in := st.Ingest; in != nil {
		total("ingest_requests_total", "Bodies offered.", float64(in.Requests))
		total("ingest_rejected_records_total", "Records refused for what they are.", float64(in.Rejected))
		total("ingest_accepted_records_total", "Records stored.", float64(in.Accepted))
		total("ingest_accepted_bytes_total", "Bytes of accepted records.", float64(in.Bytes))
		total("ingest_pushed_back_requests_total", "Bodies refused for now, for want of room.", float64(in.PushedBack))
		total("ingest_too_large_requests_total", "Bodies refused for their size.", float64(in.TooLarge))
	}
	c.collectPool(gauge, total)
}

// collectWaits sends how long records waited. Where the SLO is unknown, so is how many were late.
func (c snapshotCollector) collectWaits(ch chan<- prometheus.Metric, gauge, total func(name, help string, v float64, labels ...string)) {
	w := c.Waits
	buckets := make(map[float64]uint64, len(slo.Bounds))
	for i, bound := range slo.Bounds {
		buckets[bound] = uint64(w.Histogram.Buckets[i])
	}
	ch <- prometheus.MustNewConstHistogram(prometheus.NewDesc("sluice_queue_wait_seconds",
		"Time from the acceptance of a record to the acknowledgement that completed it.", nil, nil), uint64(w.Histogram.Count), w.Histogram.Sum, buckets)
	total("queue_dead_lettered_records_total", "Records that became dead letters.", float64(w.Dead))
	gauge("queue_slo_budget_ratio", "Share of the records that may wait longer than the SLO.", w.Budget)
	if w.SLO != nil {
		gauge("queue_slo_seconds", "Longest wait that a record may have, by which records are judged.", *w.SLO)
	}
	if w.Late != nil {
		total("queue_judged_records_total", "Records completed while the SLO was known.", float64(w.Judged))
		total("queue_late_records_total", "Records completed that had waited longer than the SLO.", float64(*w.Late))
	}
}

// collectPool sends what there is to say of analyzers and their number.
func (c snapshotCollector) collectPool(gauge, total func(name, help string, v float64, labels ...string)) {
	if p := c.Pool; p != nil {
		for state, n := range map[string]int{"ready": p.Ready, "starting": p.Starting, "draining": p.Draining} {
			gauge("pool_analyzers", "Analyzers by state; ready and starting make up the size.", float64(n), "state", state)
		}
		gauge("pool_busy_analyzers", "Analyzers with a batch in hand.", float64(p.Busy))
		gauge("pool_leasing", "Whether work can be had; 0 while the pool cannot reach its queue.", truth(p.LeaseError == ""))
		gauge("pool_stuck_analyzers", "Analyzers that have had a batch in hand for far longer than is usual.", float64(p.Stuck))
		gauge("pool_abandoned_calls", "Calls of the handler that still run although the pool let go of their batch.", float64(p.Abandoned))
		total("pool_batches_total", "Batches acknowledged.", float64(p.Batches))
		total("pool_records_total", "Records analyzed.", float64(p.Records))
		total("pool_failed_batches_total", "Batches handed back as failed, every attempt.", float64(p.FailedBatches))
		total("pool_failed_records_total", "Records that failed, every attempt.", float64(p.FailedRecords))
		total("pool_handed_back_batches_total", "Batches handed back by analyzers that had to leave.", float64(p.HandedBack))
		total("pool_late_batches_total", "Batches lost because their lease ended first.", float64(p.Late))
		total("pool_panics_total", "Panics of the handler.", float64(p.Panics))
		total("pool_busy_seconds_total", "Time that batches spent in hand, over all slots.", p.BusySeconds)
	}
	if a := c.Autoscaler; a != nil {
		gauge("autoscaler_size", "Analyzers that there are, as the autoscaler counts.", float64(a.CurrentSize))
		gauge("autoscaler_min_size", "Lower bound.", float64(a.MinSize))
		gauge("autoscaler_max_size", "Upper bound.", float64(a.MaxSize))
		total("autoscaler_checks_total", "Checks.", float64(a.Checks))
		total("autoscaler_scale_ups_total", "Times the pool was made larger.", float64(a.TotalScaleUps))
		total("autoscaler_scale_downs_total", "Times the pool was made smaller.", float64(a.TotalScaleDowns))
		gauge("autoscaler_cooldown_remaining_seconds", "How long the autoscaler still waits after its last action.", a.CooldownRemaining.Seconds())
		gauge("autoscaler_paused", "Whether it is paused.", truth(a.Paused))
		gauge("autoscaler_forced", "Whether a person has fixed the size for a while.", truth(!a.ForcedUntil.IsZero()))
		gauge("autoscaler_dry_run", "Whether it only decides and leaves the pool as it is.", truth(a.DryRun))
		gauge("autoscaler_policy_info", "Always 1; the label names the policy in charge.", 1, "policy", a.Policy)
		if d := a.LastDecision; d != nil {
			gauge("autoscaler_named_size", "Analyzers that the policy wanted at the last check, before any limit.", float64(d.NamedSize))
			gauge("autoscaler_depth_known", "Whether the last check could read the depth; without it the size is kept.", truth(d.DepthKnown))
		}
	}
	if c.SLO > 0 && c.Autoscaler != nil {
		gauge("autoscaler_slo_seconds", "Longest wait that a record may have, as the autoscaler has it.", c.SLO)
	}
}

// truth is how Prometheus says yes and no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
