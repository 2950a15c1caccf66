package count

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/internal/ranges"
	"github.com/sluicehq/sluice/internal/visible"
)

// Sink keeps results. It may be called from several goroutines.
type Sink interface {
	// Write returns nil once the result is kept; only then is the batch acknowledged.
	Write(ctx context.Context, r Result) error
}

// SinkFunc is a function that is a [Sink].
type SinkFunc func(ctx context.Context, r Result) error

// Write calls f.
func (f SinkFunc) Write(ctx context.Context, r Result) error { return f(ctx, r) }

// Handler returns a handler that counts each batch and writes the result to sink. A record that can't be read, which a
// distributor does not let in, is discarded; the others are counted.
func Handler(sink Sink) analyzer.Handler {
	return analyzer.HandlerFunc(func(ctx context.Context, b *sluice.Batch) error {
		r, unreadable, err := Count(b)
		if err != nil {
			return err
		}
		r.Analyzer, r.Time = analyzer.Name(ctx), time.Now().UTC()
		if err := sink.Write(ctx, r); err != nil {
			return analyzer.Later(sinkPause, fmt.Errorf("write result: %w", err)) // a full disk is not the batch's fault
		}
		return analyzer.FailRecords(unreadable)
	})
}

// sinkPause is how long a batch waits whose result could not be written.
const sinkPause = time.Second

// Count counts one batch. The records that can't be read are not in the result, but each in unreadable, with a verdict.
// Count fails only where the batch as a whole can't be read.
func Count(b *sluice.Batch) (r Result, unreadable map[int]error, err error) {
	lines, err := b.Lines()
	if err != nil {
		return Result{}, nil, err
	}
	c := counter{severities: map[string]*Tally{}, services: map[string]*Tally{}, emitters: map[string]*run{}}
	for i := 0; len(lines) > 0; i++ {
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		line := lines[:end]
		lines = lines[end:]
		f, err := look(line)
		if err != nil {
			if unreadable == nil {
				unreadable = map[int]error{}
			}
			unreadable[i] = analyzer.Discard(err)
			continue
		}
		c.count(f, int64(len(line)))
	}
	return c.result(b.ID), unreadable, nil
}

// counter counts one batch. Its maps are asked with bytes, which costs no allocation while a name is known.
type counter struct {
	sum                  Tally
	severities, services map[string]*Tally
	emitters             map[string]*run
}

// run gathers the numbers of one emitter. They mostly follow each other, so they go into the set a stretch at a time.
type run struct {
	set         ranges.Set
	first, last uint64 // the open stretch
	again       uint64
}

func (r *run) add(n uint64) {
	if r.last != 0 && n == r.last+1 {
		r.last = n
		return
	}
	r.flush()
	r.first, r.last = n, n
}

func (r *run) flush() {
	if r.last != 0 {
		r.again += r.set.Add(r.first, r.last)
	}
}

func (c *counter) count(f fields, size int64) {
	c.sum.Records++
	c.sum.Bytes += size
	tally(c.severities, f.severity, size)
	tally(c.services, f.service, size)
	if f.seq == 0 || len(f.emitter) == 0 || len(f.emitter) > MaxNameBytes {
		return
	}
	r := c.emitters[string(f.emitter)]
	if r == nil {
		if len(c.emitters) >= MaxEmitters || !visible.Safe(string(f.emitter)) {
			return
		}
		r = &run{}
		c.emitters[string(f.emitter)] = r
	}
	r.add(f.seq)
}

func tally(m map[string]*Tally, text []byte, size int64) {
	t := m[string(text)]
	if t == nil {
		t = &Tally{}
		m[string(text)] = t
	}
	t.Records++
	t.Bytes += size
}

func (c *counter) result(batch string) Result {
	r := Result{
		Batch: batch, Records: c.sum.Records, Bytes: c.sum.Bytes,
		BySeverity: named(c.severities, UnsetSeverity), ByService: named(c.services, UnknownService),
	}
	for id, e := range c.emitters {
		e.flush()
		if r.Emitters == nil {
			r.Emitters = map[string]*ranges.Set{}
		}
		r.Emitters[id] = &e.set
		if e.again > 0 {
			if r.Again == nil {
				r.Again = map[string]uint64{}
			}
			r.Again[id] = e.again
		}
	}
	return r
}

func named(m map[string]*Tally, missing string) map[string]Tally {
	out := make(map[string]Tally, len(m))
	for text, t := range m {
		add(out, name([]byte(text), missing), *t)
	}
	return out
}
