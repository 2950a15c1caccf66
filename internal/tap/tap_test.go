package tap

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehq/sluice"
)

func batchOf(lines ...string) *sluice.Batch {
	return sluice.NewBatch([]byte(strings.Join(lines, "\n")+"\n"), len(lines), time.Now())
}

func numbered(from, n int) *sluice.Batch {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"body":"record %d"}`, from+i))
	}
	return batchOf(lines...)
}

func bodies(records []Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Body)
	}
	return all
}

// What has passed is there for who comes later: a few thousand records, the newest.
func TestTheNewestRecordsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // looking has a bound in time
		var tap Tap
		for i := range 7000 {
			tap.Show(In, numbered(i, 1))
		}
		tap.Show(Done, numbered(0, 1))
		r := tap.Recent(t.Context(), Query{Edge: In}, MostRecent)
		if n := len(r.Records); n != MostRecent || r.Records[n-1].Body != "record 6999" || r.Records[0].Body != "record 5000" || r.Complete {
			t.Errorf("%d records, from %v on, complete %v; want the newest %d", n, r.Records[0], r.Complete, MostRecent)
		}
		f, err := ParseFilter(`/record 2...$/`)
		if err != nil {
			t.Fatal(err)
		}
		r = tap.Recent(t.Context(), Query{Edge: In, Filter: f}, MostRecent)
		if n := len(r.Records); n != 1000 || r.Records[0].Body != "record 2000" || !r.Complete || r.Searched != keptRecords {
			t.Errorf("%d match of %d searched, complete %v; want 1000 of %d", n, r.Searched, r.Complete, keptRecords)
		}
		if r := tap.Recent(t.Context(), Query{Edge: Done}, 10); len(r.Records) != 1 {
			t.Errorf("%d records were analyzed, want 1", len(r.Records))
		}
	})
}

// Whoever shows a batch may use its memory again at once.
func TestWhatIsKeptIsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // looking has a bound in time
		lines := []byte(`{"body":"plain"}` + "\n")
		packed := sluice.AppendBlock(nil, []byte(`{"body":"packed"}`+"\n"))
		var tap Tap
		tap.Show(In, sluice.NewBatch(lines, 1, time.Now()))
		tap.Show(In, sluice.NewPackedBatch([][]byte{packed}, 1, len(`{"body":"packed"}`)+1, time.Now()))
		clear(lines)
		clear(packed)
		for range 2 { // reading changes nothing either
			if got := bodies(tap.Recent(t.Context(), Query{Edge: In}, 10).Records); strings.Join(got, ",") != "plain,packed" {
				t.Errorf("kept are %q", got)
			}
		}
	})
}

// However large the records are, what is kept has a bound; the newest batch is always there.
func TestWhatIsKeptIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		for range 30 {
			tap.Show(In, batchOf(`{"body":"`+strings.Repeat("x", 1<<20)+`"}`))
			time.Sleep(window)
		}
		if p := &tap.in; p.bytes > keptBytes || len(p.kept) < 5 {
			t.Errorf("%d bytes in %d batches are kept, want less than %d in a few", p.bytes, len(p.kept), keptBytes)
		}
		tap.Show(In, batchOf(`{"body":"`+strings.Repeat("x", 2*keptBytes)+`"}`))
		if p := &tap.in; len(p.kept) != 1 {
			t.Errorf("%d batches beside a huge one, want none", len(p.kept)-1)
		}
	})
}

// Copying has a bound as well, and what was not copied is counted.
func TestMoreThanIsCopiedIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		r := tap.Read(Query{Edge: In, Rate: MostRate})
		defer r.Close()
		for range 10 {
			tap.Show(In, batchOf(`{"body":"`+strings.Repeat("x", 1<<20)+`"}`))
		}
		if records, skipped := r.Next(time.Now()); len(records) != 4 || skipped != 6 {
			t.Errorf("%d passed on and %d skipped, want 4 and 6", len(records), skipped)
		}
		time.Sleep(window)
		tap.Show(In, numbered(1, 1))
		if records, skipped := r.Next(time.Now()); len(records) != 1 || skipped != 0 {
			t.Errorf("a window later %d passed on and %d skipped, want 1 and 0", len(records), skipped)
		}
	})
}

func TestASampleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		r := tap.Read(Query{Edge: In, Rate: 10})
		defer r.Close()
		tap.Show(In, numbered(0, 100))
		tap.Show(Done, numbered(0, 100))
		if got, skipped := r.Next(time.Now()); len(got) != 10 || skipped != 90 {
			t.Errorf("%d passed on and %d skipped, want 10 and 90", len(got), skipped)
		}
		time.Sleep(300 * time.Millisecond)
		tap.Show(In, numbered(100, 100))
		if got, skipped := r.Next(time.Now()); len(got) != 3 || skipped != 97 {
			t.Errorf("after 0.3 s %d passed on and %d skipped, want 3 and 97", len(got), skipped)
		}
		if got, skipped := r.Next(time.Now()); len(got) != 0 || skipped != 0 {
			t.Errorf("%d passed on and %d skipped where nothing came, want none", len(got), skipped)
		}
	})
}

// A reader that comes back goes on where it was; one with a number of an earlier process begins with what is there.
func TestAReaderGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // looking has a bound in time
		var tap Tap
		tap.Show(In, numbered(0, 10))
		first := tap.Recent(t.Context(), Query{Edge: In}, 3)
		if got := bodies(first.Records); strings.Join(got, ",") != "record 7,record 8,record 9" {
			t.Errorf("the newest three are %q", got)
		}
		r := tap.Read(Query{Edge: In, Rate: MostRate})
		defer r.Close()
		if got, skipped := r.Next(time.Now()); len(got) != 0 || skipped != 0 {
			t.Errorf("%d records and %d skipped at once, want what comes from now on", len(got), skipped)
		}
		r.After(first.Records[1].ID)
		tap.Show(In, numbered(10, 1))
		if got, _ := r.Next(time.Now()); strings.Join(bodies(got), ",") != "record 9,record 10" {
			t.Errorf("behind record 8 come %q", bodies(got))
		}
		r.After(5)
		if got, skipped := r.Next(time.Now()); len(got) != 11 || skipped != 0 {
			t.Errorf("%d records and %d skipped behind an unknown one, want all 11", len(got), skipped)
		}
		around, found := tap.Around(In, first.Records[1].ID, 2)
		if got := bodies(around); !found || strings.Join(got, ",") != "record 6,record 7,record 8,record 9,record 10" {
			t.Errorf("around record 8 are %q, found %v", got, found)
		}
		if _, found := tap.Around(In, 5, 2); found {
			t.Error("a record that never passed is found")
		}
	})
}

func TestReadersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		var all []*Reader
		for range mostReaders {
			all = append(all, tap.Read(Query{Edge: Done}))
		}
		if tap.Read(Query{Edge: In}) != nil {
			t.Error("one takes the place of one that has just come")
		}
		if !tap.Listened(Done) || tap.Listened(In) {
			t.Error("want somebody at done and nobody at in")
		}
		looked := tap.Look(In) // takes no place
		if !tap.Listened(In) {
			t.Error("want somebody at in")
		}
		time.Sleep(leastFollow)
		late := tap.Read(Query{Edge: Done})
		if late == nil {
			t.Fatal("those who came first keep the others out")
		}
		gone := 0
		for _, r := range append(all, late) {
			select {
			case <-r.Gone():
				gone++
			default:
			}
			r.Close()
			r.Close() // once is enough
		}
		if gone != 1 {
			t.Errorf("%d have lost their place, want 1", gone)
		}
		looked()
		if tap.Listened(Done) || tap.Listened(In) || tap.Read(Query{}) == nil {
			t.Error("want nobody, and room")
		}
		var none *Tap
		none.Show(In, numbered(0, 1))
		if none.Listened(In) {
			t.Error("somebody listens on nothing")
		}
	})
}

// A client that does not read what it follows keeps little waiting, however long the records are.
func TestATickAndABeginningAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tap Tap
		r := tap.Read(Query{Edge: In, Rate: MostRate})
		defer r.Close()
		tap.Show(In, batchOf(slices.Repeat([]string{`{"body":"` + strings.Repeat("x", mostLine-20) + `"}`}, 60)...))
		size := func(records []Record) (n int) {
			for _, r := range records {
				n += r.size()
			}
			return n
		}
		const most = tickBytes + 3*mostLine // the one that crosses the bound is passed on
		if first := r.Begin(t.Context(), MostRecent); len(first.Records) == 0 || size(first.Records) > most {
			t.Errorf("a stream begins with %d records of %d bytes, want at most %d", len(first.Records), size(first.Records), most)
		}
		seen := 0
		for range 20 {
			got, skipped := r.Next(time.Now())
			if size(got) > most || skipped > 0 {
				t.Fatalf("a tick has %d bytes, and %d skipped; want at most %d, and none", size(got), skipped, most)
			}
			seen += len(got)
			time.Sleep(Tick)
		}
		if seen != 60 {
			t.Errorf("%d records in 20 ticks, want all 60", seen)
		}
	})
}

// The first record of all is not taken for one after a gap.
func TestTheFirstRecordSkipsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // looking has a bound in time
		var tap Tap
		r := tap.Read(Query{Edge: In, Rate: 5})
		if got, skipped := r.Next(time.Now()); len(got) != 0 || skipped != 0 {
			t.Errorf("%d records and %d skipped of none", len(got), skipped)
		}
		tap.Show(In, numbered(0, 1))
		if got, skipped := r.Next(time.Now()); len(got) != 1 || skipped != 0 {
			t.Errorf("%d records and %d skipped of one", len(got), skipped)
		}
	})
}

func TestWhatIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // looking has a bound in time
		long := strings.Repeat("ä", mostLine)
		tests := []struct{ line, body, severity, level, service string }{
			{`{"body":"disk full","severity":"ERROR","service":"db"}`, "disk full", "ERROR", "error", "db"},
			{`{"message":"hello","level":"info"}`, "hello", "INFO", "info", ""},
			{`{"MESSAGE":"no","PRIORITY":"3","SYSLOG_IDENTIFIER":"sshd","__REALTIME_TIMESTAMP":"1704103200000000"}`, "no", "ERROR", "error", "sshd"},
			{`{"body":"<11>Jan  1 10:00:00 web1 app[12]: no"}`, "<11>Jan  1 10:00:00 web1 app[12]: no", "ERROR", "error", "app"},
			{`{"body":{"a":1}}`, `{"a":1}`, "", "other", ""},
			{`{"answer":42}`, `{"answer":42}`, "", "other", ""},
			{`not JSON at all`, `not JSON at all`, "", "other", ""},
			{fmt.Sprintf(`{"body":%q}`, long), long[:mostLine], "", "other", ""},
		}
		for _, tt := range tests {
			var tap Tap
			tap.Show(In, batchOf(tt.line))
			r := tap.Recent(t.Context(), Query{Edge: In}, 1).Records[0]
			if r.Body != tt.body || r.Severity != tt.severity || r.Level != tt.level || r.Service != tt.service || r.ID == 0 {
				t.Errorf("%.60s: %.60q %q %q %q, ID %d; want %.60q %q %q %q", tt.line, r.Body, r.Severity, r.Level, r.Service, r.ID, tt.body, tt.severity, tt.level, tt.service)
			}
			if cut := len(tt.line) > mostLine; r.Cut != cut || (r.Line == nil) != cut {
				t.Errorf("%.60s: cut %v with a line of %d bytes", tt.line, r.Cut, len(r.Line))
			}
		}
	})
}

// BenchmarkShow is what each batch costs: a packed one of 4,096 records, most of which are not copied at this pace; and each of them copied.
func BenchmarkShow(b *testing.B) {
	var lines []byte
	for i := range 4096 {
		lines = fmt.Appendf(lines, `{"timestamp":"2024-01-02T03:04:05Z","severity":"INFO","service":"checkout","body":"request %d done in %d ms"}`+"\n", i, i*7919%1000)
	}
	batch := sluice.NewPackedBatch([][]byte{sluice.AppendBlock(nil, lines)}, 4096, len(lines), time.Now())
	for _, bound := range []bool{true, false} {
		b.Run(fmt.Sprintf("bound=%v", bound), func(b *testing.B) {
			var tap Tap
			b.SetBytes(int64(len(lines)))
			for b.Loop() {
				if !bound {
					tap.in.copied = 0
				}
				tap.Show(In, batch)
			}
		})
	}
}

// BenchmarkShowOne is what a batch of one record costs, each of them copied.
func BenchmarkShowOne(b *testing.B) {
	batch := numbered(0, 1)
	var tap Tap
	for b.Loop() {
		tap.in.copied = 0
		tap.Show(In, batch)
	}
}

func TestRecordsAreAskedForByAnyNameOfASeverity(t *testing.T) {
	var tap Tap
	tap.Show(In, sluice.NewBatch([]byte("{\"body\":\"a\"}\n{\"level\":30,\"body\":\"b\"}\n{\"level\":40,\"body\":\"c\"}\n"), 3, time.Now()))
	got := tap.Recent(t.Context(), Query{Edge: In, Severities: []string{"Unknown", "notice", "no such"}}, 50)
	if len(got.Records) != 2 || got.Records[0].Body != "a" || got.Records[1].Body != "b" {
		t.Errorf("%+v, want the one without a severity and the one with that of a notice, INFO", got.Records)
	}
}

func TestTheTimeIsTheRecords(t *testing.T) {
	var tap Tap
	before := time.Now()
	tap.Show(In, sluice.NewBatch([]byte("{\"ts\":1704103200.5}\n{\"body\":\"no time\"}\n"), 2, before))
	got := tap.Recent(t.Context(), Query{Edge: In}, 50).Records
	if len(got) != 2 || !got[0].Time.Equal(time.Unix(1704103200, 5e8)) || got[1].Time.Before(before) {
		t.Errorf("%+v, want the time of the record, and without one that at which it passed", got)
	}
}
