package fields_test

import (
	"testing"

	"github.com/sluicehq/sluice/internal/fields"
)

// BenchmarkSeverityAndService is what the counting of a record asks, for shapes that differ in what must be looked at.
func BenchmarkSeverityAndService(b *testing.B) {
	for name, line := range map[string]string{
		"a record of ours": `{"timestamp":"2026-01-02T03:04:05.678Z","severity":"INFO","body":"GET /items/4711 took 12ms, user 4711, cache miss","resource":{"service.name":"api"},"attributes":{"sluice.emitter":"e1","sluice.seq":4711}}`,
		"a line of text":   record(`2024-01-01 10:00:00,123 [main] ERROR com.acme.Main - it failed for the third time, and will not be tried again`),
		"an access log":    record(`192.0.2.1 - frank [01/Jan/2024:10:00:00 +0100] "GET /a?b=c HTTP/1.1" 500 2326 "http://x/" "Mozilla/5.0 (X11; Linux)"`),
		"no head at all":   record(`the quick brown fox jumps over the lazy dog, again and again, until the line has some hundred bytes`),
		"nested":           record(`2024-01-01T10:00:00.123456789Z stdout F {"level":"error","service":"api","msg":"one","user":4711}`),
		"key=value":        record(`ts=2024-01-01T10:00:00.123Z caller=main.go:12 level=warn component=ingester msg="slow \"flush\"" took=3s`),
	} {
		b.Run(name, func(b *testing.B) {
			var v fields.View
			line := []byte(line)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Scan(line); err != nil {
					b.Fatal(err)
				}
				v.Severity()
				v.Service()
			}
		})
	}
}
