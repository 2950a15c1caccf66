package group

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type item struct {
	n    int
	done int // how often it was part of a commit
}

func TestCallersShareTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		running := false
		c := Committer[*item]{Commit: func(items []*item) {
			if running {
				t.Error("two commits at the same time")
			}
			running = true
			time.Sleep(time.Second)
			running = false
			sizes = append(sizes, len(items))
			for _, it := range items {
				it.done++
			}
		}}
		var wg sync.WaitGroup
		start := time.Now()
		for n := range 100 {
			wg.Go(func() {
				it := &item{n: n}
				c.Do(it)
				if it.done != 1 {
					t.Errorf("item %d was committed %d times when Do returned, want once", n, it.done)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second || !slices.Equal(sizes, []int{1, 99}) {
			t.Errorf("commits of %v items in %v; want the first at once, alone, and the others together: [1 99] in 2s", sizes, took)
		}
		c.Do(&item{}) // idle again: at once
		if len(sizes) != 3 {
			t.Errorf("%d commits, want 3", len(sizes))
		}
	})
}

func TestEachItemIsCommittedOnceInOrder(t *testing.T) {
	last := map[int]int{}
	c := Committer[[2]int]{Commit: func(items [][2]int) {
		for _, it := range items {
			if it[1] != last[it[0]]+1 {
				t.Errorf("caller %d: item %d after %d", it[0], it[1], last[it[0]])
			}
			last[it[0]] = it[1]
		}
	}}
	const callers, each = 16, 500
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range each {
				c.Do([2]int{caller, n + 1})
			}
		})
	}
	wg.Wait()
	for caller := range callers {
		if last[caller] != each {
			t.Errorf("caller %d: %d items committed, want %d", caller, last[caller], each)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	c := Committer[int]{Commit: func([]int) {}}
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Do(1)
		}
	})
}
