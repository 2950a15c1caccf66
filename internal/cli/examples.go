package cli

import "github.com/spf13/cobra"

// examples are those of the commands that have none beside their flags, by the path behind the program's name.
var examples = map[string]string{
	"run": `  sluice run                                     data in ./sluice-data
  sluice run --listen 127.0.0.1:9000 --data /var/lib/sluice --slo 10s --max-size 20
  sluice run --config /etc/sluice/sluice.yaml
  SLUICE_MAX_SIZE=20 sluice run --handler sleep --sleep-per-record 2ms`,
	"distributor": `  sluice distributor --data /var/lib/sluice
  sluice distributor --listen :8000 --token-file /etc/sluice/tokens --max-bytes 50GiB`,
	"analyze": `  sluice analyze --distributor http://logs-1:8000
  sluice analyze --distributor http://logs-1:8000 --max-size 40 --slo 30s
  sluice analyze --distributor http://logs-1:8000 --listen 127.0.0.1:8002 --name web`,
	"top": `  sluice top                                     on this machine
  sluice top --server http://logs-1:8000
  sluice top --once                              one frame, as plain text
  sluice top --once --json                       the same for programs`,
	"stats": `  sluice stats
  sluice stats --watch
  sluice stats --server http://logs-1:8000 --json`,
	"decisions": `  sluice decisions                               the last 30
  sluice decisions --actions -n 10               only what changed the pool
  sluice decisions --diagnose
  sluice decisions --server http://127.0.0.1:8001 --explain`,
	"league": `  sluice league
  sluice league --watch
  sluice league --server http://127.0.0.1:8001 --json`,
	"doctor": `  sluice doctor
  sluice doctor --config /etc/sluice/sluice.yaml
  sluice doctor --data /var/lib/sluice --server http://logs:8000 --json`,
	"config": `  sluice config print
  sluice config validate --config sluice.yaml`,
	"config print": `  sluice config print
  SLUICE_SLOTS=4 sluice config print --config sluice.yaml --listen 127.0.0.1:8000
  sluice config print --json`,
	"config validate": `  sluice config validate --config sluice.yaml
  sluice config validate --min-size 5 --max-size 4`,
	"dead": `  sluice dead ls
  sluice dead show 17
  sluice dead retry --all`,
	"dead ls": `  sluice dead ls
  sluice dead ls --after 100 --limit 20
  sluice dead ls --json`,
	"dead show": `  sluice dead show 17
  sluice dead show 17 --json`,
	"dead retry": `  sluice dead retry 17 18
  sluice dead retry --all`,
	"dead drop": `  sluice dead drop 17
  sluice dead drop --all                         asks first
  sluice dead drop --all --yes                   does not, for scripts`,
	"scale": `  sluice scale pause
  sluice scale force 10 --for 30m
  sluice scale resume`,
	"scale pause": `  sluice scale pause
  sluice scale pause --server http://127.0.0.1:8001`,
	"scale resume": `  sluice scale resume
  sluice scale resume --json`,
	"scale force": `  sluice scale force 10                          for ten minutes
  sluice scale force 0 --for 30s`,
	"demo": `  sluice demo autoscaling
  sluice demo failure
  sluice demo weights`,
	"demo failure": `  sluice demo failure
  sluice demo failure --duration 10s --processes 2 --kill-every 1s`,
	"demo weights": `  sluice demo weights
  sluice demo weights --duration 5s --json`,
}

// addExamples gives each command its own.
func addExamples(cmd *cobra.Command, path string) {
	if cmd.Example == "" {
		cmd.Example = examples[path]
	}
	for _, c := range cmd.Commands() {
		below := c.Name()
		if path != "" {
			below = path + " " + below
		}
		addExamples(c, below)
	}
}
