package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/analyzer/count"
	"github.com/sluicehq/sluice/internal/tap"
)

// What journalctl -o json prints goes in through standard input, and has text, severity, service and time in the tail and in the results. The
// record stays as it was printed.
func TestTheJournalIsUnderstood(t *testing.T) {
	t.Parallel()
	server := serve(t, "run", "--data", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.url+"/v1/tail", nil)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("tail: %v, %v", answer, err)
	}
	defer answer.Body.Close()

	journal := []string{
		`{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1704103200123456","PRIORITY":"3","SYSLOG_IDENTIFIER":"sshd","_SYSTEMD_UNIT":"ssh.service","_COMM":"sshd","MESSAGE":"maximum authentication attempts exceeded"}`,
		`{"__CURSOR":"s=2","__REALTIME_TIMESTAMP":"1704103201000000","PRIORITY":"6","_SYSTEMD_UNIT":"nginx.service","_COMM":"nginx","MESSAGE":[114,101,97,100,121,32,27,91,48,109]}`,
	}
	const line = `Jan  1 10:00:02 web1 cron[42]: (root) CMD (true)`
	cmd := command(plain(t), "emit", "--distributor", server.url, "--file", "-")
	cmd.Stdin = strings.NewReader(strings.Join(journal, "\n") + "\n" + line + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("emit: %v\n%s", err, out)
	}

	var got []tap.Record
	for events := bufio.NewScanner(answer.Body); len(got) < 3 && events.Scan(); {
		var r tap.Record
		if data, ok := strings.CutPrefix(events.Text(), "data: "); ok && json.Unmarshal([]byte(data), &r) == nil && r.Edge == tap.In {
			got = append(got, r)
		}
	}
	if len(got) != 3 {
		t.Fatalf("the tail shows %d records, want 3", len(got))
	}
	at := time.Date(2024, 1, 1, 10, 0, 0, 123456000, time.UTC)
	if r := got[0]; !r.Time.Equal(at) || r.Severity != "ERROR" || r.Number != 17 || r.Service != "sshd" || r.Body != "maximum authentication attempts exceeded" || string(r.Line) != journal[0] {
		t.Errorf("the tail shows %+v", r)
	}
	if r := got[1]; r.Severity != "INFO" || r.Service != "nginx" || r.Body != "ready \x1b[0m" || string(r.Line) != journal[1] {
		t.Errorf("the tail shows %+v", r)
	}
	if r := got[2]; r.Time.Format("01-02 15:04:05") != "01-01 10:00:02" || r.Severity != "" || r.Service != "cron" || r.Body != line {
		t.Errorf("the tail shows %+v", r)
	}
	server.settled(t)
	var totals count.Totals
	ask(t, http.MethodGet, server.url+"/v1/results", "").decode(t, &totals)
	for name, m := range map[string]map[string]count.Tally{
		"ERROR": totals.BySeverity, "INFO": totals.BySeverity, "unknown": totals.BySeverity, "sshd": totals.ByService, "nginx": totals.ByService, "cron": totals.ByService,
	} {
		if m[name].Records != 1 {
			t.Errorf("%d records are counted as %s, want 1 (%v)", m[name].Records, name, m)
		}
	}
}
