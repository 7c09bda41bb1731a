# The doors of the project. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
XTASK := cargo run --quiet --package xtask --

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: web
web: ## build the dashboard if its sources changed (needs Node 20)
	$(XTASK) web

.PHONY: run
run: web ## build everything, start the server, print a sign-in link
	cargo build --release --package toft-cli
	@cargo run --quiet --release --package toft-cli -- up

.PHONY: prepare
prepare: ## install what tests and checks need (apt, npm, cargo); root only if something is missing
	.ci/prepare

.PHONY: test
test: web ## all tests that CI runs
	.ci/prepare tests
	.ci/test default

.PHONY: test-deep
test-deep: web ## the long ones too: every step killed, clocks that jump, foreign agents, the fuzzer, all stories as an ordinary user
	.ci/prepare deep
	.ci/test deep

.PHONY: check
check: ## format, lints, tidy, licences, spelling, dashboard checks
	.ci/prepare checks
	.ci/check

.PHONY: api
api: ## write the dashboard's types of the HTTP API anew, after a route has changed
	UPDATE=1 cargo test --quiet --package toft-server --lib openapi::tests::the_dashboards_types

.PHONY: bench
bench: web ## what a user feels, measured here, beside peers that are installed
	.ci/peers
	cargo build --release --package toft-cli
	target/release/toft bench --peers

.PHONY: dist
dist: web ## the binary to ship: target/dist/toft
	cargo build --profile dist --package toft-cli
	@ls -l target/dist/toft

.PHONY: desktop
desktop: web ## the dashboard in a window of its own; starts a server if none runs (ARGS="--server URL")
	.ci/desktop $(ARGS)

.PHONY: screenshots
screenshots: web ## drive the dashboard in Chromium and keep pictures in target/screenshots
	.ci/prepare tests
	cargo build --package toft-cli
	TOFT_SCREENSHOTS=target/screenshots cargo test --package toft-stories --test all -- main_story --nocapture
