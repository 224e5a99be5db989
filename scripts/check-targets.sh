#!/usr/bin/env bash
# Type-checks the command for Windows and macOS, as far as rustup can add the target: one that it cannot is reported,
# loudly, and not counted as checked. The browser's wasm is built with the page.
set -euo pipefail
cd "$(dirname "$0")/.."

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
