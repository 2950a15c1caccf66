package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicehq/sluice/autoscale/simulate"
	"github.com/sluicehq/sluice/internal/words"
)

// source is one file of traces/. Its bins and its length are told here, since a file leaves out what is quiet, also at
// its end.
type source struct {
	file    string
	bin     int // seconds
	seconds int
	trace   *simulate.Trace
}

// name is the file without its ending.
func (s source) name() string {
	name, _, _ := strings.Cut(s.file, ".")
	return name
}

var sources = []source{
	{file: "nasa_http.csv.gz", bin: 1, seconds: 604800},
	{file: "clarknet_http.csv", bin: 60, seconds: 691200},
	{file: "azure_llm_code.csv", bin: 1, seconds: 3437},
	{file: "azure_llm_conv.csv", bin: 1, seconds: 3503},
	{file: "facebook_hadoop.csv", bin: 1, seconds: 86409},
	{file: "kafka_broker_logs.csv", bin: 1, seconds: 27583},
	{file: "mayweather_tweets.csv", bin: 1, seconds: 4166},
	{file: "ssh_auth_log.csv", bin: 1, seconds: 196530},
	{file: "wikipedia_edits.csv.gz", bin: 1, seconds: 83582},
	{file: "nginx_org.csv", bin: 10, seconds: 2550},
	{file: "windows_events.csv", bin: 1, seconds: 693},
}

// readTraces reads all of them, and with -quick two.
func (w *workshop) readTraces() error {
	for _, s := range sources {
		if w.quick && s.file != "nginx_org.csv" && s.file != "azure_llm_code.csv" {
			continue
		}
		f, err := os.Open(filepath.Join(w.root, "traces", s.file))
		if err != nil {
			return err
		}
		s.trace, err = simulate.ReadTrace(f, simulate.TraceOptions{BinWidth: s.bin, Seconds: s.seconds})
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		w.traces = append(w.traces, s)
	}
	return nil
}

// figures is the table of traces/README.md.
func figures(traces []source) string {
	var b strings.Builder
	b.WriteString("| trace | bin | length | records | mean /s | fullest bin /s | fullest minute over mean | quiet bins | dispersion |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range traces {
		b.WriteString(s.figures())
	}
	return b.String()
}

// figures is one row. Dispersion is variance over mean of the records per minute.
func (s source) figures() string {
	var perBin, perMinute []float64
	total := 0.0
	for second, n := range s.trace.Arrivals() {
		if second%s.bin == 0 {
			perBin = append(perBin, 0)
		}
		if second%60 == 0 {
			perMinute = append(perMinute, 0)
		}
		perBin[len(perBin)-1] += float64(n)
		perMinute[len(perMinute)-1] += float64(n)
		total += float64(n)
	}
	perMinute = perMinute[:s.seconds/60] // whole ones only
	mean := total / float64(s.seconds)
	quiet := 0
	for _, n := range perBin {
		if n == 0 {
			quiet++
		}
	}
	return fmt.Sprintf("| `%s` | %ds | %s | %s | %s | %s | %s | %.0f %% | %s |\n", s.name(), s.bin, span(s.seconds), words.Thousands(int(total)), digits(mean),
		digits(greatest(perBin)/float64(s.bin)), digits(greatest(perMinute)/60/mean), 100*float64(quiet)/float64(len(perBin)), digits(dispersion(perMinute)))
}

func greatest(values []float64) float64 {
	most := math.Inf(-1)
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

func dispersion(values []float64) float64 {
	m := mean(values)
	sum := 0.0
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return sum / float64(len(values)) / m
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// digits is a number with three of them, or all before the point.
func digits(x float64) string {
	switch {
	case x >= 1000:
		return words.Thousands(int(math.Round(x)))
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// span is a length as people say it.
func span(seconds int) string {
	switch d := time.Duration(seconds) * time.Second; {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	default:
		return fmt.Sprintf("%.1f minutes", d.Minutes())
	}
}
