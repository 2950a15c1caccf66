package config

import "testing"

// TestWhomAClientAsks: the one that is named, by the stronger source; else the one that listens where the settings say.
func TestWhomAClientAsks(t *testing.T) {
	const usual = "http://127.0.0.1:8000"
	client := []Group{Client, Ask}
	for _, tt := range []struct {
		name  string
		from  sources
		want  string
		named bool
	}{
		{"nothing said", sources{}, usual, false},
		{"a port", sources{env: []string{"SLUICE_LISTEN=:9000"}}, "http://127.0.0.1:9000", false},
		{"all interfaces", sources{env: []string{"SLUICE_LISTEN=0.0.0.0:9000"}}, "http://127.0.0.1:9000", false},
		{"all interfaces of IPv6", sources{env: []string{"SLUICE_LISTEN=[::]:9000"}}, "http://[::1]:9000", false},
		{"one interface", sources{env: []string{"SLUICE_LISTEN=10.0.0.7:9000"}}, "http://10.0.0.7:9000", false},
		{"a name", sources{env: []string{"SLUICE_LISTEN=localhost:9000"}}, "http://localhost:9000", false},
		{"any port", sources{env: []string{"SLUICE_LISTEN=:0"}}, usual, false},
		{"in a file, below a path", sources{file: "listen: :9000\nbase_path: /logs"}, "http://127.0.0.1:9000/logs", false},
		{"named beside listen", sources{env: []string{"SLUICE_LISTEN=:9000", "SLUICE_SERVER=http://a:1"}}, "http://a:1", true},
		{"named by flag", sources{args: []string{"--server=http://b:1"}, env: []string{"SLUICE_SERVER=http://a:1"}}, "http://b:1", true},
		{"named as distributor", sources{args: []string{"--distributor=http://d:1"}, env: []string{"SLUICE_LISTEN=:9000"}}, "http://d:1", true},
		{"flag distributor beats environment", sources{args: []string{"--distributor=http://d:1"}, env: []string{"SLUICE_SERVER=http://a:1"}}, "http://d:1", true},
		{"server beats distributor", sources{env: []string{"SLUICE_DISTRIBUTOR=http://d:1", "SLUICE_SERVER=http://a:1"}}, "http://a:1", true},
		{"environment distributor beats file", sources{file: "server: http://a:1", env: []string{"SLUICE_DISTRIBUTOR=http://d:1"}}, "http://d:1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.from.groups = client
			c := mustLoad(t, tt.from)
			if c.Server != tt.want || c.ServerNamed != tt.named {
				t.Errorf("asks %s, named %v; want %s, %v", c.Server, c.ServerNamed, tt.want, tt.named)
			}
		})
	}
	if c := mustLoad(t, sources{groups: []Group{Client, Ask, Server}, env: []string{"SLUICE_LISTEN=:9000"}}); c.Server != usual {
		t.Errorf("a process that listens itself asks %s", c.Server)
	}
}
