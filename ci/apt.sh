# SPDX-License-Identifier: MIT OR Apache-2.0
# Purpose: apt-get with a configuration and lists of its own, to get what is not installed: the machine's package sources
# are read and not changed, and root is not needed. Sourced after lib.sh, not executed.
# shellcheck shell=bash

# write_sources <type> <codename>: one stanza or line for each of the machine's package sources that are Debian's, as
# sources of this <type>.
write_sources() {
    local type=$1 codename=$2 suites file
    suites="$codename $codename-updates $codename-security $codename-proposed-updates $codename-backports $codename/updates"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$file" ] || continue
        awk -v type="$type" -v suites="$suites" '
            BEGIN { n = split(suites, list); for (i = 1; i <= n; i++) known[list[i]] = 1 }
            $1 == "deb" || $1 == "deb-src" {
                # options in brackets may be several words
                for (i = 2; $2 ~ /^\[/ && $i !~ /\]$/; i++);
                suite = ($2 ~ /^\[/) ? $(i + 2) : $3
                sub(/\/$/, "", suite)
                if (suite in known) { $1 = type; if (!seen[$0]++) print }
            }' "$file"
    done >"$apt/sources.list"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        awk -v type="$type" -v suites="$suites" '
            BEGIN { n = split(suites, list); for (i = 1; i <= n; i++) known[list[i]] = 1 }
            function end() { if (wanted) print "Types: " type "\n" stanza; stanza = ""; wanted = 0 }
            /^[ \t]*$/ { end(); next }
            /^#/ || tolower($1) == "types:" { next }
            tolower($1) == "suites:" {
                kept = ""
                for (i = 2; i <= NF; i++) { s = $i; sub(/\/$/, "", s); if (s in known) kept = kept " " $i }
                if (kept == "") next
                wanted = 1
                $0 = "Suites:" kept
            }
            { stanza = stanza $0 "\n" }
            END { end() }' "$file"
    done >"$apt/sources.list.d/machine.sources"
}

# set_up_apt deb|deb-src [<release>]: gets the lists of these packages of Debian's, as of this machine's release or of that
# one, such as "stable". Fails if there is no Debian to be found. Leaves the name of this Debian in $codename.
set_up_apt() {
    local type=$1 release=${2:-}
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    if [ -z "$codename" ] || ! command -v apt-get >/dev/null; then
        say "This is not a Debian system."
        return 1
    fi

    # shellcheck disable=SC2154 # of lib.sh
    apt=$cache/apt/$type${release:+-$release}
    mkdir -p "$apt/sources.list.d" "$apt/lists/partial" "$apt/cache/archives/partial"
    # Where root's home is closed, the user that apt downloads as cannot reach the cache.
    cat >"$apt/apt.conf" <<-END
	Dir::Etc::SourceList "$apt/sources.list";
	Dir::Etc::SourceParts "$apt/sources.list.d";
	Dir::State::Lists "$apt/lists";
	Dir::Cache "$apt/cache";
	Acquire::Languages "none";
	APT::Sandbox::User "root";
	// what the machine does after its own updates
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	END
    write_sources "$type" "$codename"
    if [ -n "$release" ]; then
        sed -i -E "/^(Suites:|deb)/ s,(^|[ \t])$codename([-/ \t]|\$),\1$release\2,g" \
            "$apt/sources.list" "$apt/sources.list.d/machine.sources"
    fi
    if [ ! -s "$apt/sources.list" ] && [ ! -s "$apt/sources.list.d/machine.sources" ]; then
        say "Found no package sources of Debian '$codename' in /etc/apt."
        return 1
    fi
    apt_get update
}

apt_get() { apt-get -q -q -c "$apt/apt.conf" "$@"; }

# apt_why <log>: why apt-get failed, in one line
apt_why() { grep -m 1 '^E:' "$1" || echo "see $1"; }

# is_checked <directory>: whether its file "checked" was made within a day, so that a new version is not looked for again
is_checked() { [ -n "$(find "$1/checked" -mmin -1440 2>/dev/null)" ]; }

# download_newest <package> <log>: downloads it into the current directory, in the newest version that can be downloaded, and leaves
# that in $version. A security suite may list a version whose files are not on the mirror.
download_newest() {
    local package=$1 log=$2 versions listed
    versions=$(apt-cache -c "$apt/apt.conf" show "$package" 2>/dev/null | sed -n 's/^Version: //p' | sort -u -V -r)
    listed=${versions%%$'\n'*}
    for version in $versions; do
        if apt_get download "$package=$version" >"$log" 2>&1; then
            [ "$version" = "$listed" ] || say "Taking $package $version, the newest that can be downloaded."
            return
        fi
        say "Debian's archive lists $package $version, but it cannot be downloaded: $(apt_why "$log")"
    done
    return 1
}
