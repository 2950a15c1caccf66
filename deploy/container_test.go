package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluicehq/sluice/analyzer"
)

type service struct {
	Build           struct{ Context, Dockerfile string }
	Command         []string
	Ports, Volumes  []string
	Environment     map[string]string
	StopGracePeriod string   `yaml:"stop_grace_period"`
	DependsOn       []string `yaml:"depends_on"`
}

// mounted finds the folder of this machine that a service sees at a path.
func (s service) mounted(path string) (host string, ok bool) {
	for _, v := range s.Volumes {
		if parts := strings.Split(v, ":"); len(parts) > 1 && parts[1] == path && strings.HasPrefix(parts[0], ".") {
			return filepath.Clean(parts[0]), true
		}
	}
	return "", false
}

type compose struct {
	Services map[string]service
	Volumes  map[string]any
}

func composeFile(t *testing.T) (c compose) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// stopTime is what a process needs to stop in order: docs/operations.md.
func stopTime() time.Duration { return analyzer.Options{}.WithDefaults().DrainTimeout + 15*time.Second }

func TestComposeSpeaksOfWhatThereIs(t *testing.T) {
	c := composeFile(t)
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if _, err := os.Stat(from); err != nil {
					t.Errorf("%s mounts %s: %v", name, from, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s mounts the volume %s, which is not declared", name, from)
			}
		}
		for _, other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, other)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s opens %s to everybody, and none of them asks for a token", name, port)
			}
		}
	}
	s := c.Services["sluice"]
	if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if grace, err := time.ParseDuration(s.StopGracePeriod); err != nil || grace < stopTime() {
		t.Errorf("stop_grace_period is %q, want at least %v", s.StopGracePeriod, stopTime())
	}
	goodCommand(t, s.Command)
	targets := regexp.MustCompile(`targets: \["([a-z]+):8000"\]`).FindStringSubmatch(read(t, "prometheus/prometheus.yaml"))
	if targets == nil || s.Environment["SLUICE_ALLOWED_HOSTS"] != targets[1] {
		t.Errorf("Prometheus asks for the host %q, and the setting allowed_hosts is %q", targets, s.Environment["SLUICE_ALLOWED_HOSTS"])
	}
	config := slices.IndexFunc(c.Services["prometheus"].Command, func(a string) bool { return strings.HasPrefix(a, "--config.file=") })
	path := strings.TrimPrefix(c.Services["prometheus"].Command[config], "--config.file=")
	host, ok := c.Services["prometheus"].mounted(filepath.Dir(path))
	if _, err := os.Stat(filepath.Join(host, filepath.Base(path))); !ok || err != nil {
		t.Errorf("prometheus is told to read %s, which is not mounted", path)
	}
	if !strings.Contains(read(t, "prometheus/prometheus.yaml"), `targets: ["sluice:8000"]`) {
		t.Error("prometheus does not scrape the service sluice")
	}
}

// imageEnvironment is what the image sets.
func imageEnvironment(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(read(t, "Dockerfile"))
	if m == nil {
		t.Fatal("the image sets no environment")
	}
	return strings.Fields(m[1])
}

// TestTheImageAsksForATokenOnAllInterfaces: it listens where everybody can reach it, and does not start without a token file.
func TestTheImageAsksForATokenOnAllInterfaces(t *testing.T) {
	dir := t.TempDir()
	run := func(extra ...string) *exec.Cmd {
		cmd := sluice(t, "run")
		cmd.Env = append(cmd.Env, imageEnvironment(t)...)
		cmd.Env = append(cmd.Env, "SLUICE_DATA="+filepath.Join(dir, "data")) // the last of a name wins
		cmd.Env = append(cmd.Env, extra...)
		return cmd
	}
	if listen := "SLUICE_LISTEN=:8000"; !slices.Contains(imageEnvironment(t), listen) {
		t.Errorf("the image sets %q, want %s", imageEnvironment(t), listen)
	}
	if out, err := run("SLUICE_LISTEN=:0").CombinedOutput(); err == nil || !strings.Contains(string(out), "token file: open /run/secrets/sluice-tokens") && !strings.Contains(string(out), "token file: stat /run/secrets/sluice-tokens") {
		t.Errorf("without a token file: %v, want an error that names it: %s", err, out)
	}
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := begin(t, run("SLUICE_LISTEN=:0", "SLUICE_TOKEN_FILE="+tokens))
	await(t, p, "the image's command", func() bool { return strings.Contains(p.said(), `"msg":"ready"`) })
	if strings.Contains(p.said(), "WARN") {
		t.Errorf("with a token file: %s", p.said())
	}
}

