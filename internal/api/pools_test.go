package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/distributor"
	"github.com/sluicehq/sluice/queue/remote"
)

func pool(name string, max int) *Pool {
	return &Pool{PoolReport: remote.PoolReport{Name: name, MaxSize: max, Interval: 10}}
}

// TestPoolsShareTheBacklog: for any depth, the shares of all pools add up to it.
func TestPoolsShareTheBacklog(t *testing.T) {
	var s pools
	now := time.Now()
	fixed := pool("c", 100)
	fixed.Fixed, fixed.Size = true, 5
	all := []*Pool{pool("b", 20), fixed, pool("a", 5), pool("d", 0)}
	for _, p := range all {
		s.report(p, now)
	}
	shares := map[string]remote.PoolShare{}
	for _, p := range all {
		share, ok := s.report(p, now)
		if !ok || share.Pools != 4 {
			t.Fatalf("%s: %+v, %v; want one of 4", p.Name, share, ok)
		}
		shares[p.Name] = share
	}
	for _, depth := range []int64{0, 1, 2, 7, 29, 30, 1_000_003, 1 << 40} {
		sum := int64(0)
		for _, share := range shares {
			sum += int64(share.Of(depth))
		}
		if sum != depth {
			t.Errorf("the shares of %d are %d together", depth, sum)
		}
	}
	for name, want := range map[string]int{"a": 50, "b": 200, "c": 50, "d": 0} {
		if got := shares[name].Of(300); got != want {
			t.Errorf("pool %s has %d of 300, want %d", name, got, want)
		}
	}
}

func TestPoolsThatAreGoneShareNothing(t *testing.T) {
	var s pools
	now := time.Now()
	s.report(pool("a", 10), now)
	if share, _ := s.report(pool("b", 10), now); share.Of(100) != 50 {
		t.Errorf("share %+v, want half", share)
	}
	if share, _ := s.report(pool("b", 10), now.Add(29*time.Second)); share.Of(100) != 50 {
		t.Errorf("share %+v while a is quiet for less than three checks, want half", share)
	}
	if share, _ := s.report(pool("b", 10), now.Add(31*time.Second)); share != remote.Whole {
		t.Errorf("share %+v once a is gone, want all", share)
	}
	s.report(pool("a", 10), now.Add(32*time.Second))
	leaving := pool("a", 10)
	leaving.Leaving = true
	s.report(leaving, now.Add(33*time.Second))
	if rows := s.list(now.Add(33 * time.Second)); len(rows) != 1 || rows[0].Name != "b" || rows[0].Share != 1 {
		t.Errorf("pools %+v after a has left, want b with all", rows)
	}
	for i := range 2 * maxPools {
		s.report(pool(fmt.Sprint("p-", i), 1), now)
	}
	if n := len(s.rows); n > maxPools {
		t.Errorf("%d pools are kept, want %d at most", n, maxPools)
	}
}

func TestPoolsReportOverHTTP(t *testing.T) {
	url, _, _ := start(t, distributor.Options{})
	c := client(t, url)
	r := remote.PoolReport{Name: "a", Instance: "1", Listen: "[::]:8001", Interval: 10, Size: 2, MaxSize: 4, Policy: "slo",
		Decision: &remote.PoolDecision{Time: time.Now(), Size: 2, NewSize: 2, Action: "hold", Reason: strings.Repeat("x", 1000)}}
	if share, err := c.Report(t.Context(), r); err != nil || share != remote.Whole {
		t.Errorf("%+v, %v; want all", share, err)
	}
	_, body, _ := call(t, "GET", url+"/v1/stats", "", "")
	var st struct{ Pools []Pool }
	if err := json.Unmarshal([]byte(body), &st); err != nil || len(st.Pools) != 1 {
		t.Fatalf("%s, %v; want one pool", body, err)
	}
	if p := st.Pools[0]; p.URL != "http://127.0.0.1:8001/" || p.Share != 1 || p.Decision == nil || len(p.Decision.Reason) != maxPoolReason {
		t.Errorf("%+v, want its page and a short reason", p)
	}
	for _, bad := range []string{
		`{}`, `{"name": ""}`, `{"name": "a", "sise": 3}`, `{"name": "a", "size": -1}`, `{"name": "a", "max_size": 1e9}`,
		`{"name": "a", "interval_seconds": -1}`, `{"name": "a", "interval_seconds": 1e12}`, `{"name": "` + strings.Repeat("x", 257) + `"}`,
	} {
		if status, body, _ := call(t, "POST", url+"/v1/pools", "application/json", bad); status != 400 {
			t.Errorf("%.80s: %d %s, want 400", bad, status, body)
		}
	}
}
