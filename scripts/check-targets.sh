#!/usr/bin/env bash
# Type-checks the code for the systems this machine is not: the browser's wasm (required), Windows and macOS
# (as far as rustup can add the target; one that it cannot is reported, loudly, and not counted as checked).
set -euo pipefail
cd "$(dirname "$0")/.."

printf '\n== cargo check: wasm32-unknown-unknown (tbrm-core, tbrm-web, tbrm-web-template)\n'
cargo check --quiet --locked --target wasm32-unknown-unknown -p tbrm-core -p tbrm-web -p tbrm-web-template

targets=()
for target in x86_64-pc-windows-msvc aarch64-apple-darwin; do
    if command -v rustup >/dev/null && rustup target add "$target" >/dev/null 2>&1; then
        targets+=(--target "$target")
        printf '\n== cargo check: %s\n' "$target"
    else
        printf 'WARNING: NOT CHECKED: rustup could not add the target %s\n' "$target" >&2
    fi
done
# Together: while one waits for its last crate, the other has work.
[ ${#targets[@]} = 0 ] || cargo check --quiet --locked "${targets[@]}" -p tbrm
