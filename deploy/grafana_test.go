package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type panel struct {
	ID          int
	Title, Type string
	Description string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr string }
}

type dashboard struct {
	UID         string
	Templating  struct{ List []struct{ Name, Type string } }
	Annotations struct{ List []struct{ Expr string } }
	Panels      []panel
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "grafana/dashboards/sluice.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// dashboardExpressions are the questions of the panels as Grafana asks them.
func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	fill := strings.NewReplacer("$job", "sluice", "$instance", ".*", "$__rate_interval", "1m")
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			e := fill.Replace(target.Expr)
			if strings.Contains(e, "$") {
				t.Errorf("panel %q: the test does not know a variable of %s", p.Title, e)
			}
			all = append(all, e)
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d expressions were found", len(all))
	}
	return all
}

func TestTheDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.UID != "sluice" {
		t.Errorf("uid is %q; links to the dashboard want it to stay sluice", d.UID)
	}
	if len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Error("the first variable must be the data source: the others ask it")
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: the id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the dashboard", p.Title)
		}
		if p.Type == "row" {
			continue
		}
		titles[p.Title] = true
		if p.Datasource.UID != "${datasource}" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q wants the variable for its data source, a description and a question", p.Title)
		}
	}
	for _, want := range []string{"Keeping up", "Lost", "Oldest wait and SLO", "Depth", "Records in and out", "Analyzers", "Push-back", "Free on disk", "Dead letters"} {
		if !titles[want] {
			t.Errorf("there is no panel %q", want)
		}
	}
}

// TestGrafanaFindsWhatItIsGiven follows the provisioning to the data source and to the dashboard, inside the containers of compose.yaml.
func TestGrafanaFindsWhatItIsGiven(t *testing.T) {
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "grafana/provisioning/datasources/prometheus.yaml")), &sources); err != nil {
		t.Fatal(err)
	}
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("data sources are %v, want the prometheus of compose.yaml", sources.Datasources)
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, "grafana/provisioning/dashboards/sluice.yaml")), &providers); err != nil {
		t.Fatal(err)
	}
	grafana := composeFile(t).Services["grafana"]
	for _, p := range providers.Providers {
		host, ok := grafana.mounted(p.Options.Path)
		if !ok {
			t.Fatalf("nothing is mounted at %s", p.Options.Path)
		}
		if found, _ := filepath.Glob(filepath.Join(host, "*.json")); len(found) == 0 {
			t.Errorf("no dashboards in %s", host)
		}
	}
	home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	host, ok := grafana.mounted(filepath.Dir(home))
	if _, err := os.Stat(filepath.Join(host, filepath.Base(home))); !ok || err != nil {
		t.Errorf("the home dashboard %s is not there: %v", home, err)
	}
}
