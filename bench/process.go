package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that runs.
type process struct {
	cmd     *exec.Cmd
	address string
	pid     int
	cancel  context.CancelFunc
	reader  sync.WaitGroup
}

// start runs a program until it has reported the address that it serves.
func start(ctx context.Context, program string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{cmd: exec.CommandContext(ctx, program, args...), cancel: cancel}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 30 * time.Second // then it is killed
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	p.pid = p.cmd.Process.Pid
	lines := bufio.NewScanner(stderr)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			p.address = line.Address
			p.reader.Go(func() {
				for lines.Scan() { // a panic is not JSON
					if text := lines.Bytes(); !json.Valid(text) || bytes.Contains(text, []byte(`"level":"ERROR"`)) {
						fmt.Fprintf(os.Stderr, "%s\n", text)
					}
				}
			})
			return p, nil
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s %s did not start: %s", program, args[0], strings.Join(seen, "\n"))
}

// stop ends the process and waits for it.
func (p *process) stop() {
	p.cancel()
	p.reader.Wait()
	p.cmd.Wait()
}

// start runs sluice with the arguments, or the floor if they are nil, on the data in a folder.
func (b *bench) start(ctx context.Context, args []string, data string) (*process, error) {
	if args == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return start(ctx, self, "-role", "floor", "-dir", data)
	}
	args = append(args[:len(args):len(args)], "--listen", "127.0.0.1:0", "--log-format", "json")
	if data != "" {
		args = append(args, "--data", data)
	}
	return start(ctx, b.sluice, args...)
}

// send runs a load in a process of its own.
func (b *bench) send(ctx context.Context, l load) (m measured, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	spec, err := json.Marshal(l)
	if err != nil {
		return m, err
	}
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, self, "-role", "load")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(spec), &stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("load: %w: %s", err, stderr.String())
	}
	return m, json.Unmarshal(out, &m)
}

// temp makes a folder for data. Its removal waits until the disk has no more to write, so that the next measurement
// starts with an idle disk.
func (b *bench) temp() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(b.dir, "sluice-bench-")
	return dir, func() {
		os.RemoveAll(dir)
		syscall.Sync()
	}, err
}
