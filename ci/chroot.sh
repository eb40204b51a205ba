# SPDX-License-Identifier: MIT OR Apache-2.0
# Purpose: commands in another root directory, as root. Sourced, not executed.
# shellcheck shell=bash

# Mounts in <directory> what commands need. For the inside of a mount namespace, with which it goes away.
mount_root() {
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/run"
    mkdir -p "$1/dev/shm"
    mount -t tmpfs tmpfs "$1/dev/shm"
    # The registries may be behind something that only this machine trusts.
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$1/run/authorities.pem"
}

# chrooted <directory> <command>...: with nothing of this environment
chrooted() {
    chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive CARGO_HTTP_CAINFO=/run/authorities.pem "${@:2}"
}

# namespaces [<option of unshare>]... <command>...: what it mounts and starts ends with it, however it ends.
namespaces() { unshare --mount --mount-proc --pid --fork --kill-child "$@"; }

# in_root <directory> <command>...
in_root() {
    # shellcheck disable=SC2016 # for the other shell
    namespaces bash -euc '. "$0"; mount_root "$1"; chrooted "$@"' "${BASH_SOURCE[0]}" "$@"
}
