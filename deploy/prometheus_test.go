package deploy

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is an alert as it stands in the file.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 15 {
		t.Fatalf("only %d rules were read", len(all))
	}
	return all
}

func TestPromtoolLikesTheRules(t *testing.T) {
	promtool := tool(t, "promtool")
	runTool(t, "prometheus", promtool, "check", "rules", "rules.yaml")
	runTool(t, "prometheus", promtool, "test", "rules", "rules_test.yaml")
	runTool(t, "prometheus", promtool, "check", "config", "prometheus.yaml")
}

func TestEveryAlertIsTestedAndExplained(t *testing.T) {
	tests, page := read(t, "prometheus/rules_test.yaml"), read(t, "../docs/monitoring.md")
	for _, r := range rules(t) {
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:\n`)
		rests := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts: \[\]\n`)
		if !fires.MatchString(tests) || !rests.MatchString(tests) {
			t.Errorf("%s: rules_test.yaml wants a case in which it fires, and one in which it does not", r.Alert)
		}
		if !strings.Contains(page, "| `"+r.Alert+"` |") {
			t.Errorf("%s: docs/monitoring.md does not say what to do", r.Alert)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s: wants a severity, a summary and a description", r.Alert)
		}
	}
}

// TestPrometheusWatchesSluice lets the packaged Prometheus scrape a real sluice with our rules, and asks it all that the dashboard would.
func TestPrometheusWatchesSluice(t *testing.T) {
	path := tool(t, "prometheus")
	promtool := tool(t, "promtool")
	address := runSluice(t, "--slo", "30s", "--check-interval", "100ms")
	answer, err := http.Post("http://"+address+"/v1/records", "text/plain", strings.NewReader("one\ntwo\n"))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("records were not taken: %v, %v", answer, err)
	}
	answer.Body.Close()
	_, metrics, err := fetch("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(metrics)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	allNamed(t, metrics)

	p, base := prometheus(t, path, address)
	await(t, p, "two scrapes", func() bool {
		return len(query(t, base, "count_over_time(sluice_build_info[1m]) >= 3")) > 0
	})
	for _, e := range dashboardExpressions(t) {
		if got := query(t, base, e); len(got) == 0 {
			t.Errorf("a panel would be empty: %s", e)
		}
	}
	await(t, p, "the rules", func() bool { return rulesEvaluated(t, base) })
}

// prometheus starts it with our rules, scraping one address. Its own configuration is ours with shorter intervals.
func prometheus(t *testing.T, path, address string) (*process, string) {
	t.Helper()
	dir := t.TempDir()
	ours := read(t, "prometheus/prometheus.yaml")
	for _, change := range [][2]string{{"scrape_interval: 15s", "scrape_interval: 250ms"}, {"evaluation_interval: 15s", "evaluation_interval: 250ms"}, {"sluice:8000", address}} {
		if !strings.Contains(ours, change[0]) {
			t.Fatalf("prometheus.yaml has no %q", change[0])
		}
		ours = strings.ReplaceAll(ours, change[0], change[1])
	}
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(read(t, "prometheus/rules.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen, "--log.level=warn")
	cmd.Dir = dir
	p := begin(t, cmd)
	base := "http://" + listen
	await(t, p, "prometheus", func() bool {
		status, _, err := fetch(base + "/-/ready")
		return err == nil && status == http.StatusOK
	})
	return p, base
}

// freeAddress is one that nobody had a moment ago; Prometheus does not say which port it took if it may choose.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// query asks Prometheus for the present value of an expression, and wants one.
func query(t *testing.T, base, expr string) []any {
	t.Helper()
	_, body, err := fetch(base + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %s %v", expr, answer.Error, err)
	}
	return answer.Data.Result
}

// rulesEvaluated says whether all were evaluated, and wants none to have gone wrong.
func rulesEvaluated(t *testing.T, base string) bool {
	t.Helper()
	_, body, err := fetch(base + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Health, LastError, State string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			switch {
			case r.Health == "unknown":
				return false
			case r.Health != "ok":
				t.Fatalf("%s is %s: %s", r.Name, r.Health, r.LastError)
			case r.State != "inactive":
				t.Errorf("%s is %s although nothing is wrong", r.Name, r.State)
			}
		}
	}
	if want := len(rules(t)); n != want {
		t.Fatalf("Prometheus knows %d rules, want %d", n, want)
	}
	return true
}

var metricName = regexp.MustCompile(`\b(sluice|process|go)_[a-z0-9_]+`)

// allNamed wants every metric that a rule or a panel speaks of to be among those that a process has.
func allNamed(t *testing.T, metrics string) {
	t.Helper()
	there := map[string]bool{}
	for line := range strings.SplitSeq(metrics, "\n") {
		if name := metricName.FindString(line); name != "" && strings.HasPrefix(line, name) {
			there[name] = true
		}
	}
	var spoken []string
	for _, r := range rules(t) {
		spoken = append(spoken, metricName.FindAllString(r.Expr, -1)...)
	}
	for _, e := range dashboardExpressions(t) {
		spoken = append(spoken, metricName.FindAllString(e, -1)...)
	}
	slices.Sort(spoken)
	spoken = slices.Compact(spoken)
	if len(spoken) < 30 {
		t.Errorf("only %d metrics are spoken of", len(spoken))
	}
	for _, name := range spoken {
		if !there[name] {
			t.Errorf("%s is in a rule or panel, and not in /metrics", name)
		}
	}
}