// goodCommand checks the flags of a run of sluice as sluice itself would, with the command that only looks.
func goodCommand(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "run" {
		t.Fatalf("%q is not sluice run", args)
	}
	if out, err := sluice(t, append([]string{"config", "validate"}, args[1:]...)...).CombinedOutput(); err != nil {
		t.Errorf("sluice %s: %s", strings.Join(args, " "), out)
	}
}

func TestComposeIsReadByItsTool(t *testing.T) {
	for _, words := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		path, err := exec.LookPath(words[0])
		if err != nil || exec.Command(path, append(words[1:], "version")...).Run() != nil {
			continue
		}
		runTool(t, ".", path, append(words[1:], "-f", "compose.yaml", "config", "--quiet")...)
		return
	}
	t.Skip("there is neither docker compose nor docker-compose")
}

// TestDockerfileSpeaksOfWhatThereIs reads it line by line, as no engine can be asked here.
func TestDockerfileSpeaksOfWhatThereIs(t *testing.T) {
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	declared := map[string]bool{}
	var made []string
	for line := range strings.SplitSeq(text, "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		for _, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(line, -1) {
			if !declared[m[1]] {
				t.Errorf("%s: %s is not declared", line, m[1])
			}
		}
		switch verb {
		case "ARG":
			name, _, _ := strings.Cut(rest, "=")
			declared[name] = true
		case "COPY":
			words := strings.Fields(rest)
			fromStage := strings.HasPrefix(words[0], "--from=")
			words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") })
			for _, from := range words[:len(words)-1] {
				if strings.HasPrefix(from, "/out/") {
					if !strings.Contains(text, "RUN") || !strings.Contains(text[:strings.Index(text, line)], from) {
						t.Errorf("%s: nothing makes %s", line, from)
					}
				} else if _, err := os.Stat(filepath.Join("..", from)); !fromStage && err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
			made = append(made, words[len(words)-1])
		case "USER":
			if rest != "65532:65532" {
				t.Errorf("USER is %s, want numbers that are not root: without a passwd file names mean nothing", rest)
			}
		case "ENTRYPOINT":
			var words []string
			if err := json.Unmarshal([]byte(rest), &words); err != nil || !slices.Contains(made, words[0]) {
				t.Errorf("%s: want a list that begins with a file that was copied, there is no shell", line)
			}
		case "CMD":
			var words []string
			if err := json.Unmarshal([]byte(rest), &words); err != nil {
				t.Errorf("%s: want a list, there is no shell", line)
			}
			goodCommand(t, words)
		}
	}
	if m := regexp.MustCompile(`-X (\S+)=\$\{VERSION\}" -o /out/sluice (\S+)`).FindStringSubmatch(text); m == nil {
		t.Error("the version is not linked in")
	} else {
		binary := filepath.Join(t.TempDir(), "sluice")
		build := exec.Command("go", "build", "-ldflags", "-X "+m[1]+"=v1.2.3", "-o", binary, m[2])
		build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		if got := runTool(t, ".", binary, "version"); !strings.HasPrefix(got, "sluice v1.2.3, ") {
			t.Errorf("it calls itself %q, want sluice v1.2.3 and more", got)
		}
	}
}
