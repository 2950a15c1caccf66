package sluice_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluicehq/sluice"

// The plan of the house: imports go down only. Each row bans imports for one room and everything below its folder, and
// says why. A ban ends with "/..." where it means all below; "std" stands for whatever is not the standard library; a name behind "!" may be
// imported all the same.
var bans = []struct {
	room string
	bans []string
	why  string
}{
	{".", []string{"internal/...", "!internal/fields", "queue/...", "analyzer/...", "distributor", "emitter", "autoscale/..."},
		"the root holds the shared words; it knows no room"},
	{"autoscale/...", []string{"std"},
		"anybody can embed the autoscaler, so it brings nothing along"},
	{"autoscale", []string{"autoscale/simulate", "autoscale/rivals", "autoscale/league", "autoscale/tune"},
		"policies do not know that they are simulated, nor with whom they are compared"},
	{"queue", []string{"distributor", "analyzer/...", "emitter", "autoscale/...", "internal/...", "!internal/visible", "queue/disk", "queue/memory", "queue/remote"},
		"the contract knows neither who puts and leases nor who implements it"},
	{"queue/disk", []string{"distributor", "analyzer/...", "emitter", "autoscale/...", "internal/...", "!internal/group", "!internal/ranges"},
		"an engine knows the contract and nothing above it"},
	{"queue/memory", []string{"distributor", "analyzer/...", "emitter", "autoscale/...", "internal/..."},
		"an engine knows the contract and nothing above it"},
	{"queue/remote", []string{"distributor", "analyzer/...", "emitter", "autoscale/...", "internal/...", "!internal/visible", "!internal/seconds"},
		"a client of the work API must be usable without the server"},
	{"distributor", []string{"analyzer/...", "emitter", "autoscale/...", "queue/disk", "queue/memory", "queue/remote",
		"internal/app", "internal/api", "internal/config", "internal/cli"},
		"taking in does not know who works off, nor how the queue is made"},
	{"analyzer/...", []string{"distributor", "emitter", "autoscale/...", "queue/disk", "queue/memory", "queue/remote",
		"internal/app", "internal/api", "internal/config", "internal/cli"},
		"an analyzer works on any queue, in this process or elsewhere, and does not size itself"},
	{"emitter", []string{"distributor", "analyzer/...", "autoscale/...", "queue/...", "internal/app", "internal/api", "internal/config", "internal/cli"},
		"a client knows the HTTP API only"},
	{"internal/config", []string{"internal/app", "internal/api", "internal/cli", "emitter"},
		"settings are made of the rooms' options; they start nothing"},
	{"internal/api", []string{"internal/app", "internal/config", "internal/cli", "emitter", "queue/disk"},
		"the API answers for the rooms it is given"},
	{"internal/access", []string{"internal/...", "!internal/strictjson", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"who may ask is decided before anybody knows what was asked for"},
	{"internal/fields", []string{".", "internal/...", "!internal/jsonscan", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"reading a record depends on nothing but the record, so that everybody may use it"},
	{"internal/tap", []string{"internal/...", "!internal/fields", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"whoever lets people look does not know where records come from"},
	{"internal/results", []string{"internal/app", "internal/api", "internal/config", "internal/cli", "distributor", "emitter", "queue/..."},
		"results know what was counted, not where it came from"},
	{"internal/traces", []string{"internal/app", "internal/api", "internal/config", "internal/cli", "distributor", "emitter", "queue/...", "analyzer/..."},
		"reading a trace starts nothing and asks nobody"},
	{"internal/chart", []string{"autoscale/...", "distributor", "emitter", "queue/...", "analyzer/...", "internal/app", "internal/api", "internal/config", "internal/cli"},
		"a picture knows points and colours, not what they mean"},
	{"internal/atomicfile", []string{"internal/...", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"replacing a file does not depend on what is in it"},
	{"internal/history", []string{"internal/...", "!internal/atomicfile", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"the history is numbers in files; who counts them and who reads them is not its business"},
	{"internal/slo", []string{"internal/...", "!internal/atomicfile", "!internal/words", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"measuring waits does not depend on what the queue is, nor on who reads the figures"},
	{"internal/dashboard", []string{"internal/...", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"the page knows the HTTP API only, like everybody else's"},
	{"internal/doctor", []string{"internal/...", "!internal/words", "!internal/visible", "!internal/access", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"a look at the machine needs nothing of what will run on it but the rules for its secrets"},
	{"internal/visible", []string{"std"},
		"how text from outside is shown does not depend on where it came from"},
	{"internal/strictjson", []string{"internal/...", "!internal/visible", "!internal/words", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"what a field must look like is in the type that is read"},
	{"internal/words", []string{"std", "autoscale/...", "!internal/seconds"},
		"how a number is written does not hang on what was counted"},
	{"internal/seconds", []string{"std"},
		"a number of seconds is one wherever it comes from"},
	{"internal/multiline", []string{"internal/...", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"which lines belong together does not hang on where they come from or go to"},
	{"internal/golden", []string{"internal/...", "queue/...", "distributor", "analyzer/...", "emitter", "autoscale/..."},
		"comparing with a file does not hang on what was made"},
	{"internal/top", []string{"internal/app", "internal/config", "internal/cli", "distributor", "emitter", "queue/..."},
		"whoever watches from a terminal knows the HTTP API only"},
	{"internal/app", []string{"internal/cli"},
		"the command line calls the application"},
}

// Libraries that stay behind one room, so that they can be replaced there.
var behind = map[string]string{
	"github.com/chromedp/":                 "nobody", // tests only
	"github.com/hanwen/go-fuse/":           "nobody", // tests only
	"github.com/prometheus/":               "internal/api",
	"github.com/spf13/cobra":               "internal/cli",
	"charm.land/bubbletea/":                "internal/top",
	"github.com/charmbracelet/x/ansi":      "internal/top",
	"golang.org/x/image":                   "internal/chart",
	"github.com/google/renameio/":          "internal/atomicfile",
	"go.yaml.in/yaml":                      "internal/config",
	"golang.org/x/sync/errgroup":           "internal/app",
	"github.com/klauspost/compress/s2":     ".",
	"github.com/rogpeppe/go-internal":      "internal/cli",
	"github.com/klauspost/compress/snappy": "nobody",
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); packages++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		room := inModule(p.ImportPath)
		for _, imp := range p.Imports {
			for _, row := range bans {
				if matches(row.room, room) && banned(row.bans, imp) {
					t.Errorf("%s imports %s: %s", room, imp, row.why)
				}
			}
			for library, owner := range behind {
				if strings.HasPrefix(imp, library) && room != owner {
					t.Errorf("%s imports %s, which stays behind %s", room, imp, owner)
				}
			}
		}
	}
	if packages < 15 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func inModule(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// matches says whether a room is the named one, or below it where the name ends with "/...".
func matches(name, room string) bool {
	top, below := strings.CutSuffix(name, "/...")
	return room == top || below && strings.HasPrefix(room, top+"/")
}

func banned(names []string, imp string) bool {
	if slices.Contains(names, "!"+inModule(imp)) {
		return false
	}
	for _, name := range names {
		if name == "std" {
			first, _, _ := strings.Cut(imp, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(imp, module+"/autoscale") {
				return true
			}
			continue
		}
		if strings.HasPrefix(imp, module) && matches(name, inModule(imp)) {
			return true
		}
	}
	return false
}
