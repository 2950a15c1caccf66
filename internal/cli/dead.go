package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/access"
	"github.com/sluicehq/sluice/internal/api"
	"github.com/sluicehq/sluice/internal/config"
	"github.com/sluicehq/sluice/internal/visible"
	"github.com/sluicehq/sluice/internal/words"
	"github.com/sluicehq/sluice/queue"
)

func deadCommand() *cobra.Command {
	return group("dead", "Look at records that could not be analyzed, and decide what becomes of them",
		deadList(), deadShow(),
		deadAct("retry", "Put dead letters back into the queue", "POST", "/retry", "back in the queue"),
		deadAct("drop", "Delete dead letters for good", "DELETE", "", "deleted"))
}

func deadList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the dead letters, the oldest first", Args: noArgs}
	after := cmd.Flags().Uint64("after", 0, "start behind this ID")
	limit := cmd.Flags().Uint("limit", 100, "how many at most, up to 1000")
	return settings(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		cl, err := client(c)
		if err != nil {
			return err
		}
		var answer struct {
			Dead []queue.DeadLetter `json:"dead"`
		}
		if err := cl.Call(cmd.Context(), "GET", fmt.Sprintf("/v1/dead?after=%d&limit=%d", *after, *limit), nil, &answer); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(cmd.OutOrStdout(), answer)
		}
		return printDead(cmd.OutOrStdout(), answer.Dead)
	}, config.Client, config.Ask)
}

func printDead(w io.Writer, letters []queue.DeadLetter) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "ID\tTIME (%s)\tRECORDS\tATTEMPTS\tREASON\n", zone(letters[0].Time))
	for _, l := range letters {
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%s\n", l.ID, l.Time.Local().Format(time.DateTime), l.Records, l.Attempts, l.Reason)
	}
	return t.Flush()
}

func deadShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a dead letter with its records", Args: exactly(1)}
	return settings(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		id, err := deadID(args[0])
		if err != nil {
			return err
		}
		cl, err := client(c)
		if err != nil {
			return err
		}
		var letter struct {
			queue.DeadLetter
			Records []json.RawMessage `json:"records"`
		}
		if err := cl.Call(cmd.Context(), "GET", "/v1/dead/"+id, nil, &letter); err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if c.JSON {
			return printJSON(w, letter)
		}
		fmt.Fprintf(w, "dead letter %d, given up %s after %d attempts\nreason: %s\nbatch:  %s\n\n",
			letter.ID, letter.Time.Local().Format(dateTimeZone), letter.Attempts, letter.Reason, letter.Batch)
		for _, r := range letter.Records {
			fmt.Fprintf(w, "%s\n", r)
		}
		return nil
	}, config.Client, config.Ask)
}

func deadID(text string) (string, error) {
	if _, err := strconv.ParseUint(text, 10, 64); err != nil {
		return "", usageError{nil, fmt.Errorf("dead letter %q, want a whole number; \"sluice dead ls\" lists them", text)}
	}
	return text, nil
}

// deadAct makes a command that does something to dead letters by ID, or to all of them.
func deadAct(verb, short, method, suffix, done string) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " [ID ...]", Short: short}
	all := cmd.Flags().Bool("all", false, "all of them")
	yes := new(bool)
	if verb == "drop" {
		yes = cmd.Flags().BoolP("yes", "y", false, "do not ask before all are deleted")
	}
	return settings(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		if *all == (len(args) > 0) {
			return usageError{nil, fmt.Errorf("dead %s: name the IDs, or give --all", verb)}
		}
		var paths []string
		for _, arg := range args {
			id, err := deadID(arg)
			if err != nil {
				return err
			}
			paths = append(paths, "/v1/dead/"+id+suffix)
		}
		if *all {
			paths = []string{"/v1/dead" + suffix}
		}
		cl, err := clientFor(c, access.Operate)
		if err != nil {
			return err
		}
		if *all && verb == "drop" && !*yes {
			looker, err := client(c) // perhaps with another token
			if err != nil {
				return err
			}
			if err := confirmDrop(cmd, looker); err != nil {
				return err
			}
		}
		total := 0
		for _, path := range paths {
			var answer struct {
				Count int `json:"count"`
			}
			if err := cl.Call(cmd.Context(), method, path, nil, &answer); err != nil {
				return err
			}
			total += answer.Count
		}
		if c.JSON {
			return printJSON(cmd.OutOrStdout(), map[string]int{"count": total})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", words.Plural(total, "dead letter", "dead letters"), done)
		return nil
	}, config.Client, config.Ask)
}

// dateTimeZone is how a moment is written that stands alone.
const dateTimeZone = time.DateTime + " MST"

// timeZone is how a time of today is written that stands alone.
const timeZone = time.TimeOnly + " MST"

// zone names the zone in which times are written.
func zone(t time.Time) string { return t.Local().Format("MST") }

// mostKinds is how many kinds of errors are named before everything is deleted, and mostKind how many bytes of each.
const (
	mostKinds = 10
	mostKind  = 100
)

// confirmDrop says what would be deleted and asks on a terminal; elsewhere nobody can be asked.
func confirmDrop(cmd *cobra.Command, cl *server) error {
	var found struct {
		Groups    []api.DeadGroup `json:"groups"`
		Truncated bool            `json:"truncated"`
	}
	if err := cl.Call(cmd.Context(), "GET", "/v1/dead/groups", nil, &found); err != nil {
		return err
	}
	letters, records := 0, 0
	for _, g := range found.Groups {
		letters, records = letters+g.Letters, records+g.Records
	}
	if letters == 0 {
		return nil
	}
	what := words.Plural(letters, "dead letter", "dead letters") + " with " + words.Plural(records, "record", "records")
	if found.Truncated {
		what = "more than " + what
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usageError{cmd, fmt.Errorf("dead drop --all would delete %s for good; say --yes to delete them, or \"sluice dead retry --all\" to try them again", what)}
	}
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "This deletes %s for good:\n", what)
	for i, g := range found.Groups {
		if i == mostKinds {
			fmt.Fprintf(w, "  and %s\n", words.Plural(len(found.Groups)-mostKinds, "other kind of error", "other kinds of errors"))
			break
		}
		fmt.Fprintf(w, "  %s  %s\n", words.Plural(g.Records, "record", "records"), visible.Cut(g.Kind, mostKind))
	}
	fmt.Fprint(w, "Delete them? [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer = strings.ToLower(strings.TrimSpace(answer)); err != nil || answer != "y" && answer != "yes" {
		return errors.New("nothing was deleted")
	}
	return nil
}
