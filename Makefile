# Each of these works on a fresh machine: it installs what is missing first.
#   make demo     train a small model by TBRM from logs alone, and write its report
#   make test     everything that CI runs
#   make bench    tokens/s and memory of an optimizer step

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
# A Rust that setup has just installed is not on PATH yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Vulkan drivers want one, and containers have none.
ifndef XDG_RUNTIME_DIR
export XDG_RUNTIME_DIR := $(shell d=$${TMPDIR:-/tmp}/tbrm-runtime-$$(id -u); mkdir -p -m 700 $$d && echo $$d)
endif

RUN ?= runs/demo
PRESETS ?= nano tiny

.PHONY: demo test bench setup fmt clippy doc unit targets

demo: setup
	cargo run --release --locked -p tbrm -- demo --out $(RUN) --overwrite
	@echo "report: $(RUN)/report.html"

bench: setup
	for preset in $(PRESETS); do cargo run --quiet --release --locked -p tbrm -- bench --preset $$preset; done

# From the quick to the slow, so that a small mistake is told in seconds. Clippy and rustdoc share their checked
# dependencies; only the tests need them compiled.
test: fmt clippy doc unit targets
	@printf '\nall checks passed\n'

setup:
	@scripts/setup.sh

fmt: setup
	@printf '\n== cargo fmt --check\n'
	@cargo fmt --all --check

clippy: fmt
	@printf '\n== cargo clippy\n'
	@cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

doc: clippy
	@printf '\n== cargo doc\n'
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --workspace --no-deps

unit: doc
	@printf '\n== cargo test\n'
	@cargo test --quiet --locked --workspace --exclude tbrm-bundle

targets: unit
	@scripts/check-targets.sh
