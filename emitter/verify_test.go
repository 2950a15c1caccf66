package emitter

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
)

func account(emitter string, sent, acknowledged *ranges.Set) EmitterAccount {
	return EmitterAccount{Emitter: emitter, Tracked: true, Sent: sent, Acknowledged: acknowledged}
}

func verify(t *testing.T, d *distributor, o VerifyOptions, emitters ...EmitterAccount) (Account, error) {
	t.Helper()
	c, _ := clientOf(t, d, ClientOptions{})
	return Verify(t.Context(), c, emitters, o)
}

func TestVerifyClassifies(t *testing.T) {
	for _, test := range []struct {
		name     string
		emitters []EmitterAccount
		analyzed map[string]*ranges.Set
		twice    int64
		dead     []int // of e-1
		want     Account
		verdict  string
	}{
		{
			name:     "all well",
			emitters: []EmitterAccount{account("e-1", set(1, 10), set(1, 10)), account("e-2", set(1, 5), set(1, 5))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 10), "e-2": set(1, 5), "other": set(1, 99)},
			want:     Account{Sent: 15, Acknowledged: 15, Analyzed: 15},
			verdict:  "nothing lost",
		},
		{
			name:     "lost",
			emitters: []EmitterAccount{account("e-1", set(1, 50), set(1, 50)), account("e-2", set(1, 5), set(1, 5))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 16, 29, 49)},
			want: Account{Sent: 55, Acknowledged: 55, Analyzed: 37, Lost: 18,
				LostRanges: []LostRange{{"e-1", 17, 28}, {"e-1", 50, 50}, {"e-2", 1, 5}}},
			verdict: "LOST 18 records: e-1: 17-28, e-1: 50, e-2: 1-5",
		},
		{
			name:     "twice",
			emitters: []EmitterAccount{account("e-1", set(1, 10), set(1, 10))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 10)},
			twice:    4,
			want:     Account{Sent: 10, Acknowledged: 10, Analyzed: 10, Twice: 4},
			verdict:  "nothing lost",
		},
		{
			name:     "dead letters, of others too, and one that was analyzed as well",
			emitters: []EmitterAccount{account("e-1", set(1, 10), set(1, 10))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 8)},
			dead:     []int{9, 10, 3, 4711},
			want:     Account{Sent: 10, Acknowledged: 10, Analyzed: 8, Dead: 2},
			verdict:  "nothing lost",
		},
		{
			name:     "dead and lost",
			emitters: []EmitterAccount{account("e-1", set(1, 10), set(1, 10))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 7)},
			dead:     []int{9},
			want:     Account{Sent: 10, Acknowledged: 10, Analyzed: 7, Dead: 1, Lost: 2, LostRanges: []LostRange{{"e-1", 8, 8}, {"e-1", 10, 10}}},
			verdict:  "LOST 2 records: e-1: 8, e-1: 10",
		},
		{
			name:     "never acknowledged: analyzed or not, it is not lost",
			emitters: []EmitterAccount{account("e-1", set(1, 30), set(1, 10))},
			analyzed: map[string]*ranges.Set{"e-1": set(1, 15)},
			want:     Account{Sent: 30, Acknowledged: 10, Analyzed: 10, UnacknowledgedAnalyzed: 5},
			verdict:  "nothing lost",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDistributor()
				d.analyzed, d.twice["e-1"] = test.analyzed, test.twice
				for _, seq := range test.dead {
					d.letter("e-1", seq)
				}
				for seq := range 450 { // several pages
					if test.dead != nil {
						d.letter("stranger", seq)
					}
				}
				got, err := verify(t, d, VerifyOptions{}, test.emitters...)
				if err != nil {
					t.Fatal(err)
				}
				test.want.Complete = true
				if test.want.LostRanges == nil {
					test.want.LostRanges = []LostRange{}
				}
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("Verify =\n%+v, want\n%+v", got, test.want)
				}
				if lines := strings.Split(got.String(), "\n"); lines[len(lines)-1] != test.verdict {
					t.Errorf("last line %q, want %q", lines[len(lines)-1], test.verdict)
				}
				if got.OK() != (got.Lost == 0) {
					t.Errorf("OK() = %v with %d lost", got.OK(), got.Lost)
				}
			})
		})
	}
}

func TestVerifyOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		d.analyzed["e-1"] = set(1, 40)
		d.stats = ServerStats{Depth: 60}
		d.onLook = func(looks int) {
			switch looks {
			case 3:
				d.down = true
			case 30:
				d.down = false
				d.analyzed["e-1"] = set(30, 60) // it forgot a part of what it knew
				d.stats = ServerStats{InFlight: 40}
			case 35:
				d.analyzed["e-1"] = set(30, 100)
				d.stats = ServerStats{}
			}
		}
		failed, last := 0, int64(0)
		got, err := verify(t, d, VerifyOptions{Progress: func(p VerifyProgress) {
			if p.Err != nil {
				failed++
			}
			last = p.Missing
		}}, account("e-1", set(1, 100), set(1, 100)))
		if err != nil || !got.OK() || got.Analyzed != 100 {
			t.Errorf("Verify = %+v, %v; want all 100 analyzed", got, err)
		}
		if failed != 27 || last != 0 {
			t.Errorf("progress told of %d failed looks and %d missing at the end, want 27 and 0", failed, last)
		}
	})
}

func TestVerifyWaitsForLateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor() // the queue is empty at once; an analyzer elsewhere reports a moment later
		d.analyzed["e-1"] = set(1, 1)
		d.onLook = func(looks int) { d.analyzed["e-1"] = set(1, uint64(min(looks/3*10+1, 100))) }
		got, err := verify(t, d, VerifyOptions{}, account("e-1", set(1, 100), set(1, 100)))
		if err != nil || !got.OK() {
			t.Errorf("Verify = %+v, %v; want nothing lost", got, err)
		}
	})
}

