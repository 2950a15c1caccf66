package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/autoscale"
	"github.com/sluicehq/sluice/autoscale/league"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/queue"
)

// hostile is what a name, a reason or any other text from outside may hold: an escape sequence, a control of one byte, a line that looks like
// one of ours, an override of the direction, separators, a tag.
const hostile = "a\x1b[2J\u009b31m\u202e\u2066\u2028\u200b\U000e0041\r\nFORGED\tb\x7f"

// fillIn puts hostile into every text of a value, and something into every number, list and map.
func fillIn(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(7)
	case reflect.Uint64, reflect.Uint:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillIn(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fillIn(v.Index(0))
			fillIn(v.Index(1))
		}
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		fillIn(elem)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(hostile).Convert(v.Type().Key()), elem)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillIn(v.Field(i))
			}
		}
	}
}

// hostileServer answers each path that a command asks for as a server would that was taken over: all texts are hostile.
func hostileServer(t *testing.T) string {
	t.Helper()
	answers := map[string]any{
		"/v1/stats": &api.Stats{}, "/v1/decisions": &api.Decisions{}, "/v1/explain": &api.Explained{}, "/v1/league": &league.Standing{},
		"/v1/dead": &struct {
			Dead []queue.DeadLetter `json:"dead"`
		}{},
		"/v1/autoscaler/pause": &autoscale.Stats{}, "/v1/autoscaler/resume": &autoscale.Stats{}, "/v1/autoscaler/force": &autoscale.Stats{},
		"/v1/dead/7/retry": &map[string]int{"count": 1},
	}
	bodies := map[string][]byte{"/v1/series": []byte(`{}`)}
	for path, v := range answers {
		fillIn(reflect.ValueOf(v).Elem())
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(path, err)
		}
		bodies[path] = b
	}
	var letter struct {
		queue.DeadLetter
		Records []map[string]string `json:"records"`
	}
	fillIn(reflect.ValueOf(&letter).Elem())
	bodies["/v1/dead/7"], _ = json.Marshal(letter)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := bodies[r.URL.Path]; ok {
			w.Write(body)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		if strings.Contains(r.URL.Path, "records") {
			io.WriteString(w, "no JSON "+hostile)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"error": hostile, "hint": hostile, "limit": hostile})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestNothingThatACommandPrintsIsObeyedByATerminal walks all commands. A new one must be added here, with arguments that make it ask a server
// or read a file.
func TestNothingThatACommandPrintsIsObeyedByATerminal(t *testing.T) {
	url := hostileServer(t)
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace\x1b[2J\u202e\u009b.csv")
	if err := os.WriteFile(trace, []byte("second,records\n0,300\n60,600\n120,10\n"), 0o644); err != nil {
		t.Skip("the file system refuses the name:", err)
	}
	nonsense := filepath.Join(dir, "nonsense\x1b[2J.csv")
	os.WriteFile(nonsense, []byte(hostile+"\n"+hostile), 0o644)
	settings := filepath.Join(dir, "settings\u202e.yaml")
	os.WriteFile(settings, []byte("\"a\\e[2J\\u009b\": 1\nlisten: \"\\u202e:x\"\n"), 0o644)
	to := "--distributor=" + url
	lines := map[string][][]string{
		"run": {{"--config", settings}, {"--data", hostile + "\x00"}}, "distributor": {{"--config", settings}}, "analyze": {{"--config", settings}},
		"emit":       {{to, "--records=1"}, {to, "--records=1", "--verify", "--verify-timeout=100ms"}, {to, "--file", nonsense}, {to, "--profile", hostile}, {to, "--trace", nonsense}},
		"demo":       {{hostile}, {"autoscaling", "--policy", hostile}},
		"simulate":   {{"--trace", trace, "--rate=2"}, {"--trace", nonsense, "--rate=2"}, {"--trace", trace, "--policy", hostile}, {"--trace", trace, "--rate=2", "--timeline"}, {"--trace", trace, "--variant", hostile}},
		"tune":       {{"--trace", nonsense, "--rate=2"}, {"--trace", trace, "--policy", hostile}},
		"stats":      {{to}, {to, "--json"}},
		"top":        {{to, "--once", "--interval=100ms"}, {to, "--once", "--json", "--interval=100ms"}},
		"doctor":     {{to, "--data", dir}, {"--config", settings}},
		"decisions":  {{to}, {to, "--explain"}, {to, "--diagnose"}, {to, "--json"}, {to, "--actions"}},
		"league":     {{to}, {to, "--json"}},
		"dead ls":    {{to}, {to, "--json"}},
		"dead show":  {{to, "7"}, {to, "7", "--json"}, {to, "8"}, {to, hostile}},
		"dead retry": {{to, "7"}, {to, "8"}}, "dead drop": {{to, "8"}},
		"scale pause": {{to}}, "scale resume": {{to}, {to, "--json"}}, "scale force": {{to, "7"}, {to, hostile}},
		"config print": {{"--config", settings}, {"--data", hostile}}, "config validate": {{"--config", settings}}, "config reference": {{}},
		"version": {{}, {hostile}},
	}
	walked := 0
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		for _, c := range cmd.Commands() {
			if c.Name() != "help" && c.Name() != "completion" {
				walk(c, append(path[:len(path):len(path)], c.Name()))
			}
		}
		name := strings.Join(path, " ")
		if len(path) == 0 || cmd.HasSubCommands() && lines[name] == nil {
			return
		}
		if path[0] == "demo" && len(path) > 1 {
			return // those run servers of their own
		}
		if lines[name] == nil {
			t.Errorf("sluice %s is not in this test", name)
		}
		for _, args := range lines[name] {
			walked++
			var stdout, stderr bytes.Buffer
			Main(append(path[:len(path):len(path)], args...), strings.NewReader(""), &stdout, &stderr)
			for _, out := range []string{stdout.String(), stderr.String()} {
				for _, line := range strings.Split(out, "\n") {
					if plain := strings.ReplaceAll(line, "\t", ""); !visible.Safe(plain) {
						t.Errorf("sluice %s %q prints %q", name, args, line)
					}
					if strings.HasPrefix(strings.TrimSpace(line), "FORGED") && !strings.Contains(strings.Join(args, " "), "FORGED") {
						t.Errorf("sluice %s %q prints a line from outside: %q", name, args, line)
					}
				}
			}
		}
	}
	walk(newRoot(), nil)
	if walked < 40 {
		t.Errorf("only %d command lines were run", walked)
	}
}

func TestLogLinesAreSafeAndBounded(t *testing.T) {
	for _, format := range []string{config.LogText, config.LogJSON} {
		var out bytes.Buffer
		log := logger(newScreen(&out), &config.Config{LogFormat: format})
		log.Info("message "+hostile, "text", hostile, "error", os.NewSyscallError(hostile, os.ErrNotExist), "long", strings.Repeat("x", 7<<20),
			hostile, 1, slog.Group(hostile, "a", hostile), "list", []string{hostile})
		text := out.String()
		if len(text) > 20<<10 || strings.Count(text, "\n") != 1 || !visible.Safe(strings.TrimSuffix(text, "\n")) {
			t.Errorf("%v: %d bytes, %.2000q", format, len(text), text)
		}
		if format == config.LogJSON {
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["text"] != hostile {
				t.Errorf("text %q, %v; want it to be the same in JSON", line["text"], err)
			}
		}
	}
}
