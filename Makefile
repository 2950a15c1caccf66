# make run and make test are all that a fresh machine with Go, make and apt needs.

GO        ?= go
FUZZTIME  ?= 3000x
COMMIT    := $(shell git rev-parse HEAD 2>/dev/null)
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help run demo build test check race fuzz mutants sample bench compare screenshots generate clean setup

help: ## show the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

run: build ## run Sluice on localhost:8000, with its data in ./sluice-data
	./sluice run

demo: build ## watch the pool grow and shrink, in a minute
	./sluice demo autoscaling

build: ## build ./sluice
	$(GO) build -ldflags "-X github.com/sluicehq/sluice/internal/cli.Commit=$(COMMIT)" -o sluice ./cmd/sluice

test: setup check race fuzz sample ## everything that CI runs

setup: ## install what the tests need
	@scripts/setup

check: ## format, vet, lint, generated files
	@test -z "$$(gofmt -l .)" || { echo "not formatted (run gofmt -w):"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) mod verify >/dev/null
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) ./...
	@scripts/generated

race: ## all tests; with the race detector where anything runs concurrently
	$(GO) test -race -parallel 5 -timeout 40m $$($(GO) list ./... | grep -v -E '/autoscale/(simulate|tune|rivals)$$|/compare$$')
	$(GO) test -timeout 40m ./autoscale/... ./compare

fuzz: ## every fuzz test, briefly
	@GO="$(GO)" scripts/fuzz $(FUZZTIME)

mutants: ## break one line of each promise, one at a time: a test has to fail
	$(GO) run ./mutants

sample: ## three mutants drawn at random
	$(GO) run ./mutants -sample 3

bench: build ## ingest, latency and draining next to a bare durable server, as ratios
	$(GO) run ./bench

compare: ## all policies on all traffic: writes docs/comparison.md and docs/images anew
	$(GO) run ./compare

screenshots: setup ## pictures of the page into docs/images, of a process under load; takes seven minutes
	E2E_PICTURES=$(CURDIR)/docs/images $(GO) test ./internal/e2e -run 'TestPictures$$' -count=1 -v -timeout 20m

generate: ## write generated files anew
	$(GO) generate ./...

clean: ## delete what was built
	rm -f sluice
