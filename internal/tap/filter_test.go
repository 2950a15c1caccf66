package tap

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFilters(t *testing.T) {
	const line = `{"ts":"2024-01-02T03:04:05Z","level":"WARNING","msg":"Payment timed out: \"card\"","service":"checkout","http":{"status":503,"route":"/pay"},` +
		`"user.id":"u-17","tags":["a","Slow"],"ok":false,"attributes":{"order":{"id":9223372036854775807}},"resource":{"host.name":"web-1"}}`
	tests := []struct {
		filter string
		want   bool
	}{
		{"", true}, {"   ", true},
		{"payment", true}, {"TIMED", true}, {"paid", false},
		{`"timed out"`, true}, {`"timed  out"`, false}, {`"out: \"card\""`, true},
		{"payment timed", true}, {"payment declined", false},
		{"-declined", true}, {"-payment", false}, {"payment -declined -checkout", false},
		{`/time.? out/`, true}, {`/time.?out/i`, false}, {`/PAYMENT/`, false}, {`/PAYMENT/i`, true}, {`/"route":"\/pay"/`, true}, {`-/paym/i`, false},
		{`/^Payment.*card"$/`, true},
		{"severity:warn", true}, {"level:WARNING", true}, {"severity:error", false}, {"Level:info", false}, {"-level:error", true},
		{"severity:>=warn", true}, {"severity:>=info", true}, {"severity:>=error", false}, {"severity:<error", true}, {"severity:>warn", false}, {"severity:<=warn", true},
		{"severity:WARN*", true}, {"severity:/^WARN/", true}, {"severity:other", false},
		{"service:checkout", true}, {"service:CHECKOUT", true}, {"service:check*", true}, {"service:check", false}, {"service:/^check/", true}, {"-service:checkout", false},
		{"service:*", true}, {"http.status:503", true}, {"http.status:>=500", true}, {"http.status:>503", false}, {"http.status:<504", true}, {"http.status:50", false}, {"http.status:5*", true},
		{"http.route:/pay", true}, {`http.route:"/pay"`, true}, {"status:503", false}, {"http:503", false},
		{"user.id:u-17", true}, {"USER.ID:U-17", true}, {"user:u-17", false},
		{"tags:slow", true}, {"tags:fast", false}, {"ok:false", true},
		{"order.id:9223372036854775807", true}, {"host.name:web-1", true}, {"host.name:web-2", false},
		{"missing:*", false}, {"-missing:*", true},
		{"msg:payment", true}, {"body:/CARD/i", true}, {"text:declined", false},
		{"body:*", true}, {"-body:*", false}, {"msg:PAYMENT*", true}, {"text:*timed*", true}, {"body:timed*", false}, {`body:"pay*"`, false}, {"body:checkout", false}, {"body:/checkout/", false}, {"-body:checkout", true}, {"body:TIMED", true},
		{"severity:warn service:checkout http.status:503 /time/", true}, {"severity:warn service:cart", false},
		{"https://example.org", false}, {"03:04:05", true}, {"-", true},
	}
	for _, tt := range tests {
		f, err := ParseFilter(tt.filter)
		if err != nil {
			t.Errorf("%s: %v", tt.filter, err)
			continue
		}
		if _, got := f.matches([]byte(line), time.Now()); got != tt.want {
			t.Errorf("%s: matches %v, want %v", tt.filter, got, tt.want)
		}
	}
}

// A filter that can't be meant is refused with the part that is wrong, and what would be right.
func TestBadFilters(t *testing.T) {
	tests := []struct{ filter, says string }{
		{"/(/", "regular expression"}, {"/a{5000}/", "regular expression"}, {"user:/[z-a]/i", "invalid character class range"}, {"x /(a|b/", `"/(a|b/"`},
		{"/" + strings.Repeat("(a{50}b{50})", 20) + "/", "too large"},
		{"service:", "no value"}, {`service:""`, "no value"}, {`"never closed`, "second quote"}, {`a:"open`, "second quote"},
		{"status:>=many", "number"}, {"status:>", "no value"}, {"severity:>=loud", "fatal, error, warn"}, {"severity:>=other", "level"}, {`status:>"5"`, "number"}, {"status:>/5/", "number"},
		{"a:\xab*", "UTF-8"}, {strings.Repeat("a", mostFilter+1), "1001 bytes"}, {strings.Repeat("a ", mostTerms+1), "20 terms"},
	}
	for _, tt := range tests {
		_, err := ParseFilter(tt.filter)
		if _, ok := errors.AsType[*FilterError](err); !ok || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.60s: %v, want an error with %q", tt.filter, err, tt.says)
		}
	}
}

// Whatever is typed and whatever is in a record: a filter says yes or no, and a negated one the opposite.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`severity:>=warn -a:"b c" /x.?y/i`, `a.b:*c*`, `http://x /etc/passwd`, `-`, `"`, `é:>1`} {
		f.Add(seed, `{"a":{"b":[1,"xc",null]},"level":"warn"}`)
	}
	f.Fuzz(func(t *testing.T, text, line string) {
		p, err := ParseFilter(text)
		if err != nil {
			return
		}
		_, got := p.matches([]byte(line), time.Now())
		if p == nil && !got {
			t.Error("no filter keeps a record back")
		}
		if p != nil && len(p.terms) == 1 && !p.terms[0].not {
			if n, err := ParseFilter("-" + strings.TrimSpace(text)); err == nil && len(n.terms) == 1 && n.terms[0].not {
				if _, other := n.matches([]byte(line), time.Now()); other == got {
					t.Errorf("%q and its negation both say %v", text, got)
				}
			}
		}
	})
}
