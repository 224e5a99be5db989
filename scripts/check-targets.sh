#!/usr/bin/env bash
# Type-checks the code for the systems this machine is not: the browser's wasm (required), Windows and macOS
# (as far as rustup can add the target; one that it cannot is reported, loudly, and not counted as checked).
set -euo pipefail
cd "$(dirname "$0")/.."

printf '\n== cargo check: wasm32-unknown-unknown (tbrm-core, tbrm-web, tbrm-web-template)\n'
cargo check --quiet --locked --target wasm32-unknown-unknown -p tbrm-core -p tbrm-web -p tbrm-web-template

for target in x86_64-pc-windows-msvc aarch64-apple-darwin; do
    printf '\n== cargo check: %s\n' "$target"
    if ! { command -v rustup >/dev/null && rustup target add "$target" >/dev/null 2>&1; }; then
        printf 'WARNING: NOT CHECKED: rustup could not add the target %s\n' "$target" >&2
        continue
    fi
    cargo check --quiet --locked --target "$target" -p tbrm
done
