# The one vocabulary of this project; each target sees to what it needs. On Debian and Ubuntu, root gets missing
# packages installed; everybody else is told which they are.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test simulate crash e2e bench bench-operator generate lint advisories images

# Rust itself comes from rustup; librdkafka is compiled from its sources and linked to the system's OpenSSL.
compiler := dev/need cc:build-essential make:build-essential pkg-config:pkg-config openssl.pc:libssl-dev && \
	{ command -v cargo >/dev/null || { echo "missing: cargo. Get it from https://rustup.rs" >&2; exit 1; }; }

# Tests find the servers by a variable each. Not `eval "$(dev/servers up)"` alone: that hides a failure.
servers = servers=$$(dev/servers up $(only)); eval "$$servers"

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

run: ## both services in one process, with nothing to install: no Kafka, no MySQL
	@$(compiler)
	cargo run --release --locked -p fluxo-demo

test: ## every test, on a real Kafka, MySQL and Kubernetes API server that dev/servers starts
	@$(compiler)
	$(servers); cargo test --workspace --locked

SEEDS ?= 1000000
simulate: ## the listener's state machines against a model of all that can fail, on all cores: SEEDS=1000000
	@$(compiler)
	cargo run --release --locked -p fluxo-simulator -- --seeds $(SEEDS)

# The programs are those of the tests, so nothing is compiled twice.
ROUNDS ?= 12
SEED ?= 1
crash: what := rounds --rounds $(ROUNDS) --seed $(SEED)
crash: ## services, brokers and MySQL crash under load, and every record is counted: ROUNDS=200 SEED=1, or what=rolling, what=away
	@$(compiler)
	cargo build --workspace --bins --tests --locked
	programs=$${CARGO_TARGET_DIR:-target}; \
	"$$programs/debug/fluxo-crash" --programs "$$programs/debug" --logs "$$programs/crash" $(what)

e2e: ## the README's tour of a cluster, on a real Kubernetes of one node that dev/e2e starts; needs root
	@$(compiler)
	dev/e2e/run

bench: only := kafka mysql
bench: ## what Fluxo reaches against its floors, on a broker of its own
	@$(compiler)
	dev/kafka/down 19192 --wipe
	trap 'dev/kafka/down 19192 --wipe' EXIT; \
	export FLUXO_TEST_KAFKA; FLUXO_TEST_KAFKA=$$(KAFKA_OPTS=-XX:TieredStopAtLevel=4 dev/kafka/up 19192); \
	$(servers); cargo run --release --locked -p fluxo-bench

# On servers of its own: what the API server counts is what is measured. A short form; the whole measurement, with 1,000
# pipelines, ten minutes of rest and 100 outages, is `make bench-operator with=`.
bench-operator: only := kafka kubernetes
bench-operator: with := --pipelines 1,100 --rest 60 --outages 12
bench-operator: ## what the operator costs at rest, and how soon it is back after a restart or an outage
	@$(compiler)
	down() { dev/kafka/down 19192 --wipe; dev/kubernetes/down api 19443; }; down; trap down EXIT; \
	export FLUXO_TEST_KAFKA FLUXO_TEST_KUBERNETES; \
	FLUXO_TEST_KAFKA=$$(dev/kafka/up 19192 | tail -1); FLUXO_TEST_KUBERNETES=$$(dev/kubernetes/up api 19443 | tail -1); \
	$(servers); cargo build --release --locked -p fluxo-operator; \
	cargo run --release --locked -p fluxo-bench operator $(with)

# Every file in the repository that code makes has a test with `generated` in its name, which fails when the
# file differs, or writes it when FLUXO_GENERATE=1.
generate: ## write the generated files again: OpenAPI, schema, settings, …
	@$(compiler)
	$(servers); FLUXO_GENERATE=1 cargo test --workspace --locked generated
	dev/chart generate
	dev/tour/readme

# Warnings are errors by clippy's own arguments, not by RUSTFLAGS: these would compile everything again.
# Without the advisories: they would fail it, for something that nobody here has changed, on the day a crate gets one.
lint: ## formatting, clippy, documentation, dependencies, shell scripts, generated files, the chart, the tour
	@$(compiler); dev/need shellcheck:shellcheck
	cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked
	dev/deny check bans licenses sources
	dev/shellcheck
	$(servers); cargo test --workspace --locked generated
	dev/chart
	dev/tour/readme check

advisories: ## what is known against a dependency; fetches RustSec's database from GitHub
	@$(compiler)
	dev/deny check advisories

images: ## the container images of the services, built without a registry and tried out
	@$(compiler)
	dev/images/test
