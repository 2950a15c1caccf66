package emitter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	sluice "github.com/sluicehq/sluice"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 999_500_000, time.UTC)

func generator(t testing.TB, o GeneratorOptions) *Generator {
	t.Helper()
	g, err := NewGenerator(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGeneratedRecords(t *testing.T) {
	const n = 20000
	lines := generator(t, GeneratorOptions{Emitter: `run-1 "quoted"`, Seed: 7}).Append(nil, n, noon)
	if average := len(lines) / n; average < 180 || average > 260 {
		t.Errorf("a record has %d bytes on average, want about 200", average)
	}
	severities, services, hosts, bodies := map[string]int{}, map[string]int{}, map[any]int{}, map[any]int{}
	seq := 0
	for line := range bytes.Lines(lines) {
		var r sluice.Record
		if !json.Valid(line) || r.UnmarshalJSON(line) != nil {
			t.Fatalf("not JSON: %s", line)
		}
		seq++
		if r.Attributes[AttributeEmitter] != `run-1 "quoted"` || r.Attributes[AttributeSeq] != json.Number(fmt.Sprint(seq)) {
			t.Fatalf("record %d has attributes %v", seq, r.Attributes)
		}
		at := noon.Add(time.Duration(seq-1) * time.Microsecond).Truncate(time.Millisecond)
		if !r.Timestamp.Equal(at) {
			t.Fatalf("record %d has time %v, want %v", seq, r.Timestamp, at)
		}
		if r.Extra != nil {
			t.Fatalf("record %d has fields of no known name: %s", seq, line)
		}
		severities[r.Severity]++
		services[r.Service()]++
		hosts[r.Resource["host.name"]]++
		bodies[r.Body]++
	}
	if seq != n {
		t.Errorf("%d lines, want %d", seq, n)
	}
	if info := severities["INFO"]; len(severities) != 4 || info < n*7/10 || info > n*8/10 || severities["ERROR"] < n/40 {
		t.Errorf("severities %v, want mostly INFO and some of each other", severities)
	}
	if len(services) < 6 || len(hosts) < 4*len(services) || len(bodies) < n/2 {
		t.Errorf("%d services, %d hosts, %d different bodies: not much variety", len(services), len(hosts), len(bodies))
	}
}

func TestGeneratorIsDeterministic(t *testing.T) {
	one := generator(t, GeneratorOptions{Emitter: "e-1", Seed: 1})
	a := one.Append(one.Append(nil, 30, noon), 70, noon)
	two := generator(t, GeneratorOptions{Emitter: "e-1", Seed: 1})
	if b := two.Append(two.Append(nil, 30, noon), 70, noon); !bytes.Equal(a, b) {
		t.Error("the same seed gives other records")
	}
	if one.Seq() != 100 {
		t.Errorf("Seq() = %d, want 100", one.Seq())
	}
	for _, o := range []GeneratorOptions{{Emitter: "e-2", Seed: 1}, {Emitter: "e-1", Seed: 2}} {
		if bytes.Equal(a[:2000], generator(t, o).Append(nil, 100, noon)[:2000]) {
			t.Errorf("%+v gives the same records", o)
		}
	}
}

func TestGeneratorSize(t *testing.T) {
	for _, size := range []int{400, 1000, 20000} {
		for line := range bytes.Lines(generator(t, GeneratorOptions{Emitter: "e-1", Size: size}).Append(nil, 200, noon)) {
			if len(line) < size || len(line) > size+60 || !json.Valid(line) {
				t.Fatalf("size %d: a record of %d bytes: %.300s", size, len(line), line)
			}
		}
	}
	for _, o := range []GeneratorOptions{{}, {Emitter: "e", Size: -1}, {Emitter: "e", Size: 1 << 30}} {
		if _, err := NewGenerator(o); err == nil {
			t.Errorf("NewGenerator(%+v): no error", o)
		}
	}
}

func BenchmarkGenerator(b *testing.B) {
	g := generator(b, GeneratorOptions{Emitter: "ab12cd-1"})
	var lines []byte
	size, records := 0, 0
	for b.Loop() {
		lines = g.Append(lines[:0], 500, noon)
		size += len(lines)
		records += 500
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(size)/float64(records), "bytes/record")
}
