//go:build !linux

package doctor

// What only Linux tells is not known elsewhere.

func fileSystem(string) string { return "" }

func limits() Limits { return Limits{Files: filesLimit()} }

func cpuQuota() float64 { return 0 }

func clockSynced() (synced, known bool) { return false, false }
