// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library as C sees it: programs of `tests/c` that make every mistake a caller can make, run plainly, with
//! sanitizers and under valgrind.
//!
//! AddressSanitizer is in the C programs alone: Rust's stable compiler cannot build it into the library. It still has its
//! own `malloc()`, `memcpy()` and so on for the whole process, and so sees what the library does to memory through them;
//! valgrind sees every access of the library.

use end_to_end::calls::{Calls, Collector, Texts};
use end_to_end::library::{Facts, Library, succeed};
use end_to_end::mail::ParsedMail;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// One life of the library in a process, see `tests/c/abi.c`.
struct Life {
    sentence: &'static str,
    name: &'static str,
    mails: usize,
}

const LIVES: &[Life] = &[
    Life { sentence: "calls in the wrong order are refused", name: "order", mails: 2 },
    Life { sentence: "wrong directives have messages, and start nothing", name: "directives", mails: 0 },
    Life { sentence: "a configuration that is wrong as a whole can be completed", name: "whole", mails: 0 },
    Life { sentence: "NULL, sizes, alignment and numbers are checked", name: "pointers", mails: 25 },
    Life { sentence: "messages and log lines stay in their buffers", name: "buffers", mails: 0 },
    Life { sentence: "messages are cut between characters", name: "messages", mails: 0 },
    Life { sentence: "hostile texts are mailed as texts", name: "life", mails: 312 },
    Life { sentence: "a stop waits for the mails and no longer", name: "stop-at-once", mails: 500 },
    Life { sentence: "a stop does not wait for a relay that hangs", name: "hanging-relay", mails: 0 },
];

const VALGRIND: &[&str] = &[
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    // What is still pointed to, be it to its middle (Rust's reference counts), is in use until the process ends.
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
];

/// HAProxy 2.6 is compiled so; its own code is no stricter.
const OLD_C: &[&str] = &["-std=gnu89"];
const STRICT_C: &[&str] = &["-std=gnu99", "-pedantic"];
const SANITIZED: &[&str] =
    &["-std=gnu99", "-pedantic", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn lead(library: &Library, tool: &[&str], program: &Path, life: &Life) -> (Facts, Vec<ParsedMail>) {
    println!("{}", life.sentence);
    let directory = library.mail_directory();
    let output = succeed(&mut library.run(tool, program, &[&life.name, &directory]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", life.sentence);
    let mails = mails(&directory);
    assert_eq!(mails.len(), life.mails, "{}", life.sentence);
    (Facts::of(&output), mails)
}

/// The mails in a directory, each of them found sound.
fn mails(directory: &Path) -> Vec<ParsedMail> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| {
        assert_eq!(path.extension().and_then(|end| end.to_str()), Some("eml"), "{path:?}");
        ParsedMail::of(&std::fs::read(path).expect("a mail"))
    };
    paths.map(read).collect()
}

fn lead_all(tool: &[&str], flags: &[&str]) {
    let library = Library::release();
    let program = library.compile("abi", flags);
    for life in LIVES {
        lead(&library, tool, &program, life);
    }
}

#[test]
fn the_header_is_one_for_old_c_strict_c_and_cplusplus() {
    let library = Library::release();
    for (compiler, flags) in [("cc", OLD_C), ("cc", STRICT_C), ("c++", &["-pedantic", "-x", "c++"])] {
        let mut command = Command::new(compiler);
        command.args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-include"]).arg(library.header());
        succeed(command.args(flags).arg("/dev/null").args(if compiler == "cc" {
            &["-x", "c"][..]
        } else {
            &[]
        }));
    }
}

#[test]
fn every_life_ends_well_as_haproxy_is_compiled() {
    lead_all(&[], OLD_C);
}

#[test]
fn every_life_ends_well_with_sanitizers() {
    let library = Library::release();
    let program = library.compile("abi", SANITIZED);
    let symbols = succeed(Command::new("nm").arg(&program));
    assert!(String::from_utf8_lossy(&symbols.stdout).contains("__asan_init"), "no sanitizer in the program");
    for life in LIVES {
        lead(&library, &[], &program, life);
    }
}

#[test]
fn every_life_ends_well_under_valgrind() {
    lead_all(VALGRIND, STRICT_C);
}

#[test]
fn a_silence_goes_on_after_a_kill_and_its_end_tells_what_happened() {
    let library = Library::release();
    let program = library.compile("silence", STRICT_C);
    let spool = library.mail_directory();
    let run = |story: &str| {
        let directory = library.mail_directory();
        let output = library.run(&[], &program, &[&story, &spool, &directory]).output().expect("run it");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{story}");
        (output, mails(&directory))
    };
    let (killed, heard) = run("begins");
    assert_eq!(killed.status.signal(), Some(9), "it ended before it was killed");
    let [other] = heard.as_slice() else { panic!("{heard:#?}") };
    assert_eq!(other.header("X-HAProxy-Proxy"), "other");

    let (ended, heard) = run("goes-on");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let [end] = heard.as_slice() else { panic!("{heard:#?}") };
    assert_eq!(end.servers("DOWN"), ["application-servers/app-server-02"], "{}", end.text);
    assert!(end.text.contains("application-*") && end.text.contains("it is out"), "{}", end.text);
    // Its own troubles are left: nobody could say what has become of them.
    let left = std::fs::read_dir(&spool).expect("the spool").map(|file| file.expect("a file").file_name());
    let left: Vec<_> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| name.starts_with("incidents.")), "{left:?}");
}

