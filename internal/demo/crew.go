package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue/remote"
)

// Command makes the command that runs sluice with some arguments, for as long as ctx lasts.
type Command func(ctx context.Context, args ...string) *exec.Cmd

// crew keeps a number of analyzer processes running, whatever happens to them.
type crew struct {
	command Command
	args    []string
	say     func(format string, args ...any)

	all sync.WaitGroup

	mu      sync.Mutex
	ready   map[*process]bool // those that work
	started int
	kills   int
	held    int   // batches in hand of the killed ones
	broken  error // why the crew gave up
}

// process is one analyzer process.
type process struct {
	cmd      *exec.Cmd
	address  string // where it answers, once it is ready; guarded by crew.mu, as the next
	killed   bool   // by us
	lastLine string // that it logged
}

// How patient a crew is.
const (
	stopTime    = 10 * time.Second       // for a process that was asked to stop
	restartTime = 300 * time.Millisecond // before one that ended by itself is replaced
	askTime     = 300 * time.Millisecond // for an answer of a process that is about to be killed
	maxFailures = 3                      // starts in a row that came to nothing
)

// begin starts n processes and replaces those that end, until hiring ends. They are told to stop when working ends; then wait
// returns once all of them have.
func (c *crew) begin(hiring, working context.Context, n int, broken func()) {
	c.ready = map[*process]bool{}
	for range n {
		c.all.Go(func() {
			if err := c.keep(hiring, working); err != nil {
				c.mu.Lock()
				c.broken = err
				c.mu.Unlock()
				broken()
			}
		})
	}
}

func (c *crew) wait() { c.all.Wait() }

// keep runs one process after the other.
func (c *crew) keep(hiring, working context.Context) error {
	for failures := 0; hiring.Err() == nil && working.Err() == nil; {
		p, log, err := c.start(working)
		if err != nil {
			return fmt.Errorf("start an analyzer process: %w", err)
		}
		wasReady, end := c.attend(p, log)
		c.mu.Lock()
		killed := p.killed
		c.mu.Unlock()
		if killed {
			failures = 0
			continue
		}
		pause(working, restartTime) // Ctrl-C reaches the processes too, and maybe before us
		if hiring.Err() != nil || working.Err() != nil {
			break
		}
		if failures++; wasReady {
			failures = 0
		}
		if failures >= maxFailures {
			return fmt.Errorf("analyzer processes end before they work (%v); the last one said: %s", end, p.lastLine)
		}
		c.say("analyzer process %d ended by itself (%v), another takes its place", p.cmd.Process.Pid, end)
	}
	return nil
}

// start starts a process; attend has to follow.
func (c *crew) start(ctx context.Context) (p *process, log io.Reader, err error) {
	p = &process{cmd: c.command(ctx, c.args...)}
	p.cmd.Env = withoutSettings(p.cmd.Environ())
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopTime
	dieWithParent(p.cmd)
	if log, err = p.cmd.StderrPipe(); err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	c.started++
	c.mu.Unlock()
	return p, log, nil
}

// attend reads the log of a process until it ends, and says whether it was ever ready and how it ended.
func (c *crew) attend(p *process, log io.Reader) (wasReady bool, end error) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var event struct{ Msg, Address string }
		p.lastLine = lines.Text()
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Msg == "ready" {
			wasReady = true
			c.mu.Lock()
			p.address = event.Address
			c.ready[p] = true
			c.mu.Unlock()
		}
	}
	io.Copy(io.Discard, log) // whatever a line that is too long has left
	end = p.cmd.Wait()
	c.mu.Lock()
	delete(c.ready, p)
	c.mu.Unlock()
	if end == nil {
		end = errors.New("exit status 0")
	}
	return wasReady, end
}

// killOne ends one of the processes that work, without warning, if there is one.
func (c *crew) killOne(ctx context.Context) {
	p := c.choose()
	if p == nil {
		return
	}
	held, err := inHand(ctx, p.address)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready[p] || ctx.Err() != nil {
		return // it has ended meanwhile, or the demo has
	}
	p.killed = true
	if p.cmd.Process.Kill() != nil {
		p.killed = false
		return
	}
	delete(c.ready, p)
	c.kills++
	c.held += held
	what := words.Plural(held, "batch", "batches")
	if err != nil {
		what = "nobody knows how many batches"
	}
	c.say("killed analyzer process %d, which held %s", p.cmd.Process.Pid, what)
}

func (c *crew) choose() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.ready)
	if n == 0 {
		return nil
	}
	n = rand.IntN(n)
	for p := range c.ready {
		if n--; n < 0 {
			return p
		}
	}
	return nil
}

// inHand asks an analyzer process how many batches it works on.
func inHand(ctx context.Context, address string) (batches int, err error) {
	client, err := remote.NewClient("http://" + address)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	st, err := look(ctx, client)
	if err != nil || st.Pool == nil {
		return 0, errors.Join(err, errors.New("no pool"))
	}
	for _, a := range st.Pool.Analyzers {
		batches += a.InHand
	}
	return batches, nil
}

// counts are the crew's numbers so far.
func (c *crew) counts() (started, ready, kills, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started, len(c.ready), c.kills, c.held
}

// withoutSettings leaves out what would change how the processes work.
func withoutSettings(env []string) (kept []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, "SLUICE_") {
			kept = append(kept, v)
		}
	}
	return kept
}
