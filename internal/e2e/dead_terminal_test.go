package e2e

import (
	"fmt"
	"testing"

	"github.com/sluicehq/sluice/queue"
)

// TestDroppingAllAsks: on a terminal everything is deleted only after a yes, and it is said before what everything is.
func TestDroppingAllAsks(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir(), "--handler", "sleep", "--sleep-per-record", "0", "--faults")
	server.accept(t, `{"body":"no","attributes":{"sluice.fault":"discard"}}`+"\n")
	letters := func() int {
		var d struct{ Dead []queue.DeadLetter }
		ask(t, "GET", server.url+"/v1/dead", "").decode(t, &d)
		return len(d.Dead)
	}
	waitFor(t, "a dead letter", func() bool { return letters() == 1 })
	term := openTerminal(t, 100, 24, fmt.Sprintf("%s dead drop --all --server %s", self(t), server.url))
	term.until(`This deletes 1 dead letter with 1 record for good:\n +1 record  the record asks to be discarded\nDelete them\? \[y/N\]`)
	term.keys("n", "Enter")
	term.until(`nothing was deleted(?s:.*)at rest>`)
	if n := letters(); n != 1 {
		t.Errorf("%d letters after a no, want 1", n)
	}
	term = openTerminal(t, 100, 24, fmt.Sprintf("%s dead drop --all --server %s", self(t), server.url))
	term.until(`Delete them\?`)
	term.keys("y", "Enter")
	term.until(`1 dead letter deleted`)
	if n := letters(); n != 0 {
		t.Errorf("%d letters after a yes, want none", n)
	}
}
