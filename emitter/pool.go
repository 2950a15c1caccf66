package emitter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/ranges"
)

// PoolOptions says how much load a pool makes, and of what. The zero value is one emitter as fast as possible, without end.
type PoolOptions struct {
	Emitters int // zero means 1, at most 10000

	// The pace: a profile that all emitters share, or an interval of each emitter. Neither means as fast as possible.
	Profile  Profile
	Interval time.Duration // from post to post of one emitter, BatchSize records each; zero means none, at least 1ms
	Jitter   float64       // how much an interval may differ, as a part of it; 0 to 1

	BatchSize int           // most records in a post; zero means 500, at most 100000
	Records   int64         // in all, then the run ends; zero means no limit
	Duration  time.Duration // of the run; what fell due within it is still sent, for up to Grace. Zero means no limit

	RunID  string        // the emitters' IDs are RunID-1, RunID-2, ...; empty means six random hexadecimal digits
	Seed   uint64        // of generated records and of jitter
	Size   int           // least size of generated records in bytes, see GeneratorOptions
	Replay *Replay       // where records come from; nil means that they are generated
	Grace  time.Duration // how long posts under way may go on after a stop; zero means 5s, negative means not at all
}

func (o PoolOptions) withDefaults() PoolOptions {
	if o.Emitters == 0 {
		o.Emitters = 1
	}
	if o.Profile == nil {
		o.Profile = AsFastAsPossible{}
	}
	if o.BatchSize == 0 {
		o.BatchSize = 500
	}
	if o.RunID == "" {
		var id [3]byte
		rand.Read(id[:]) // never fails: crypto/rand documents that it crashes the program instead
		o.RunID = hex.EncodeToString(id[:])
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	o.Grace = max(o.Grace, 0)
	return o
}

// Validate reports everything that is wrong with the options.
func (o PoolOptions) Validate() error {
	paces := o.Profile != nil && o.Interval != 0
	o = o.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("emitter: "+format, args...)) }
	if o.Emitters < 1 || o.Emitters > 10000 {
		bad("Emitters is %d, want 1 to 10000", o.Emitters)
	}
	if paces {
		bad("both Profile and Interval are set, want one of them")
	}
	if err := checkProfile(o.Profile); err != nil {
		bad("Profile: %w", err)
	}
	if o.Interval != 0 && o.Interval < time.Millisecond {
		bad("Interval is %v, want at least 1ms", o.Interval)
	}
	if !(o.Jitter >= 0 && o.Jitter <= 1) {
		bad("Jitter is %v, want 0 to 1", o.Jitter)
	}
	if o.BatchSize < 1 || o.BatchSize > 100000 {
		bad("BatchSize is %d, want 1 to 100000", o.BatchSize)
	}
	if o.Records < 0 {
		bad("Records is %d, want at least 0", o.Records)
	}
	if o.Duration < 0 {
		bad("Duration is %v, want at least 0", o.Duration)
	}
	if o.Size < 0 || o.Size > maxGenerated {
		bad("Size is %d, want 0 to %d", o.Size, maxGenerated)
	}
	return errors.Join(errs...)
}

// Pool is a number of emitters that make load together. Each has one post under way at most.
type Pool struct {
	client   *Client
	o        PoolOptions
	emitters []*oneEmitter
	finished chan struct{} // closed when the number of records is reached
	finish   func()        // closes it, once

	mu       sync.Mutex
	schedule *schedule
	started  time.Time
	ended    time.Time
	before   ClientStats // of the client when the run began
	after    ClientStats // and when it ended
	sent     int64
	acked    int64
	rejected int64
	inFlight int64
	meter    meter
}

// oneEmitter is the state of one emitter. Its sets are guarded by the pool's mutex, the rest belongs to its goroutine.
type oneEmitter struct {
	id        string
	pace      *pace
	generator *Generator // nil where records come from a replay
	seq       uint64     // of the last record sent
	sent      ranges.Set
	acked     ranges.Set
}

// NewPool makes a pool that sends through the client. Run starts it.
func NewPool(c *Client, o PoolOptions) (*Pool, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	p := &Pool{client: c, o: o, schedule: newSchedule(o.Profile, o.Records, o.Duration, o.Grace), finished: make(chan struct{})}
	p.finish = sync.OnceFunc(func() { close(p.finished) })
	for k := range o.Emitters {
		e := &oneEmitter{id: o.RunID + "-" + strconv.Itoa(k+1), pace: newPace(o, k)}
		if o.Replay == nil {
			g, err := NewGenerator(GeneratorOptions{Emitter: e.id, Seed: o.Seed, Size: o.Size})
			if err != nil {
				return nil, err
			}
			e.generator = g
		}
		p.emitters = append(p.emitters, e)
	}
	return p, nil
}

// RunID is what the emitters' IDs begin with.
func (p *Pool) RunID() string { return p.o.RunID }

