package api

import (
	"slices"
	"testing"
	"time"
)

func TestAnalyzersElsewhereAreListedAsPeopleCount(t *testing.T) {
	g := registry{seen: map[string]*leaser{}}
	want := []string{"node2", "node10", "web-1", "web-2", "web-9", "web-10", "web-10-1"}
	now := time.Now()
	for _, name := range want {
		g.asked(name, now)
	}
	var got []string
	for _, r := range g.rows(now) {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
