package emitter

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sec = time.Second

func TestProfilesAddUp(t *testing.T) {
	for _, test := range []struct {
		profile Profile
		at      time.Duration
		want    int64
	}{
		{Constant{500}, -sec, 0},
		{Constant{500}, 0, 0},
		{Constant{500}, 2*time.Millisecond - 1, 0},
		{Constant{500}, 2 * time.Millisecond, 1},
		{Constant{500}, 10 * sec, 5000},
		{Constant{0.3}, time.Hour, 1080},
		{Constant{0.1}, 10 * sec, 1},
		{Constant{1e9}, 10000 * time.Hour, 36e15},
		{Constant{1.0 / 3}, 3 * sec, 1},
		{Ramp{0, 2000, 60 * sec}, 30 * sec, 15000},
		{Ramp{0, 2000, 60 * sec}, 60 * sec, 60000},
		{Ramp{0, 2000, 60 * sec}, 61 * sec, 62000},
		{Ramp{100, 0, 10 * sec}, 5 * sec, 375},
		{Ramp{100, 0, 10 * sec}, time.Hour, 500},
		{Spike{100, 5000, 20 * sec, 10 * sec}, 20 * sec, 2000},
		{Spike{100, 5000, 20 * sec, 10 * sec}, 21 * sec, 7000},
		{Spike{100, 5000, 20 * sec, 10 * sec}, 30 * sec, 52000},
		{Spike{100, 5000, 20 * sec, 10 * sec}, 40 * sec, 53000},
		{Spike{0, 10, 0, 2 * sec}, sec, 10},
		{OnOff{1000, 0, 10 * sec, 20 * sec}, 5 * sec, 5000},
		{OnOff{1000, 0, 10 * sec, 20 * sec}, 29 * sec, 10000},
		{OnOff{1000, 0, 10 * sec, 20 * sec}, 30 * sec, 10000},
		{OnOff{1000, 0, 10 * sec, 20 * sec}, 300001 * sec, 100010000 - 9000},
		{OnOff{1000, 10, 10 * sec, 20 * sec}, 60 * sec, 20400},
		{AsFastAsPossible{}, 0, Unlimited},
	} {
		if got := test.profile.Due(test.at); got != test.want {
			t.Errorf("%v: Due(%v) = %d, want %d", test.profile, test.at, got, test.want)
		}
	}
}

// TestProfilesNeverFall walks through each profile in uneven steps: nobody may have to take a record back.
func TestProfilesNeverFall(t *testing.T) {
	trace, err := ReadTrace(strings.NewReader("second,records\n3,7\n6,1\n15,100\n"), TraceOptions{Speedup: 1.7, Scale: 1.3})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Profile{
		Constant{333.3}, Ramp{1, 777.7, 10 * sec}, Ramp{777, 0, 10 * sec}, Spike{3.3, 1e6, 7 * sec, sec},
		OnOff{999.9, 0.1, 700 * time.Millisecond, 300 * time.Millisecond}, trace, Ramp{}, OnOff{}, Spike{}, Constant{},
	} {
		last := int64(0)
		for at := time.Duration(0); at < 40*sec; at += 1234567 {
			got := p.Due(at)
			if got < last {
				t.Fatalf("%v: Due(%v) = %d after %d", p, at, got, last)
			}
			last = got
		}
	}
}

func TestParseProfile(t *testing.T) {
	for text, want := range map[string]Profile{
		"max":                      AsFastAsPossible{},
		"constant:500":             Constant{500},
		"constant:0.25":            Constant{0.25},
		"ramp:0-2000/60s":          Ramp{0, 2000, time.Minute},
		"ramp:0-2000/60":           Ramp{0, 2000, time.Minute},
		"spike:100-5000@20s+10s":   Spike{100, 5000, 20 * sec, 10 * sec},
		"spike:100-5000@0s+1m30s":  Spike{100, 5000, 0, 90 * sec},
		"onoff:1000/0,10s/20s":     OnOff{1000, 0, 10 * sec, 20 * sec},
		"onoff:1000/1.5,0.5/200ms": OnOff{1000, 1.5, 500 * time.Millisecond, 200 * time.Millisecond},
	} {
		got, err := ParseProfile(text)
		if err != nil || got != want {
			t.Errorf("ParseProfile(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseProfileErrorsTellTheGrammar(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "constant:500 ",
		"500":                  "ramp:0-2000/60s ",
		"max:3":                "onoff:1000/0,10s/20s ",
		"constant:":            `"" is not a number; write it like constant:500`,
		"constant:1e3":         "is not a number",
		"constant:-1":          "is not a number",
		"constant:99999999999": "want 0 to 1000000000",
		"ramp:0-2000":          `a "/" is missing; write it like ramp:0-2000/60s`,
		"ramp:0-2000/0s":       "want 1ms",
		"ramp:0-2000/-5s":      "want 1ms",
		"ramp:0-2000/soon":     "is not a duration",
		"spike:100@20s+10s":    `a "-" is missing`,
		"onoff:1000/0,10s":     `a "/" is missing; write it like onoff:1000/0,10s/20s`,
		"trace:":               "no such file",
		"trace:/dev/null":      "is not a file",
		"trace:x,speedup=0":    "0 is not a factor",
		"trace:x,scale=none":   `scale: "none" is not a number`,
	} {
		_, err := ParseProfile(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseProfile(%q) = %v, want an error with %q", text, err, want)
		}
	}
}

func TestParseProfileTrace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a,b=c.csv")
	if err := os.WriteFile(name, []byte("second,records\n0,10\n1,20\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "trace:" + name + ",speedup=2,scale=3"
	p, err := ParseProfile(text)
	if err != nil || p.Duration() != sec || p.Due(sec) != 90 || p.String() != text {
		t.Errorf("ParseProfile(%q) = %v, %v", text, p, err)
	}
}

func FuzzParseProfile(f *testing.F) {
	for line := range strings.Lines(ProfileGrammar) {
		f.Add(strings.Fields(line)[0])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "trace:") {
			return // would open whatever file it names
		}
		p, err := ParseProfile(text)
		if err != nil {
			return
		}
		again, err := ParseProfile(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is %v, which reads as %v, %v", text, p, again, err)
		}
		last := int64(0)
		for _, at := range []time.Duration{0, 1, sec, time.Minute, time.Hour, 10000 * time.Hour, math.MaxInt64} {
			due := p.Due(at)
			if due < last {
				t.Fatalf("%v: Due(%v) = %d after %d", p, at, due, last)
			}
			last = due
		}
	})
}
