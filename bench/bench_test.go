package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/emitter"
)

// TestMain lets the test program be the floor and the load of a bench, which starts itself in these roles.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-role" {
		main()
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each process of a race build waits a second before it ends
	os.Exit(m.Run())
}

func TestControlScenario(t *testing.T) {
	b := &bench{dir: t.TempDir(), cold: 50 * time.Millisecond, warm: 150 * time.Millisecond}
	small := load{Records: 50, Connections: 2}
	s := scenario{name: "control", ours: ingest(theFloor, small), base: ingest(theFloor, small), bounds: scenarios[0].bounds}
	ours, base, err := b.measure(t.Context(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	if ours[rate] <= 0 || base[rate] <= 0 {
		t.Errorf("%v and %v, want rates above zero", ours, base)
	}
	if _, err := json.Marshal(s.rows([]figures{ours}, []figures{base})); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(b.dir); len(left) > 0 || err != nil {
		t.Errorf("data is left behind: %v, %v", left, err)
	}
}

func TestLoadEndsAtItsLimit(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	p, err := b.start(t.Context(), theFloor, b.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	m, err := b.send(t.Context(), load{Records: 10, Connections: 3, Address: p.address, Warm: time.Hour, Limit: 1000})
	if err != nil || m.Records != 1000 || m.Warm.Records != 1000 || m.Warm.Requests != 100 {
		t.Errorf("%+v, %v, want 1000 records", m, err)
	}
	if lines := storedLines(t, b.dir); bytes.Count(lines, []byte("\n")) != 1000 {
		t.Errorf("%d lines are stored, want 1000", bytes.Count(lines, []byte("\n")))
	}
}

func TestLoadFailsWhereRecordsAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Read(make([]byte, 1<<16))
			io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull")
			c.Close()
		}
	}()
	spec, err := json.Marshal(load{Records: 1, Connections: 1, Address: l.Addr().String(), Warm: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	err = generateLoad(t.Context(), bytes.NewReader(spec), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("error %v, want the status", err)
	}
}

func TestParseAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nDate: now\r\n\r\n"
	for _, c := range []struct {
		text, body string
		missing    int
		err        string
	}{
		{text: head + "12345", body: "12345"},
		{text: head + "12", body: "12", missing: 3},
		{text: head, missing: 5},
		{text: head[:40], missing: 1},
		{text: "HT", missing: 1},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{text: head + "123456", err: "1 bytes after"},
		{text: "HTTP/1.1 503 Service Unavailable\r\n", err: "status must be 200"},
		{text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", err: "Content-Length"},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", err: "Content-Length"},
	} {
		body, missing, err := parseAnswer([]byte(c.text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.text, err, c.err)
			}
			continue
		}
		if string(body) != c.body || missing != c.missing || err != nil {
			t.Errorf("%q: %q, %d missing, %v, want %q, %d", c.text, body, missing, err, c.body, c.missing)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h, more histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
	for i := range 1000 {
		half := &h
		if i%2 == 1 {
			half = &more
		}
		half.add(time.Duration(i+1) * 10 * time.Microsecond)
	}
	h.merge(&more)
	for q, want := range map[float64]time.Duration{0.001: 10 * time.Microsecond, 0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := h.quantile(q); math.Abs(float64(got-want)) > float64(want)/64 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	for _, d := range []time.Duration{-1, 0, 1, 63, 64, 127, 128, 129, 1 << 40, math.MaxInt64} {
		var one histogram
		one.add(d)
		if got := one.quantile(1); math.Abs(float64(got-max(d, 0))) > float64(d)/64+0.5 {
			t.Errorf("%d is counted as %d", d, got)
		}
	}
}

func TestCPUOfAProcess(t *testing.T) {
	ticks, err := parseStat([]byte("42 (a ) (b) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 7"))
	if ticks != 281 || err != nil {
		t.Errorf("%d, %v, want 281", ticks, err)
	}
	for _, bad := range []string{"", "42 (sluice) S 1 2", "42 (sluice) S 1 2 3 4 5 6 7 8 9 10 x 31"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestRecords(t *testing.T) {
	g, err := emitter.NewGenerator(emitter.GeneratorOptions{Emitter: "e"})
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int][2]int{0: {180, 260}, 2000: {2000, 2100}} {
		lines := appendRecords(nil, g, 100, size)
		if each := len(lines) / 100; each < want[0] || each > want[1] {
			t.Errorf("size %d: records have %d bytes, want %v", size, each, want)
		}
		for line := range bytes.Lines(lines) {
			if !json.Valid(line) {
				t.Fatalf("not JSON: %s", line)
			}
		}
		if ratio := float64(len(lines)) / float64(len(sluice.AppendBlock(nil, lines))); ratio < 3 || ratio > 9 {
			t.Errorf("size %d: packed to 1/%.1f, want about what logs are", size, ratio)
		}
	}
}

func TestRows(t *testing.T) {
	s := scenario{bounds: []bound{{metric: rate, min: 0.9}, {metric: cpu, max: 1.2}, {metric: cpu, min: 0.9, max: 1.4, over: mean}, {metric: cpu}}}
	ours := []figures{{rate: 8, cpu: 12}, {rate: 9, cpu: 13}, {rate: 10, cpu: 14}}
	base := []figures{{rate: 10, cpu: 10, mean: 10}, {rate: 10, cpu: 10, mean: 10}, {rate: 10, cpu: 10, mean: 10}}
	var got []string
	for _, r := range s.rows(ours, base) {
		got = append(got, r.String())
	}
	want := []string{
		"records/s                   9         10    0.90    0.80..1.00   1.00  >= 0.90",
		"CPU us/record              13         10    1.30    1.20..1.40   1.20  <= 1.20  MISSED",
		"CPU us/record              13         10    1.30    1.20..1.40   1.20  0.90..1.40",
		"CPU us/record              13         10    1.30    1.20..1.40   1.20  -",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	zero := scenario{bounds: []bound{{metric: rate}}}.rows([]figures{{}}, []figures{{}})
	if _, err := json.Marshal(zero); err != nil {
		t.Errorf("figures of zero: %v", err)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median is %v, want 2.5", m)
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(""); err != nil || all[0].name != "batches" || len(all) != len(scenarios)-1 {
		t.Errorf("without names: %d scenarios, %v", len(all), err)
	}
	if two, err := choose("drain,control"); err != nil || len(two) != 2 || two[0].name != "drain" {
		t.Errorf("two names: %d scenarios, %v", len(two), err)
	}
	if _, err := choose("batch"); err == nil {
		t.Error("an unknown name is no error")
	}
}