// Run sends until everything is sent, ctx ends, or the distributor gives an answer that makes going on pointless (such as a
// wrong address). Only the last is an error, as is a file that can't be read to its end; rejected records are counted
// instead. When Run has to stop early, posts under way get the grace of the options. It can run once.
//
// One goroutine may outlive Run: the one that waits for input of a Replay, until its Read returns.
func (p *Pool) Run(ctx context.Context) error {
	p.mu.Lock()
	if !p.started.IsZero() {
		p.mu.Unlock()
		return errors.New("emitter: a pool runs once")
	}
	p.started = time.Now()
	p.before = p.client.Stats()
	p.mu.Unlock()

	claiming, stop := context.WithCancelCause(ctx) // while it lasts, emitters take records
	defer stop(nil)
	sending, giveUp := context.WithCancelCause(context.WithoutCancel(ctx)) // while it lasts, posts go on
	defer giveUp(nil)
	var all, grace sync.WaitGroup
	grace.Go(func() { p.endPosts(claiming, sending, giveUp) })
	reading := make(chan struct{})
	if p.o.Replay != nil {
		go func() { defer close(reading); p.o.Replay.read(claiming) }()
	}
	errs := make([]error, len(p.emitters))
	for i, e := range p.emitters {
		all.Go(func() {
			if errs[i] = p.emit(claiming, sending, e); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	all.Wait()
	stop(nil)
	giveUp(nil)
	grace.Wait()
	p.mu.Lock()
	p.ended, p.after = time.Now(), p.client.Stats()
	p.mu.Unlock()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i] // the others failed for the same reason, or because of this
	}
	if p.o.Replay != nil {
		return p.o.Replay.end(reading)
	}
	return nil
}

// errGrace is why a post ended without an answer after a stop.
var errGrace = errors.New("stopped, and the time for posts under way is over")

// endPosts gives posts under way their grace after emitters stopped.
func (p *Pool) endPosts(claiming, sending context.Context, giveUp context.CancelCauseFunc) {
	<-claiming.Done()
	t := time.NewTimer(p.o.Grace)
	defer t.Stop()
	select {
	case <-t.C:
		giveUp(errGrace)
	case <-sending.Done():
	}
}

// emit is the life of one emitter.
func (p *Pool) emit(claiming, sending context.Context, e *oneEmitter) error {
	var lines []byte
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		p.mu.Lock()
		next := p.schedule.nextLook(e.pace.next)
		p.mu.Unlock()
		t.Reset(next - time.Since(p.started))
		select {
		case <-claiming.Done():
			return nil
		case <-p.finished:
			return nil
		case <-t.C:
		}
		if claiming.Err() != nil {
			return nil
		}
		p.mu.Lock()
		claimed, over := p.schedule.claim(time.Since(p.started), p.o.BatchSize)
		p.mu.Unlock()
		if over {
			return nil
		}
		n := claimed
		if n > 0 {
			var err error
			lines, n, err = p.fill(claiming, lines[:0], e, claimed)
			if n == 0 {
				if errors.Is(err, io.EOF) || claiming.Err() != nil {
					return nil
				}
				return err
			}
			if err := p.post(sending, e, lines, n); err != nil {
				return err
			}
		}
		e.pace.after(time.Since(p.started), claimed, p.o.BatchSize)
	}
}

// fill makes up to n records and gives the others back. Once the last record of the run is made, nobody has to look again.
func (p *Pool) fill(ctx context.Context, lines []byte, e *oneEmitter, n int) (_ []byte, got int, err error) {
	if e.generator != nil {
		lines, got = e.generator.Append(lines, n, time.Now()), n
	} else {
		lines, got, err = p.o.Replay.take(ctx, lines, e.id, e.seq+1, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule.giveBack(n - got)
	if p.schedule.exhausted() {
		p.finish()
	}
	return lines, got, err
}

// post sends n records and books what became of them. Its error is one that concerns all posts.
func (p *Pool) post(ctx context.Context, e *oneEmitter, lines []byte, n int) error {
	first := e.seq + 1
	e.seq += uint64(n)
	p.mu.Lock()
	e.sent.Add(first, e.seq)
	p.sent += int64(n)
	p.inFlight += int64(n)
	p.mu.Unlock()

	r, err := p.client.Send(ctx, lines, n)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight -= int64(n)
	p.acked += int64(r.Accepted)
	p.rejected += int64(r.Rejected)
	p.meter.add(time.Since(p.started), p.acked)
	for _, s := range r.accepted(n) {
		e.acked.Add(first+uint64(s.first)-1, first+uint64(s.last)-1)
	}
	if err == nil || rejectsOnly(err) || ctx.Err() != nil {
		return nil
	}
	return err
}

// EmitterAccount is what one emitter knows about its records.
type EmitterAccount struct {
	Emitter      string      `json:"emitter"`      // its ID
	Tracked      bool        `json:"tracked"`      // the records carry its ID and their number
	Sent         *ranges.Set `json:"sent"`         // sequence numbers, from 1
	Acknowledged *ranges.Set `json:"acknowledged"` // those of records that are known to be accepted
}

// Accounts returns the accounts of all emitters, for [Verify]. They are final once Run returned.
func (p *Pool) Accounts() []EmitterAccount {
	p.mu.Lock()
	defer p.mu.Unlock()
	accounts := make([]EmitterAccount, len(p.emitters))
	for i, e := range p.emitters {
		a := EmitterAccount{e.id, e.generator != nil || p.o.Replay.o.Track, new(ranges.Set), new(ranges.Set)}
		a.Sent.AddSet(&e.sent) // a copy: the pool may go on
		a.Acknowledged.AddSet(&e.acked)
		accounts[i] = a
	}
	return accounts
}
