# SPDX-License-Identifier: MIT OR Apache-2.0
# Purpose: the short way to everything. "make help" says what there is.

PREFIX  = /usr/local
LIBDIR  = $(PREFIX)/lib
DESTDIR =
CARGO   = cargo
BRANCH  =
TREE    =
HAPROXY_TREES =

VERSION := $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
# as in the library's soname
ABI     := $(shell sed -n 's/^.define HAPROXY_EMAIL_ALERT_ABI //p' include/haproxy_email_alert.h)
LIBRARY  = $(or $(CARGO_TARGET_DIR),target)/release/libhaproxy_email_alert.so
COMPANION = $(or $(CARGO_TARGET_DIR),target)/release/haproxy-email-alert
INCLUDE  = $(DESTDIR)$(PREFIX)/include
LIB      = $(DESTDIR)$(LIBDIR)
BIN      = $(DESTDIR)$(PREFIX)/bin
SHARE    = $(DESTDIR)$(PREFIX)/share
# systemd-tmpfiles looks there below /usr and /usr/local, whatever LIBDIR is
TMPFILES = $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
# for the shell
install_tree = cd '$(1)' && for directory in $$(find . -type d); do install -d '$(2)'/$$directory || exit 1; done && \
	for file in $$(find . -type f); do install -m 644 $$file '$(2)'/$$file || exit 1; done
is_built = test -e '$(1)' || { echo 'There is nothing to install yet; run "make" first.' >&2; exit 1; }

.PHONY: all asan bench build-matrix clean deb deb-test demo documentation faults fmt fuzz haproxy header help install install-companion \
        install-integration install-library install-list kill-test mails rpm rpm-test setup test
# what users build and look at is not cluttered with commands
.SILENT:

all: ## the library, and the companion program haproxy-email-alert; installs nothing
	command -v '$(CARGO)' >/dev/null || { echo 'There is no cargo (Rust); on Debian, "make setup" installs it.' >&2; exit 1; }
	'$(CARGO)' build --release --locked
	echo '$(COMPANION)'
	echo '$(LIBRARY)'

setup: ## installs what Debian has for building all this, HAProxy included, if it is missing
	ci/setup build

demo: ## a server goes down and comes back: shows the mails
	ci/setup build demo
	ci/demo

test: ## everything that is tested; also with source trees of HAProxy that you have (HAPROXY_TREES="<directory> ...")
	HAPROXY_TREES='$(HAPROXY_TREES)' ci/test

documentation: ## that of the directives again, after a change of alertlib/src/directive/table.rs: patches, manual page, README
	cargo run --quiet -p end-to-end --bin documentation

kill-test: ## what survives 500 kills and 100 reloads in storms, for minutes (KILL_SEED=<number> repeats a run)
	ci/setup build test
	HAPROXY=$$(ci/haproxy-build) KILL_ROUNDS=500 KILL_RELOADS=100 cargo test --package end-to-end --test kill -- --nocapture

fuzz: ## damaged files for the spool's reader, for ten minutes (SECONDS=<number>)
	cargo run --quiet --profile fuzz --package end-to-end --bin fuzz-spool -- $(or $(SECONDS),600)

asan: ## the tests in HAProxy with AddressSanitizer in all of it, without those of memory and speed (BRANCH=<x> or TREE=<directory>)
	ci/asan $(if $(BRANCH),BRANCH='$(BRANCH)') $(if $(TREE),TREE='$(TREE)')

bench: ## figures of this machine
	ci/bench

build-matrix: ## HAProxies built by gcc and clang, warnings being errors, with OpenSSL and without (BRANCH=<x> or TREE=<directory>)
	ci/build-matrix $(if $(BRANCH),BRANCH='$(BRANCH)') $(if $(TREE),TREE='$(TREE)')

haproxy: ## a HAProxy that sends mails, from Debian's source (BRANCH=2.6 or 3.0) or from yours (TREE=<directory>)
	! command -v dpkg-query >/dev/null || ci/setup build
	ci/haproxy-build $(if $(BRANCH),BRANCH='$(BRANCH)') $(if $(TREE),TREE='$(TREE)')

deb: ## the distribution's HAProxy packages with e-mail alerts, and the library's (TREE=<unpacked source package>)
	ci/deb $(if $(TREE),TREE='$(TREE)')

deb-test: ## installs them, upgrades, removes them, in a Debian of its own; needs root (TWICE=yes: are they reproducible?)
	ci/deb-test $(if $(TWICE),TWICE='$(TWICE)')

rpm: ## the library's packages for Fedora and its family; on Debian, only to see that their spec builds
	ci/rpm

rpm-test: ## builds them, and compares what is in each with haproxy-integration/rpm/contents
	ci/rpm-test

header: ## the copies of haproxy_email_alert.h again, after a change of the C ABI
	cargo run --quiet -p end-to-end --bin header

faults: ## doc/faults.md again, after a change of its table in tests/src/faults/
	cargo run --quiet -p end-to-end --bin faults

mails: ## doc/mails/*.eml again, after a change of the mails
	cargo run --quiet -p end-to-end --bin mails

install: ## all that users need, below DESTDIR and PREFIX (/usr/local), in LIBDIR; doc/packaging.md lists the files
install: install-library install-companion install-integration

install-library:
	$(call is_built,$(LIBRARY))
	install -d '$(INCLUDE)' '$(LIB)/pkgconfig'
	install -m 644 include/haproxy_email_alert.h '$(INCLUDE)/'
	install -m 755 '$(LIBRARY)' '$(LIB)/libhaproxy_email_alert.so.$(ABI).$(VERSION)'
	ln -sf 'libhaproxy_email_alert.so.$(ABI).$(VERSION)' '$(LIB)/libhaproxy_email_alert.so.$(ABI)'
	ln -sf 'libhaproxy_email_alert.so.$(ABI)' '$(LIB)/libhaproxy_email_alert.so'
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' -e 's,@VERSION@,$(VERSION),' \
	    include/haproxy-email-alert.pc.in >'$(LIB)/pkgconfig/haproxy-email-alert.pc'

install-companion:
	$(call is_built,$(COMPANION))
	install -d '$(BIN)' '$(SHARE)/man/man1'
	install -m 755 '$(COMPANION)' '$(BIN)/'
	sed 's,@VERSION@,$(VERSION),' haproxy-integration/cli/haproxy-email-alert.1 >'$(SHARE)/man/man1/haproxy-email-alert.1'

# for HAProxy: the manual, the directory of the spool, and the sources to build it with
install-integration:
	install -d '$(SHARE)/man/man7' '$(TMPFILES)'
	install -m 644 doc/haproxy-email-alert.7 '$(SHARE)/man/man7/'
	install -m 644 haproxy-integration/haproxy-email-alert.conf '$(TMPFILES)/'
	$(call install_tree,haproxy-integration/addon,$(SHARE)/haproxy-email-alert/addon)
	$(call install_tree,patches,$(SHARE)/haproxy-email-alert/patches)

install-list: ## the list of installed files in doc/packaging.md again, after a change of what is installed
	ci/install-list

fmt: ## formats the Rust code
	cargo fmt --all

clean: ## removes what was built here; what was compiled of HAProxy stays in the cache
	rm -rf target

help: ## this list
	sed -n 's/^\([a-z-]*\): ## \(.*\)/make \1	\2/p' Makefile | expand -t 20
