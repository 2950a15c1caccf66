// Package e2e tests Sluice from outside: real processes, real HTTP, real signals, real disks. It has no code but tests.
//
// The test binary acts as the sluice command when it is started with [childVariable] set, so the race detector watches the
// servers too. Where memory is measured, the command is built without the race detector instead.
//
// # A browser
//
// The page is tested in Chromium, without a window. Where there is none, and scripts/setup could not install it, these tests are skipped and say so.
// A message of the browser's console fails them.
//
// # More of the same
//
// What a test does by default takes seconds. These variables make some of them as hard as one likes; -short leaves the
// longest out.
//
//	E2E_KILLS=20    how often the whole process is killed while an emitter runs (default 6)
//	E2E_OUTAGE=60s  how long the distributor stays away from a remote pool (default 3s)
//	E2E_BIG=1       a backlog of 5 million records instead of 500,000
//	E2E_LIVE=60     seconds of traffic on which a live run and a simulation have to agree within 5 % (default 15, within 25 %)
//	E2E_PICTURES=docs/images  where pictures of the page go, an absolute path; make screenshots sets it (default: none are taken)
//	E2E_SEED=7      the seed of random moments; each test logs the one it used
//
// SLUICE_E2E_KILLS and so on are understood as well.
package e2e
