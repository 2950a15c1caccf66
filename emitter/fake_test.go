package emitter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	sluice "github.com/sluicehq/sluice"
	"github.com/sluicehq/sluice/internal/ranges"
)

// memory carries requests to a handler in the same process, without sockets, so that it works in a synctest bubble.
type memory struct{ handler http.Handler }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	var failed error
	func() {
		defer func() {
			if e := recover(); e != nil {
				failed = e.(error)
			}
		}()
		m.handler.ServeHTTP(w, r)
	}()
	if failed != nil {
		return nil, failed
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

var errNobody = errors.New("connect: connection refused")

// clientOf is a client of a handler in memory that logs into the returned buffer.
func clientOf(t testing.TB, h http.Handler, o ClientOptions) (*Client, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o.HTTPClient = &http.Client{Transport: memory{h}}
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, err := NewClient("http://sluice.test", o)
	if err != nil {
		t.Fatal(err)
	}
	return c, &log
}

// answers replies to posts from a list, and repeats the last one.
type answers struct {
	mu     sync.Mutex
	list   []func(w http.ResponseWriter, r *http.Request, lines int)
	posts  []int // lines of each post
	bodies [][]byte
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	i := min(len(a.posts), len(a.list)-1)
	lines := bytes.Count(body, []byte{'\n'})
	a.posts = append(a.posts, lines)
	a.bodies = append(a.bodies, body)
	a.mu.Unlock()
	a.list[i](w, r, lines)
}

// sent is how many lines each post had so far.
func (a *answers) sent() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.posts)
}

func accept(w http.ResponseWriter, _ *http.Request, lines int) {
	fmt.Fprintf(w, `{"accepted": %d, "rejected": 0, "errors": []}`, lines)
}

func refuse(http.ResponseWriter, *http.Request, int) { panic(errNobody) }

func status(code int, header ...string) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, `{"error": "no", "limit": 7, "hint": "do otherwise"}`)
	}
}

// distributor is a small stand-in for the real one: it keeps what it accepts and analyzes it when told to.
type distributor struct {
	mu       sync.Mutex
	down     bool
	closing  func(lines int) int // status for a post instead of accepting it; 0 means accept
	forget   bool                // results name no emitters
	accepted int64
	analyzed map[string]*ranges.Set
	twice    map[string]int64
	seen     map[string]map[uint64]int // how often each number was accepted
	dead     []map[string]any
	stats    ServerStats
	looks    int
	onLook   func(looks int) // called with mu held
}

func newDistributor() *distributor {
	return &distributor{analyzed: map[string]*ranges.Set{}, twice: map[string]int64{}, seen: map[string]map[uint64]int{}}
}

func (d *distributor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.URL.Path == "/v1/stats" {
		d.looks++
		if d.onLook != nil {
			d.onLook(d.looks)
		}
	}
	if d.down {
		panic(errNobody)
	}
	switch {
	case r.URL.Path == "/v1/records":
		d.post(w, r)
	case r.URL.Path == "/v1/stats":
		json.NewEncoder(w).Encode(d.stats)
	case r.URL.Path == "/v1/results":
		emitters := map[string]any{}
		for id, s := range d.analyzed {
			if !d.forget {
				emitters[id] = map[string]any{"analyzed": s.Len(), "twice": d.twice[id], "ranges": s}
			}
		}
		json.NewEncoder(w).Encode(map[string]any{"records": 1, "by_severity": map[string]any{"INFO": 1}, "emitters": emitters})
	case r.URL.Path == "/v1/dead":
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		list := []map[string]any{}
		for i := after; i < min(len(d.dead), after+limit); i++ {
			list = append(list, map[string]any{"id": strconv.Itoa(i + 1), "reason": "bad", "attempts": 5, "records": 1})
		}
		json.NewEncoder(w).Encode(map[string]any{"dead": list})
	default:
		var id int
		fmt.Sscanf(r.URL.Path, "/v1/dead/%d", &id)
		json.NewEncoder(w).Encode(d.dead[id-1])
	}
}

func (d *distributor) post(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n := bytes.Count(body, []byte{'\n'})
	if d.closing != nil {
		if code := d.closing(n); code != 0 {
			status(code, "Retry-After", "1")(w, r, n)
			return
		}
	}
	for line := range bytes.Lines(body) {
		var record sluice.Record
		if err := record.UnmarshalJSON(line); err != nil {
			panic(err)
		}
		d.accepted++
		id, _ := record.Attributes[AttributeEmitter].(string)
		number, _ := record.Attributes[AttributeSeq].(json.Number)
		seq, _ := number.Int64()
		if d.seen[id] == nil {
			d.seen[id] = map[uint64]int{}
		}
		d.seen[id][uint64(seq)]++
		d.twice[id] += int64(add(d.analyzed, id).Add(uint64(seq), uint64(seq)))
	}
	d.stats.Accepted += int64(n)
	d.stats.Completed += int64(n)
	accept(w, r, n)
}

// letter adds a dead letter of one record.
func (d *distributor) letter(emitter string, seq int) {
	record := map[string]any{"body": "x", "attributes": map[string]any{AttributeEmitter: emitter, AttributeSeq: seq}}
	d.dead = append(d.dead, map[string]any{"records": []any{record}})
	d.stats.Dead++
}

// set is the set of some ranges: first, last, first, last ...
func set(bounds ...uint64) *ranges.Set {
	s := &ranges.Set{}
	for i := 0; i < len(bounds); i += 2 {
		s.Add(bounds[i], bounds[i+1])
	}
	return s
}
