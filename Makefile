# Each of these works on a fresh machine: it installs what is missing first.
#   make demo     train a small model by TBRM from logs alone, and write its report
#   make web      build the page and serve it on this machine (PORT=8000)
#   make test     everything that CI runs
#   make bench    tokens/s and memory of an optimizer step

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
# A Rust that setup has just installed is not on PATH yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Nor is the Node that setup brings where the system's is too old.
export PATH := $(CURDIR)/target/node/node_modules/.bin:$(PATH)
# Vulkan drivers want one, and containers have none.
ifndef XDG_RUNTIME_DIR
export XDG_RUNTIME_DIR := $(shell d=$${TMPDIR:-/tmp}/tbrm-runtime-$$(id -u); mkdir -p -m 700 $$d && echo $$d)
endif

RUN ?= runs/demo
PRESETS ?= nano tiny
PORT ?= 8000

.PHONY: demo web test bench setup setup-web setup-browsers page fmt clippy doc unit targets page-check stories cases

demo: setup
	eval "$$(scripts/lavapipe.sh)"; cargo run --release --locked -p tbrm -- demo --out $(RUN) --overwrite
	@echo "report: $(RUN)/report.html"

# The page goes into the binary.
web: page
	cargo run --release --locked -p tbrm -- serve --port $(PORT)

bench: setup
	eval "$$(scripts/lavapipe.sh)"; for preset in $(PRESETS); do cargo run --quiet --release --locked -p tbrm -- bench --preset $$preset; done

# From the quick to the slow, so that a small mistake is told in seconds. Clippy and rustdoc share their checked
# dependencies; only the tests need them compiled.
test: fmt clippy doc unit targets page-check stories cases
	@printf '\nall checks passed\n'

setup:
	@scripts/setup.sh

setup-web: setup
	@scripts/setup.sh web

setup-browsers: setup-web
	@scripts/setup.sh browsers

# The static files of the page, in www/dist.
page: setup-web
	cargo run --quiet --locked -p tbrm-bundle
	cd www && npm run --silent build

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

# The wasm's types are made with it, so the page is built before it is checked.
page-check: targets
	@printf '\n== the page: build, types, style, unit tests\n'
	@cargo test --quiet --locked -p tbrm-bundle
	@$(MAKE) --no-print-directory page
	@cd www && npm run --silent check && npm run --silent test

stories: page-check setup-browsers
	@printf '\n== the page in Chromium and Firefox\n'
	@# One of them compares the page with the command that `unit` left: built again it would only bring the page along.
	@cd www && npm run --silent stories

# The core's own tests of the GPU, compiled to wasm, in both browsers.
cases: stories
	@printf '\n== the kernels in Chromium and Firefox\n'
	@cargo run --quiet --locked -p tbrm-bundle -- tests
	@cd www && npm run --silent cases
