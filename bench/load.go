package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/emitter"
)

// load describes what a generator process sends, to which server, and how long.
type load struct {
	Records     int // in a post
	Size        int // least bytes of a record; 0 is what the generator of emitters makes, about 228
	Connections int

	Address string        // of the server
	PIDs    []int         // processes whose CPU is measured
	Cold    time.Duration // the first window, which starts with the first request
	Warm    time.Duration // the second window
	Limit   int64         // records after which the load ends early; 0 is no limit
}

// measured is what a generator process reports.
type measured struct {
	Start, End time.Time // of the first request, and when the last answer had arrived
	Records    int64     // all that were accepted, outside the windows too
	Cold, Warm window
	LoadCPU    float64 // of this process, in microseconds per record
}

func (m *measured) rate() float64 { return float64(m.Records) / m.End.Sub(m.Start).Seconds() }

// window is a part of a load. A request belongs to the window in which its answer arrived.
type window struct {
	Requests, Records int64
	Seconds           float64
	P50, P99          float64 // latency in microseconds
	CPU               float64 // of the measured processes, in microseconds per record
}

func (w window) rate() float64 { return float64(w.Records) / w.Seconds }

// maxBodyMemory bounds the bodies of all connections together, in bytes. It allows at least three of 5 MB for each of 4.
const maxBodyMemory = 64 << 20

// generateLoad reads a load as JSON, sends it, and writes the measurements as JSON. It does nothing else while it sends:
// on the machine under test, every microsecond of the generator is one that the server does not have.
func generateLoad(ctx context.Context, in io.Reader, out io.Writer) error {
	var l load
	if err := json.NewDecoder(in).Decode(&l); err != nil {
		return err
	}
	m, err := l.send(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(m)
}

func (l load) send(ctx context.Context) (m measured, err error) {
	senders := make([]*sender, l.Connections)
	for i := range senders {
		if senders[i], err = l.connect(i); err != nil {
			return m, err
		}
		defer senders[i].conn.Close()
		defer context.AfterFunc(ctx, func() { senders[i].conn.Close() })()
	}
	self := []int{os.Getpid()}
	before, err := cpuMicros(self)
	if err != nil {
		return m, err
	}
	var edges [3]float64 // CPU of the server
	if edges[0], err = cpuMicros(l.PIDs); err != nil {
		return m, err
	}
	var claimed atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(senders))
	done := make(chan struct{})
	m.Start = time.Now()
	for i, s := range senders {
		wg.Go(func() { errs[i] = s.run(l, m.Start, &claimed) })
	}
	go func() { wg.Wait(); close(done) }()
	for i, at := range []time.Duration{l.Cold, l.Cold + l.Warm} {
		select {
		case <-time.After(time.Until(m.Start.Add(at))):
		case <-done:
		}
		if edges[i+1], err = cpuMicros(l.PIDs); err != nil {
			errs = append(errs, err)
		}
	}
	<-done
	m.End = time.Now()
	after, err := cpuMicros(self)
	if err := errors.Join(append(errs, err)...); err != nil {
		return m, err
	}
	took := m.End.Sub(m.Start)
	for i, w := range []*window{&m.Cold, &m.Warm} {
		var h histogram
		for _, s := range senders {
			h.merge(&s.latency[i])
		}
		w.Requests = int64(h.count)
		w.Records = w.Requests * int64(l.Records)
		w.Seconds = min(took, l.Cold).Seconds()
		if i == 1 {
			w.Seconds = max(min(took-l.Cold, l.Warm), 0).Seconds()
		}
		w.P50 = float64(h.quantile(0.5)) / 1e3
		w.P99 = float64(h.quantile(0.99)) / 1e3
		if w.Records > 0 {
			w.CPU = (edges[i+1] - edges[i]) / float64(w.Records)
		}
	}
	for _, s := range senders {
		m.Records += s.answered * int64(l.Records)
	}
	if m.Records == 0 {
		return m, errors.New("no record was sent")
	}
	m.LoadCPU = (after - before) / float64(m.Records)
	return m, nil
}

// sender is one connection: it sends a request, waits for the answer, and sends the next.
type sender struct {
	conn     net.Conn
	requests [][]byte // each complete, headers and body; sent in turn
	accepted []byte   // how the body of a good answer starts
	latency  [2]histogram
	answered int64
	buf      [4096]byte // of one answer
}

// connect opens connection i and builds its requests.
func (l load) connect(i int) (*sender, error) {
	g, err := emitter.NewGenerator(emitter.GeneratorOptions{Emitter: "bench-" + strconv.Itoa(i), Seed: uint64(i)})
	if err != nil {
		return nil, err
	}
	s := &sender{accepted: fmt.Appendf(nil, `{"accepted":%d,"rejected":0,`, l.Records)}
	for n := 8; len(s.requests) < n; { // none is sent twice in quick succession
		body := appendRecords(nil, g, l.Records, l.Size)
		head := fmt.Sprintf("POST /v1/records HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n",
			l.Address, len(body))
		s.requests = append(s.requests, append([]byte(head), body...))
		n = min(8, max(maxBodyMemory/l.Connections/len(body), 2))
	}
	s.conn, err = net.Dial("tcp", l.Address)
	return s, err
}

func (s *sender) run(l load, start time.Time, claimed *atomic.Int64) error {
	sent := time.Now()
	for i := 0; ; i++ {
		if l.Limit > 0 && claimed.Add(int64(l.Records)) > l.Limit {
			return nil
		}
		if _, err := s.conn.Write(s.requests[i%len(s.requests)]); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if err := s.receive(); err != nil {
			return err
		}
		s.answered++
		now := time.Now()
		switch at := now.Sub(start); {
		case at < l.Cold:
			s.latency[0].add(now.Sub(sent))
		case at < l.Cold+l.Warm:
			s.latency[1].add(now.Sub(sent))
		default:
			return nil
		}
		sent = now
	}
}

// receive reads one answer, which must report every record as accepted.
func (s *sender) receive() error {
	for n := 0; ; {
		got, err := s.conn.Read(s.buf[n:])
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		n += got
		body, missing, err := parseAnswer(s.buf[:n])
		switch {
		case err != nil:
			return err
		case missing > len(s.buf)-n:
			return fmt.Errorf("an answer of more than %d bytes", len(s.buf))
		case missing == 0 && !bytes.HasPrefix(body, s.accepted):
			return fmt.Errorf("answer %q must start with %s", body, s.accepted)
		case missing == 0:
			return nil
		}
	}
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ") // as net/http spells it
)

// parseAnswer returns the body of an answer, once all of it is there, or how many bytes are missing at least. The status must
// be 200, and the length must be given in a header.
func parseAnswer(b []byte) (body []byte, missing int, err error) {
	if n := min(len(b), len(statusOK)); !bytes.Equal(b[:n], statusOK[:n]) {
		return nil, 0, fmt.Errorf("the status must be 200: %q", b[:min(len(b), 512)])
	}
	head, body, ended := bytes.Cut(b, headEnd)
	if !ended {
		return nil, 1, nil
	}
	_, value, found := bytes.Cut(head, contentLength)
	value, _, _ = bytes.Cut(value, headEnd[:2])
	length, err := strconv.Atoi(string(value))
	switch {
	case !found || err != nil || length < 0:
		return nil, 0, fmt.Errorf("no usable Content-Length in %q", head)
	case len(body) > length:
		return nil, 0, fmt.Errorf("%d bytes after the answer", len(body)-length)
	}
	return body, length - len(body), nil
}
