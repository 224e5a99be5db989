#!/usr/bin/env bash
# A faster software driver for Debian 12 without a GPU: lavapipe of Debian's backports (Mesa 25) takes a third of the time of
# Debian 12's own (Mesa 22) on processors without AVX-512. It goes into target/lavapipe; the system stays as it is, and root is
# not needed. Prints what makes Vulkan use it, and nothing where it is not wanted or cannot be had:
#   eval "$(scripts/lavapipe.sh)"
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

wanted() {
    [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 1
    # A GPU that this would hide.
    if compgen -G '/dev/dri/renderD*' || compgen -G '/dev/nvidia[0-9]*' || [ -e /dev/kfd ] || [ -e /dev/dxg ]; then
        return 1
    fi >/dev/null
    [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-} ${VERSION_CODENAME:-}" = 'debian bookworm' ]) || return 1
    ! grep -qw avx512f /proc/cpuinfo
}

# By apt with directories of its own, from the mirror that the system has: checked against Debian's keys as any other package.
fetch() {
    local to=$1 apt=() mirror
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' \
        | awk '($1 == "bookworm" || $1 == "stable") && $2 == "main" && !seen++ { print $3 }')
    [ -n "$mirror" ] || return 1
    rm -rf "$to.part"
    mkdir -p "$to.part/lists/partial" "$to.part/cache"
    echo "deb $mirror bookworm-backports main" >"$to.part/sources.list"
    # Without apt's own user, who cannot write here.
    apt=(apt-get -qq -o "Dir::Etc::sourcelist=$to.part/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$to.part/lists" -o "Dir::Cache=$to.part/cache" -o APT::Sandbox::User= -o Acquire::Retries=2)
    "${apt[@]}" update >&2 && (cd "$to.part" && "${apt[@]}" download mesa-vulkan-drivers/bookworm-backports >&2) || return 1
    dpkg-deb -x "$to.part"/mesa-vulkan-drivers_*.deb "$to.part/root" || return 1
    mv "$to.part"/root/usr/{lib/*/libvulkan_lvp.so,share/doc/mesa-vulkan-drivers/copyright} "$to.part" || return 1
    # A path beside the file that says it.
    echo '{"file_format_version": "1.0.0", "ICD": {"api_version": "1.4.305", "library_path": "./libvulkan_lvp.so"}}' \
        >"$to.part/lavapipe.json"
    rm -r "$to.part"/{lists,cache,root,sources.list} "$to.part"/*.deb
    rm -rf "$to"
    mv "$to.part" "$to"
}

wanted || exit 0
to=$PWD/target/lavapipe
if [ ! -e "$to/lavapipe.json" ]; then
    say 'fetching lavapipe of Mesa 25 from the backports of Debian (11 MB) into target/lavapipe'
    mkdir -p target
    if ! fetch "$to"; then
        say 'it could not be had: lavapipe of Debian 12 will do, at a third of the speed'
        exit 0
    fi
fi
# It takes the rest (LLVM, libdrm, X) from the system.
if ! libraries=$(ldd "$to/libvulkan_lvp.so") || grep -q 'not found' <<<"$libraries"; then
    say 'target/lavapipe misses libraries: lavapipe of Debian 12 will do, at a third of the speed'
    exit 0
fi
printf 'export VK_DRIVER_FILES=%q\n' "$to/lavapipe.json"
