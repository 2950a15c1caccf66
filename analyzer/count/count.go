package count

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/analyzer"
	"github.com/sluicehq/sluice/internal/fields"
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
	c := counter{services: map[string]*Tally{}, emitters: map[string]*run{}}
	for i := 0; len(lines) > 0; i++ {
		end := bytes.IndexByte(lines, '\n') + 1
		if end == 0 {
			end = len(lines)
		}
		line := lines[:end]
		lines = lines[end:]
		if err := c.view.Scan(line); err != nil {
			if unreadable == nil {
				unreadable = map[int]error{}
			}
			unreadable[i] = analyzer.Discard(err)
			continue
		}
		c.count(int64(len(line)))
	}
	return c.result(b.ID), unreadable, nil
}

// numbers is how many severity numbers OpenTelemetry has, and 0.
const numbers = 25

// counter counts one batch. Its maps are asked with bytes, which costs no allocation while a name is known.
type counter struct {
	view       fields.View
	sum        Tally
	severities [numbers]Tally // by severity number
	services   map[string]*Tally
	emitters   map[string]*run
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

// count counts the record in view.
func (c *counter) count(size int64) {
	c.sum.Records++
	c.sum.Bytes += size
	severity := &c.severities[c.view.Severity()]
	severity.Records++
	severity.Bytes += size
	tally(c.services, c.view.Service(), size)
	id, sequence := c.view.Emitter()
	if sequence == 0 || len(id) == 0 || len(id) > MaxNameBytes {
		return
	}
	r := c.emitters[string(id)]
	if r == nil {
		if len(c.emitters) >= MaxEmitters || !visible.Safe(string(id)) {
			return
		}
		r = &run{}
		c.emitters[string(id)] = r
	}
	r.add(sequence)
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
		BySeverity: map[string]Tally{}, ByService: map[string]Tally{},
	}
	for number, t := range c.severities {
		if t.Records > 0 {
			add(r.BySeverity, fields.Severity(number).String(), t)
		}
	}
	for text, t := range c.services {
		add(r.ByService, name(text), *t)
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

// name is the name of a service as it is counted under.
func name(text string) string {
	switch {
	case text == "":
		return UnknownService
	case len(text) > MaxNameBytes || !visible.Safe(text):
		return visible.Cut(text, MaxNameBytes)
	}
	return text
}
