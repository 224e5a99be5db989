#!/usr/bin/env bash
# Installs what building and testing need and is missing. Quick and silent when everything is there; safe to run again.
#   scripts/setup.sh            for the command: a C linker, a Vulkan driver, Python, Rust, its targets
#   scripts/setup.sh web        for the page: Node, npm, the packages of www/
#   scripts/setup.sh browsers   for the page's tests: Chromium and Firefox ESR; CHROMIUM and FIREFOX name others
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

# at_least NEEDED HAVE: compares version numbers.
at_least() {
    [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

has_vulkan_driver() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

for_command() {
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
    rust_is_new_enough() { at_least "$needed" "$(rustc --version | awk '{ print $2 }')"; }
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
}

for_web() {
    local needed
    needed=$(sed -n 's/.*"node": *">=\([0-9.]*\)".*/\1/p' www/package.json)
    node_is_new_enough() {
        command -v npm >/dev/null && command -v node >/dev/null && at_least "$needed" "$(node --version | tr -d v)"
    }
    # Where the Makefile looks first, too.
    PATH="$PWD/target/node/node_modules/.bin:$PATH"
    if ! node_is_new_enough; then
        install "Node $needed or newer, to build the page" nodejs npm
        # Debian 12's is older: npm has newer ones as packages.
        node_is_new_enough || npm install --silent --no-save --prefix target/node node@22 npm@10 >/dev/null
        hash -r
        node_is_new_enough \
            || die "Node $needed or newer is needed, this is $(node --version)" 'install it as https://nodejs.org says'
    fi
    # npm ci takes seconds even where there is nothing to do.
    if ! cmp -s www/package-lock.json www/node_modules/.setup-done; then
        say 'installing the packages that www/package-lock.json names'
        (cd www && npm ci --silent --no-audit --no-fund) \
            || die 'the packages of www/ could not be installed' 'run `npm ci` in www/ to see why'
        cp www/package-lock.json www/node_modules/.setup-done
    fi
}

# browser VARIABLE PACKAGE: the one that VARIABLE names, or else Debian's.
browser() {
    if [ -n "${!1:-}" ]; then
        command -v "${!1}" >/dev/null || die "$1 is ${!1}, which is no program" 'give the path of a browser'
    elif ! command -v "$2" >/dev/null; then
        # Ubuntu's packages only fetch a snap, which can neither start as root nor use a profile in /tmp.
        if grep -qsx 'ID=ubuntu' /etc/os-release; then
            die "missing: $2, for the page's tests" "install a browser that is no snap, and give its path as $1=PATH"
        fi
        install "a browser, for the page's tests; or give one as $1=PATH" "$2"
    fi
}

case "${1:-command}" in
    command) for_command ;;
    web) for_web ;;
    browsers)
        browser CHROMIUM chromium
        browser FIREFOX firefox-esr
        ;;
    *) die "unknown: $1" 'scripts/setup.sh [command|web|browsers]' ;;
esac
