// Package deploy is the operator's kit: files to run Sluice with and to watch it by. It holds no code but its tests, which ask the tools that
// will read those files, as far as they are installed, and a real sluice and a real Prometheus.
//
//	prometheus/   how to scrape, the alerts, and tests for each alert
//	grafana/      the dashboard, and how Grafana finds it
//	systemd/      a unit that checks the configuration first, and a configuration
//	Dockerfile, compose.yaml
//
// docs/monitoring.md says how to use them.
package deploy
