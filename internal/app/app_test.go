package app

import (
	"testing"

	"github.com/sluicehq/sluice/queue/disk"
)

func TestResultsAreAsDurableAsRecords(t *testing.T) {
	for durability, want := range map[disk.Durability]bool{disk.Disk: true, disk.Process: false} {
		if got := resultsOptions(disk.Options{Durability: durability}).Sync; got != want {
			t.Errorf("durability %s: results are synced: %v, want %v", durability, got, want)
		}
	}
}
