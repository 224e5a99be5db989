#!/usr/bin/env bash
# Installs what building and testing need and is missing: a C linker, a Vulkan driver, Python, Rust, its targets.
# Quick and silent when everything is there; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'error: %s\nhelp: %s\n' "$1" "$2" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install WHY PACKAGE...: by apt when we may, else says what to install.
apt_updated=
install() {
    local why=$1
    shift
    if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
        die "missing: $why" "install it with your package manager (Debian, Ubuntu: apt-get install $*), then run this again"
    fi
    say "installing $* ($why)"
    if [ -z "$apt_updated" ]; then
        as_root apt-get update -qq
        apt_updated=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

has_vulkan_driver() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

if [ "$(uname -s)" = Linux ]; then
    command -v cc >/dev/null || install 'a C compiler, for linking' build-essential
    command -v python3 >/dev/null || install 'Python, for the examples' python3
    # Mesa brings lavapipe, the software driver that stands in where there is no GPU.
    has_vulkan_driver || install 'a Vulkan driver' mesa-vulkan-drivers
    # Into a variable: `grep -q` closing the pipe early would fail under pipefail.
    libraries=$(PATH="$PATH:/sbin" ldconfig -p)
    grep -q 'libvulkan\.so\.1' <<<"$libraries" || install 'the Vulkan loader' libvulkan1
fi

# A Rust installed a moment ago is not on PATH yet.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
if ! command -v cargo >/dev/null; then
    command -v curl >/dev/null || install 'curl, to fetch Rust' curl ca-certificates
    say 'installing Rust (rustup, minimal profile, in your home directory)'
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal \
        || die 'Rust could not be installed' 'install it as https://rustup.rs says, then run this again'
fi

# Without rustup (a distribution's Rust), components and targets are the distribution's business.
if command -v rustup >/dev/null; then
    toolchains=$(rustup toolchain list)
    grep -q '^stable' <<<"$toolchains" || rustup toolchain install stable --profile minimal
fi
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rust_is_new_enough() {
    local have
    have=$(rustc --version | awk '{ print $2 }')
    [ "$(printf '%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ]
}
if ! rust_is_new_enough; then
    command -v rustup >/dev/null && rustup update stable && rust_is_new_enough \
        || die "Rust $needed or newer is needed, this is $(rustc --version)" 'install it with rustup: https://rustup.rs'
fi
if command -v rustup >/dev/null; then
    installed=$(rustup component list --installed)
    for component in clippy rustfmt; do
        grep -q "^$component" <<<"$installed" || rustup component add "$component"
    done
    grep -qx 'rust-std-wasm32-unknown-unknown' <<<"$installed" || rustup target add wasm32-unknown-unknown \
        || die 'the target wasm32-unknown-unknown could not be added' 'check that rustup reaches its server'
fi