#[test]
fn a_hostile_text_is_shown_and_nothing_else() {
    let library = Library::release();
    let program = library.compile("abi", STRICT_C);
    let life = LIVES.iter().find(|life| life.name == "life").expect("the life");
    let (_, mails) = lead(&library, &[], &program, life);
    // That each mail has its headers once, and no others, is seen where it is parsed.
    let headers: BTreeSet<&str> =
        mails.iter().flat_map(|mail| mail.headers.get("X-HAProxy-Server")).map(String::as_str).collect();
    for shown in [
        "be<U+000D><U+000A>Bcc: evil@example.com<U+000D><U+000A><U+000D><U+000A>body",
        "a<U+000A>X-Injected: yes",
        "before<U+0000>after",
        "<U+202E>moc.live<U+2028>line<U+0085>next<U+FEFF>",
        "=<U+003F>utf-8?q?x?=",
        "<script>alert(1)</script>\" onload='x' &lt;",
        "{{ 7 * 7 }} {% raw %} %s%n%x ${HOME} `id`",
    ] {
        assert!(headers.contains(shown), "{shown} is not in {headers:#?}");
    }
    for mail in &mails {
        assert_eq!(mail.to, ["ops@example.com"]);
        assert_eq!(mail.from, "lb1@example.com");
        let html = mail.html.to_ascii_lowercase();
        assert!(!html.contains("<script") && !html.contains("onload='x'"), "{}", mail.html);
        // Of up to nine texts of 12,000 bytes.
        assert!(mail.text.len() < 20_000, "a text of {} bytes", mail.text.len());
    }
}

#[test]
fn a_panic_costs_one_event_and_not_the_process() {
    let life = Life { sentence: "a bug costs one event, not the process", name: "panic", mails: 3 };
    let library = Library::with_faults();
    for (tool, flags) in [(&[][..], SANITIZED), (VALGRIND, STRICT_C)] {
        let program = library.compile("abi", flags);
        let (facts, mails) = lead(&library, tool, &program, &life);
        let mut servers: Vec<&str> = mails.iter().map(|mail| mail.header("X-HAProxy-Server")).collect();
        servers.sort();
        assert_eq!(servers, ["after-the-call", "after-the-collector", "after-the-mailer"]);
        let counted =
            ["accepted", "delivered", "failed", "dropped", "waiting"].map(|word| facts.number(word));
        assert_eq!(counted, [5, 3, 2, 0, 0]);
        // Each is told with the place of the bug, and with what it came to.
        let log: Vec<&str> = facts.all("log").collect();
        assert_eq!(
            log.iter().filter(|line| line.starts_with("3 bug in haproxy-email-alert")).count(),
            3,
            "{log:#?}"
        );
        for came_to in [
            "3 a bug in haproxy-email-alert was caught; HAProxy goes on",
            "3 internal error in the collector: one event dropped; please report this",
            "3 internal error in the dispatcher: one mail dropped; please report this",
        ] {
            assert!(log.contains(&came_to), "{log:#?}");
        }
        assert!(log.iter().any(|line| line.contains("capi/src/lib.rs")), "no place in {log:#?}");
    }
}

