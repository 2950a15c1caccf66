package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/internal/config"
)

// Groups of commands, in the order of the help.
const (
	groupRun   = "run"
	groupLook  = "look"
	groupSteer = "steer"
	groupPlan  = "plan"
)

var commandGroups = []*cobra.Group{
	{ID: groupRun, Title: "Run and send:"},
	{ID: groupLook, Title: "Look:"},
	{ID: groupSteer, Title: "Decide by hand:"},
	{ID: groupPlan, Title: "Try out and plan:"},
}

// in puts commands into a group.
func in(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

// basics are the settings of the first ten minutes.
var basics = []string{"listen", "data", "slo", "handler", "min-size", "max-size", "server", "distributor", "token-file", "json", "config"}

// sections are the headings of the flags of a command, with the groups of settings below each. What a command has of its own comes first.
var sections = []struct {
	title  string
	groups []config.Group
}{
	{"Scaling", []config.Group{config.Autoscaler, config.Policy}},
	{"Analyzers", []config.Group{config.Analyzer}},
	{"Queue", []config.Group{config.Queue}},
	{"Limits of what is taken in", []config.Group{config.Intake}},
	{"Server", []config.Group{config.Server}},
	{"Connection", []config.Group{config.Client, config.Ask}},
	{"Log", []config.Group{config.Common}},
}

// manySettings is from how many flags on the first ones have a heading of their own.
const manySettings = 12

// usage prints how a command is typed, its examples, and its flags by what they are about.
func usage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	fmt.Fprintln(w, "Usage:")
	if !cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "  "+cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printCommands(w, cmd)
	printFlags(w, cmd)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nMore about a command: %s help%s COMMAND\n", cmd.Root().Name(), strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()))
	}
	if !cmd.HasParent() {
		fmt.Fprint(w, "\nEvery flag of a setting is also a variable and a key of a file: --max-size, SLUICE_MAX_SIZE, max_size.\n"+
			"The exit code is 0, or 1 for what was tried and failed, or 2 for what was asked for wrongly.\n")
	}
	return nil
}

func printCommands(w io.Writer, cmd *cobra.Command) {
	list := func(title string, of func(*cobra.Command) bool) {
		for _, c := range cmd.Commands() {
			if !c.IsAvailableCommand() || !of(c) {
				continue
			}
			if title != "" {
				fmt.Fprintf(w, "\n%s\n", title)
				title = ""
			}
			fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
		}
	}
	for _, g := range cmd.Groups() {
		list(g.Title, func(c *cobra.Command) bool { return c.GroupID == g.ID })
	}
	title := "Commands:"
	if len(cmd.Groups()) > 0 {
		title = "Others:"
	}
	list(title, func(c *cobra.Command) bool { return c.GroupID == "" })
}

func printFlags(w io.Writer, cmd *cobra.Command) {
	own, settings := pflag.NewFlagSet("", 0), 0
	grouped := map[config.Group][]*pflag.Flag{}
	var first []*pflag.Flag
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		g := f.Annotations[config.FlagGroup]
		switch {
		case f.Hidden:
		case g == nil:
			own.AddFlag(f)
		case slices.Contains(basics, f.Name):
			settings++
			first = append(first, f)
		default:
			settings++
			grouped[config.Group(g[0])] = append(grouped[config.Group(g[0])], f)
		}
	})
	set := func(flags ...*pflag.Flag) *pflag.FlagSet {
		s := pflag.NewFlagSet("", 0)
		s.SortFlags = false
		for _, f := range flags {
			s.AddFlag(f)
		}
		return s
	}
	section := func(title string, s *pflag.FlagSet) {
		if s.HasFlags() {
			wrap := 0 // what is not read on a screen is searched by lines
			if isTerminal(w) || os.Getenv("COLUMNS") != "" {
				wrap = min(max(columns(w), 80), 120)
			}
			text := s.FlagUsagesWrapped(wrap)
			const says = "[=true|false]" // which goes without saying; the columns stay
			fmt.Fprintf(w, "\n%s:\n%s", title, strings.ReplaceAll(text, says, strings.Repeat(" ", len(says))))
		}
	}
	own.SortFlags = false
	slices.SortStableFunc(first, func(a, b *pflag.Flag) int { return slices.Index(basics, a.Name) - slices.Index(basics, b.Name) })
	title := "Flags"
	if settings >= manySettings {
		title = "Basics"
	}
	section(title, set(append(flagsOf(own), first...)...))
	for _, s := range sections {
		var flags []*pflag.Flag
		for _, g := range s.groups {
			flags = append(flags, grouped[g]...)
		}
		section(s.title, set(flags...))
	}
}

func flagsOf(s *pflag.FlagSet) (flags []*pflag.Flag) {
	help := s.Lookup("help")
	s.VisitAll(func(f *pflag.Flag) {
		if f != help {
			flags = append(flags, f)
		}
	})
	return flags
}

// helpCommand is help [COMMAND ...].
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND ...]", Short: "Explain a command", Example: "  sluice help run\n  sluice help dead drop", RunE: func(cmd *cobra.Command, args []string) error {
		at := cmd.Root()
		for _, name := range args {
			next := child(at, name)
			if next == nil {
				return usageError{at, unknownCommand(at, name)}
			}
			at = next
		}
		at.InitDefaultHelpFlag()
		return at.Help()
	}}
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}

// unknownCommand names what was typed, and the nearest command.
func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q%s", name, cmd.CommandPath(), config.DidYouMean(name, known))
}

// seeHelp is the line behind a mistake of usage: where the right words are.
func seeHelp(cmd *cobra.Command) string {
	return "see: " + cmd.Root().Name() + " help" + strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name())
}
