# SPDX-License-Identifier: MIT OR Apache-2.0
# Purpose: what the scripts of this directory have in common. Sourced by them, not executed.
# shellcheck shell=bash

set -euo pipefail
# a command that fails in $(...) fails there, too
shopt -s inherit_errexit

# The top of the working copy.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The directory of downloads and builds that all working copies share.
# shellcheck disable=SC2034 # for those who source this
cache=${XDG_CACHE_HOME:-$HOME/.cache}/haproxy-email-alert
# Oldest Rust that compiles the library: rust-version of Cargo.toml.
rust_minimum=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml")
# Version of the library, of the companion and of the packages: version of Cargo.toml.
# shellcheck disable=SC2034 # for those who source this
project_version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
# Number at the end of the library's soname: that of the C ABI.
abi=$(sed -n 's/^#define HAPROXY_EMAIL_ALERT_ABI //p' "$root/include/haproxy_email_alert.h")
# Name of the library where programs ask for it when they start.
# shellcheck disable=SC2034 # for those who source this
soname=libhaproxy_email_alert.so.$abi

# Standard output is for results.
say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

# Runs a command as root, with sudo if need be.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -p "This needs root: $*
sudo asks for the password of %p: " "$@"
    else
        die "this needs root, and there is no sudo; as root: $*"
    fi
}

# Prints a cargo that is new enough: that of the PATH, or that of Debian's package.
find_cargo() {
    local cargo version
    for cargo in "$(type -P cargo || true)" /usr/bin/cargo; do
        [ -x "$cargo" ] || continue
        version=$("$cargo" --version 2>/dev/null | cut -d ' ' -f 2) || continue
        if [ "$(printf '%s\n' "$rust_minimum" "$version" | sort -V | sed -n 1p)" = "$rust_minimum" ]; then
            printf '%s\n' "$cargo"
            return
        fi
    done
    return 1
}

# Runs that cargo in the working copy, with the compiler that belongs to it.
run_cargo() {
    local cargo
    cargo=$(find_cargo) || die "no cargo >= $rust_minimum found; on Debian, ci/setup installs one"
    (cd "$root" && PATH=$(dirname "$cargo"):$PATH "$cargo" "$@")
}

# Builds the library as users get it; prints its path.
build_library() {
    run_cargo build --release --quiet -p haproxy-email-alert-capi >&2
    printf '%s\n' "${CARGO_TARGET_DIR:-$root/target}/release/libhaproxy_email_alert.so"
}

# Builds the library with AddressSanitizer and all checks; prints its path. The runtime is the one that the C compiler brings for the
# program; a compiler that is not a nightly one is told that it may.
build_sanitized_library() {
    local host target=${CARGO_TARGET_DIR:-$root/target}/sanitized
    host=$(rustc -vV | sed -n 's/^host: //p')
    RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address' CARGO_PROFILE_FUZZ_DEBUG=line-tables-only CARGO_PROFILE_FUZZ_STRIP=none \
        run_cargo build --profile fuzz --quiet -p haproxy-email-alert-capi --target "$host" --target-dir "$target" >&2
    printf '%s\n' "$target/$host/fuzz/libhaproxy_email_alert.so"
}

# find_tree [BRANCH=<branch> | TREE=<directory>]: leaves in $tree a source tree of HAProxy, Debian's of that branch (2.6) or
# your own, and in $branch its branch. Fails if there are no patches for that.
find_tree() {
    local known
    case $1 in
        TREE=*)
            tree=${1#*=}
            [ -e "$tree/src/haproxy.c" ] || die "'$tree' is not a source tree of HAProxy"
            tree=$(cd "$tree" && pwd)
            # not "make version", which writes into the tree
            branch=$(sed -n '1s/^\([0-9]*\.[0-9]*\).*/\1/p' "$tree/VERSION")
            ;;
        BRANCH=* | '')
            tree='' branch=${1#BRANCH=}
            branch=${branch:-2.6}
            ;;
        *) die "unknown argument '$1'; expected BRANCH=<branch> or TREE=<directory>" ;;
    esac
    if [ ! -e "$root/patches/$branch/series" ]; then
        known=$(cd "$root/patches" && printf '%s\n' */series | sed 's,/series$,,' | paste -s -d ' ')
        die "there are no patches for HAProxy ${branch:-of an unknown version}; there are for: $known"
    fi
    [ -n "$tree" ] || tree=$("$root/ci/haproxy-source" "$branch")
}

# Prints the names of this project's files, as they are now, with a NUL after each.
project_files() {
    if [ -e "$root/.git" ]; then
        git -C "$root" ls-files -z --cached --others --exclude-standard
    else
        (cd "$root" && find . -path ./target -prune -o -type f -printf '%P\0')
    fi
}

# Waits until no other process is in <directory>, which is made if need be. Ends with this script.
lock() {
    mkdir -p "$1"
    exec {lock_fd}>"$1/lock"
    flock -n "$lock_fd" || { say "waiting for another run to leave $1"; flock "$lock_fd"; }
}
