package autoscale

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// named is a policy that always names the same size, through a limit of its own.
type named struct{ size, settled int }

func (n named) Name() string { return "named" }
func (n named) Decide(Observation) Proposal {
	p := Proposal{Size: n.size, Reason: "because"}
	if n.settled != n.size {
		p.Clamps = []Clamp{{Name: ClampCooldown, Before: n.size, After: n.settled}}
	}
	return p
}

// TestWorkThatWaitsHasAWorker tells what the floor makes of a policy that wants none.
func TestWorkThatWaitsHasAWorker(t *testing.T) {
	busy, stuck := Worker{ID: "b", State: WorkerBusy}, Worker{ID: "s", State: WorkerStuck}
	leaving := Worker{ID: "d", State: WorkerDraining}
	for name, test := range map[string]struct {
		policy named
		o      Observation
		want   int
		clamps []string
	}{
		"nothing waits":                             {named{0, 0}, Observation{Size: 1, MaxSize: 5}, 0, nil},
		"one record waits":                          {named{0, 0}, Observation{Depth: 1, MaxSize: 5}, 1, []string{ClampWorkWaits}},
		"one waits, in a cooldown":                  {named{2, 0}, Observation{Depth: 1, MaxSize: 5}, 1, []string{ClampCooldown, ClampWorkWaits}},
		"the last one would leave":                  {named{0, 0}, Observation{Depth: 7, Size: 1, MaxSize: 5}, 1, []string{ClampWorkWaits}},
		"the policy wants more":                     {named{3, 3}, Observation{Depth: 7, MaxSize: 5}, 3, nil},
		"the only one is stuck":                     {named{1, 1}, Observation{Depth: 7, Size: 1, MaxSize: 5, Workers: []Worker{stuck}}, 2, []string{ClampWorkWaits}},
		"all that may be are stuck":                 {named{1, 1}, Observation{Depth: 7, Size: 1, MaxSize: 1, Workers: []Worker{stuck}}, 1, nil},
		"the last one works":                        {named{0, 0}, Observation{InFlight: 7, Size: 1, MaxSize: 5, Workers: []Worker{busy}}, 1, []string{ClampWorkWaits}},
		"the last one works, and is not told apart": {named{0, 0}, Observation{InFlight: 7, Size: 1, MaxSize: 5}, 1, []string{ClampWorkWaits}},
		"others work elsewhere":                     {named{0, 0}, Observation{InFlight: 7, Size: 1, MaxSize: 5, Workers: []Worker{{ID: "i", State: WorkerIdle}}}, 0, nil},
		"one that leaves works":                     {named{0, 0}, Observation{InFlight: 7, MaxSize: 5, Workers: []Worker{leaving}}, 0, nil},
		"one that leaves works, and more waits":     {named{0, 0}, Observation{Depth: 1, InFlight: 7, MaxSize: 5, Workers: []Worker{leaving}}, 1, []string{ClampWorkWaits}},
		"nobody knows":                              {named{0, 0}, Observation{Depth: 7, Size: 0, MaxSize: 5, Unknown: "no answer"}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(WithFloor(test.policy), test.o)
			var clamps []string
			for _, c := range d.Clamps {
				clamps = append(clamps, c.Name)
			}
			if d.NewSize != test.want || !slices.Equal(clamps, test.clamps) {
				t.Errorf("size %d by %q (%s), want %d by %q", d.NewSize, clamps, d.Reason, test.want, test.clamps)
			}
		})
	}
	if p := WithFloor(WithFloor(named{})); p != (Floor{named{}}) {
		t.Errorf("%#v, want one floor and not two", p)
	}
}

// TestEveryPolicyStartsAWorkerForWorkThatWaits runs controllers over pools that are empty, with fewer records waiting than any policy
// acts on. What an operator wants goes first.
func TestEveryPolicyStartsAWorkerForWorkThatWaits(t *testing.T) {
	threshold := Threshold{ScaleUpThreshold: 50, ScaleDownThreshold: 10, ScaleUpCount: 2, ScaleDownCount: 1, Cooldown: time.Minute}
	budget, err := NewBudget(named{0, 0}, BudgetOptions{WorkerHours: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	slo := newSLO(t, SLOOptions{SLO: time.Hour})
	governed, err := NewGovernor(slo, GovernorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		policy Policy
		steer  func(*Controller)
		dry    bool
		starts bool
	}{
		"threshold":           {threshold, nil, false, true},
		"slo with governor":   {governed, nil, false, true},
		"budget":              {budget, nil, false, true},
		"one that panics":     {panics{}, nil, false, true},
		"one that wants none": {named{0, 0}, nil, false, true},
		"paused":              {threshold, (*Controller).Pause, false, false},
		"dry run":             {threshold, nil, true, false},
		"forced":              {threshold, func(c *Controller) { c.Force(0, time.Hour) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := DefaultOptions()
				o.MinSize, o.Policy, o.DryRun, o.Logger = 0, test.policy, test.dry, slog.New(slog.DiscardHandler)
				pool := &fakePool{}
				c, err := New(pool, &fakeQueue{depth: 20}, o)
				if err != nil {
					t.Fatal(err)
				}
				if test.steer != nil {
					test.steer(c)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				time.Sleep(5 * o.CheckInterval)
				synctest.Wait()
				if got := pool.Size(); (got > 0) != test.starts {
					t.Errorf("size %d with 20 records waiting, want some: %v; %s", got, test.starts, c.Stats().LastDecision.Reason)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

type panics struct{}

func (panics) Name() string                { return "panics" }
func (panics) Decide(Observation) Proposal { panic("no") }
