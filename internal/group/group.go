// Package group is group commit: callers that come while a commit runs share the next one.
//
// No caller lingers for company and no goroutine waits for work: the first caller commits at once, in its own goroutine,
// and the first of those that came meanwhile commits next, for all of them.
package group

import "sync"

// Committer commits items of many callers, one commit at a time. Its zero value with Commit set is ready to use.
type Committer[T any] struct {
	// Commit is called with at least one item, in the order in which they came, by one goroutine at a time. What became of
	// an item it must leave in the item itself. It must not keep the slice.
	Commit func(items []T)

	mu      sync.Mutex
	busy    bool // a commit runs, or a waiting caller was chosen to run one
	pending round[T]
	spare   round[T] // of a commit that is over; its memory serves the next round
}

type round[T any] struct {
	items []T
	// turns has a channel for each caller that waits, in the order of its item: true tells it to commit what is pending,
	// false that its item was committed.
	turns []chan bool
}

// Do returns once item was part of a commit.
func (c *Committer[T]) Do(item T) {
	c.mu.Lock()
	c.pending.items = append(c.pending.items, item)
	if c.busy {
		turn := make(chan bool, 1)
		c.pending.turns = append(c.pending.turns, turn)
		c.mu.Unlock()
		if !<-turn {
			return
		}
		c.mu.Lock()
		c.pending.turns = append(c.pending.turns[:0], c.pending.turns[1:]...) // the first was this caller's own
	}
	c.busy = true
	now := c.pending
	c.pending, c.spare = c.spare, round[T]{}
	c.mu.Unlock()

	c.Commit(now.items)

	c.mu.Lock()
	c.busy = len(c.pending.items) > 0
	if c.busy {
		c.pending.turns[0] <- true
	}
	c.mu.Unlock()
	for _, turn := range now.turns {
		turn <- false
	}
	clear(now.items)
	c.mu.Lock()
	c.spare = round[T]{now.items[:0], now.turns[:0]}
	c.mu.Unlock()
}