/// Four threads push a million events: each is accepted or counted, and none of the threads ever waits.
#[test]
fn a_million_events_from_four_threads_are_counted_and_nobody_waits() {
    let library = Library::release();
    let program = library.compile("storm", OLD_C);
    let directory = library.mail_directory();
    let trace = library.mail_directory().join("trace");
    let strace = ["strace", "-f", "-e", "trace=futex", "-o", trace.to_str().expect("UTF-8")];
    let output = succeed(&mut library.run(&strace, &program, &[&"flood", &directory]));
    let facts = Facts::of(&output);
    assert_eq!(facts.number("accepted") + facts.number("dropped"), 1_000_000);
    assert_eq!(mails(&directory).len() as u64, facts.number("mails"));
    assert_eq!(told_drops(&facts), facts.number("dropped"), "the log does not tell of all that was dropped");

    let trace = std::fs::read_to_string(trace).expect("strace's file");
    let pushers: Vec<&str> = facts.all("pusher").collect();
    assert_eq!(pushers.len(), 4);
    let (by_pushers, by_others): (Vec<&str>, Vec<&str>) = trace
        .lines()
        .partition(|line| line.split(' ').next().is_some_and(|thread| pushers.contains(&thread)));
    let waits = |line: &&&str| line.contains("FUTEX_WAIT") || line.contains("FUTEX_LOCK");
    assert_eq!(by_pushers.iter().filter(waits).collect::<Vec<_>>(), Vec::<&&str>::new());
    // The trace has what it should have: the end of each pusher, and the others' waits.
    assert_eq!(by_pushers.iter().filter(|line| line.contains("+++ exited with 0 +++")).count(), 4);
    assert!(by_others.iter().filter(waits).count() > 0, "nobody waits at all: {trace}");
}

/// The collector is stopped by a debugger, so the queue gets full: a push is then refused at once.
#[test]
fn a_push_into_a_full_queue_is_refused_at_once() {
    let library = Library::release();
    let program = library.compile("storm", OLD_C);
    let output = succeed(&mut library.run(&[], &program, &[&"frozen", &library.mail_directory()]));
    let facts = Facts::of(&output);
    assert_eq!([facts.number("accepted"), facts.number("dropped")], [4096, 1_000_000 - 4096]);
    assert_eq!(told_drops(&facts), facts.number("dropped"));
}

/// What the log says of dropped events, in sum.
fn told_drops(facts: &Facts) -> u64 {
    let told =
        |line: &str| line.strip_prefix("3 ")?.split_once(" state changes were not mailed")?.0.parse().ok();
    facts.all("log").filter_map(|line: &str| -> Option<u64> { told(line) }).sum()
}

/// The bars of one call, which are counts and so the same on every machine.
#[test]
fn a_call_keeps_its_bars() {
    let calls = Calls::default();
    for collector in [Collector::Idle, Collector::Busy] {
        let cost = calls.measure(collector, Texts::Typical);
        assert!(cost.instructions < 1000.0, "{collector:?}: {cost:?}");
        assert!(cost.instructions > 100.0, "callgrind did not see the calls: {cost:?}");
        assert_eq!(cost.allocations, 0.0, "{collector:?}: {cost:?}");
        assert_eq!(cost.other_calls, 0.0, "{collector:?}: {cost:?}");
        let most = if collector == Collector::Idle { 1.0 } else { 0.5 };
        assert!(cost.wake_ups <= most, "{collector:?}: {cost:?}");
        // The collector makes memory ready when it has nothing better to do.
        assert!(collector == Collector::Busy || cost.page_faults < 0.05, "{cost:?}");
    }
}