func TestVerifyDoesNotWaitForTheLoadOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		d.analyzed["e-1"] = set(1, 100)
		d.stats = ServerStats{Depth: 1000}
		d.onLook = func(int) { d.stats.Completed += 100 }
		start := time.Now()
		got, err := verify(t, d, VerifyOptions{}, account("e-1", set(1, 100), set(1, 100)))
		if err != nil || !got.OK() || time.Since(start) > 10*sec {
			t.Errorf("Verify = %+v, %v after %v; want all well soon", got, err, time.Since(start))
		}
	})
}

func TestVerifyWithoutEnoughTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		d.analyzed["e-1"] = set(1, 40)
		d.stats = ServerStats{Depth: 50, InFlight: 10}
		got, err := verify(t, d, VerifyOptions{Timeout: 10 * sec}, account("e-1", set(1, 100), set(1, 100)))
		if err != nil || got.Complete || got.OK() || got.Lost != 0 || got.Unfinished != 60 || !strings.Contains(got.Note, "50 records wait") {
			t.Errorf("Verify = %+v, %v; want 60 unfinished and none called lost", got, err)
		}
		if want := "not finished: 60 acknowledged"; !strings.HasPrefix(got.Verdict(), want) {
			t.Errorf("Verdict() = %q, want %q...", got.Verdict(), want)
		}
		d.down = true
		if _, err := verify(t, d, VerifyOptions{Timeout: 10 * sec}); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Verify of nobody = %v, want its error", err)
		}
		c, _ := clientOf(t, newDistributor(), ClientOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Verify(ctx, c, nil, VerifyOptions{}); err == nil {
			t.Error("the end of the context is not an error")
		}
	})
}

func TestVerifyByCounters(t *testing.T) {
	for _, test := range []struct {
		name          string
		tracked       bool
		forget        bool
		stats, before ServerStats
		want          Account
	}{
		{"a handler without results", true, true, ServerStats{Completed: 100}, ServerStats{}, Account{Analyzed: 100}},
		{"records without numbers", false, false, ServerStats{Completed: 100}, ServerStats{}, Account{Analyzed: 100}},
		{"counters that started before", true, true, ServerStats{Completed: 1090, Dead: 15}, ServerStats{Completed: 1000, Dead: 5}, Account{Analyzed: 90, Dead: 10}},
		{"missing", true, true, ServerStats{Completed: 90, Dead: 3}, ServerStats{}, Account{Analyzed: 90, Dead: 3, Lost: 7}},
		{"more than ours", true, true, ServerStats{Completed: 900, Dead: 30}, ServerStats{}, Account{Analyzed: 100}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDistributor()
				d.analyzed["other"] = set(1, 5)
				d.forget, d.stats = test.forget, test.stats
				mine := account("e-1", set(1, 100), set(1, 100))
				mine.Tracked = test.tracked
				got, err := verify(t, d, VerifyOptions{Before: test.before}, mine)
				if err != nil || got.Note == "" {
					t.Errorf("Verify: %v, note %q; want a note", err, got.Note)
				}
				test.want.Sent, test.want.Acknowledged, test.want.Complete, test.want.ByCounters = 100, 100, true, true
				test.want.LostRanges, test.want.Note = []LostRange{}, got.Note
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("Verify =\n%+v, want\n%+v", got, test.want)
				}
			})
		})
	}
}

func TestVerifyAfterARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDistributor()
		c, _ := clientOf(t, d, ClientOptions{})
		p, err := NewPool(c, PoolOptions{Emitters: 5, Records: 10000})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, err := Verify(t.Context(), c, p.Accounts(), VerifyOptions{})
		if err != nil || !a.OK() || a.Analyzed != 10000 || a.Acknowledged != 10000 {
			t.Errorf("Verify = %+v, %v; want 10000 analyzed", a, err)
		}
	})
}

func TestAccountJSON(t *testing.T) {
	text, err := json.Marshal(Account{Lost: 2, LostRanges: []LostRange{{"e-1", 3, 4}}, Complete: true})
	const want = `{"sent":0,"acknowledged":0,"analyzed":0,"dead":0,"lost":2,"unfinished":0,"twice":0,"unacknowledged_analyzed":0,` +
		`"lost_ranges":[{"emitter":"e-1","first":3,"last":4}],"complete":true,"by_counters":false,"note":""}`
	if err != nil || string(text) != want {
		t.Errorf("JSON %s, %v; want %s", text, err, want)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	if got := m.rate(0, 0); got != 0 {
		t.Errorf("rate before the start = %v, want 0", got)
	}
	total := int64(0)
	for at := 10 * time.Millisecond; at <= 20*sec; at += 10 * time.Millisecond {
		total++
		if at > 10*sec {
			total += 9
		}
		m.add(at, total)
		if at == 5*sec || at == 10*sec {
			if got := m.rate(at, total); got < 95 || got > 105 {
				t.Errorf("rate at %v = %v, want about 100", at, got)
			}
		}
	}
	if got := m.rate(20*sec, total); got < 950 || got > 1050 {
		t.Errorf("rate after a change = %v, want about 1000: the old one is forgotten", got)
	}
	if got := m.rate(40*sec, total); got != 0 {
		t.Errorf("rate after a pause = %v, want 0", got)
	}
	if len(m.samples) > 30 {
		t.Errorf("%d samples are kept", len(m.samples))
	}
}
