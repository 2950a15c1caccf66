package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// each visits a command and all below it.
func each(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		each(c, f)
	}
}

// TestExamplesWork: every command has examples, and what they say is there: the command, its flags, and values that they take.
func TestExamplesWork(t *testing.T) {
	each(newRoot(), func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd.HasParent() {
			return
		}
		count := 0
		for line := range strings.Lines(cmd.Example) {
			_, words, found := strings.Cut(" "+line, "sluice ")
			if !found || strings.Contains(words, "'") {
				continue
			}
			count++
			words, _, _ = strings.Cut(strings.TrimSpace(words), "   ") // what stands behind is for people
			root := newRoot()
			named, rest, err := root.Find(strings.Fields(words))
			if err != nil || cmd.HasParent() && named.CommandPath() != cmd.CommandPath() && cmd.Runnable() && !cmd.HasSubCommands() && cmd.Name() != "help" && cmd.Name() != "version" {
				t.Errorf("%s: the example %q is of %s: %v", cmd.CommandPath(), words, named.CommandPath(), err)
				continue
			}
			named.InitDefaultHelpFlag()
			named.InitDefaultVersionFlag()
			if err := named.ParseFlags(rest); err != nil {
				t.Errorf("%s: the example %q: %v", cmd.CommandPath(), words, err)
			}
		}
		if count < 2 {
			t.Errorf("%s has %d examples, want at least 2", cmd.CommandPath(), count)
		}
	})
}

// TestHelpNamesEveryFlag: whatever the groups, no flag is left out and none stands twice.
func TestHelpNamesEveryFlag(t *testing.T) {
	each(newRoot(), func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			return
		}
		var text strings.Builder
		cmd.SetOut(&text)
		printFlags(&text, cmd)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if n := strings.Count(text.String(), " --"+f.Name+" "); !f.Hidden && f.Name != "help" && n < 1 {
				t.Errorf("%s: the help has --%s %d times:\n%s", cmd.CommandPath(), f.Name, n, text.String())
			}
		})
	})
}

// TestClientsTakeServer: all who ask a process name it in the same way.
func TestClientsTakeServer(t *testing.T) {
	for _, path := range []string{"stats", "top", "decisions", "league", "emit", "dead ls", "dead show", "dead retry", "dead drop", "scale pause", "scale resume", "scale force", "demo autoscaling", "doctor"} {
		cmd, _, err := newRoot().Find(strings.Fields(path))
		if err != nil || cmd.Flags().Lookup("server") == nil {
			t.Errorf("%s does not take --server: %v", path, err)
		}
	}
	if code := Main([]string{"analyze", "--server", "http://127.0.0.1:1"}, strings.NewReader(""), io.Discard, io.Discard); code != exitUsage {
		t.Errorf("analyze takes --server, exit code %d; its distributor is named by --distributor", code)
	}
}
