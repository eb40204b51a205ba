// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool in good and in bad days: relays that are away for long, disks that are full, files that are damaged.
//! What a killed process leaves is in `kill.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use end_to_end::{
    Act, Haproxy, Mode, ParsedMail, Relay, Setup, Spool, Step,
    cli::Conversation,
    haproxy::Signal,
    patience, processes,
    relay::Delivery,
    setup::RECIPIENT,
    spool::memory_of,
    storm::{self, Asked, Change},
    until, until_true,
    wait::within,
};

/// Long enough for the spool to be looked at again, and for a second mail to show.
const A_WHILE: Duration = Duration::from_millis(1500);
/// HAProxy promises to end this soon after SIGTERM with alerts pending.
const TERM_BOUND: Duration = Duration::from_secs(1);
/// HAProxy promises to end this soon after its last connection in a soft stop with alerts pending.
const SOFT_STOP_BOUND: Duration = Duration::from_secs(5);
/// What a busy machine may add to a bound.
const SLACK: Duration = Duration::from_millis(2500);
/// What the log has of a spool with `max-size 64k`.
const FULL: &str = "its 65536 bytes are full; the least important mails are kept in memory only";
/// Mails of the spool that are in memory as well.
const KEPT: usize = 1024;

/// HAProxy in its jail, with so many servers that go down and up by command.
fn site(setup: Setup, servers: usize) -> Setup {
    storm::servers(setup.events("down,up").threads(4).jailed(), servers)
}

fn with_spool(relay: &Relay, spool: &Spool, servers: usize) -> Setup {
    site(spool.of(Setup::mailing_through(relay)), servers)
}

/// All of them are acknowledged.
#[track_caller]
fn blow(haproxy: &Haproxy, changes: &[Change]) -> Vec<Asked> {
    let asked = storm::blow(&haproxy.cli_socket(), changes, 4, &|_| ());
    let acknowledged = asked.iter().filter(|asked| asked.acknowledged.is_some()).count();
    assert_eq!(acknowledged, changes.len(), "{}", haproxy.story());
    asked
}

#[track_caller]
fn wait_for_counter(haproxy: &Haproxy, name: &str, value: u64) {
    let settled = within(patience() * 2, || (haproxy.counters([name]) == [value]).then_some(()));
    assert!(settled.is_some(), "{name} is not {value}: {}", haproxy.cli("show email-alert"));
}

fn mails_of(deliveries: &[Delivery]) -> Vec<ParsedMail> {
    deliveries.iter().map(Delivery::mail).collect()
}

/// Each of these changes was mailed exactly once, and nothing else was.
#[track_caller]
fn expect_each_once(relay: &Relay, asked: &[Asked]) {
    let tally = storm::check(asked, &mails_of(&relay.deliveries()), |_| true);
    assert_eq!(tally.unwrap_or_else(|fault| panic!("{fault}")).twice, 0);
}

/// Each server went down first, and was up and down in turns.
#[track_caller]
fn expect_order(mails: &[ParsedMail]) {
    let mut last: BTreeMap<String, &str> = BTreeMap::new();
    for mail in mails {
        let Change { server, state } = Change::of(mail);
        let before = last.insert(server.clone(), state).unwrap_or("up");
        assert_ne!(before, state, "{server} is {state} twice");
    }
}

/// In kilobytes, from `/proc`.
fn memory(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok()).expect("a size")
}

/// Ends it in order, after which nothing is left.
#[track_caller]
fn ends_without_a_trace(mut haproxy: Haproxy, spool: &Spool, mut pids: Vec<i32>) {
    pids.push(haproxy.worker());
    haproxy.signal(Signal::SIGUSR1);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
    spool.expect_no_trace_of(&pids);
}

/// The lines of the log about the spool.
fn lines_about(haproxy: &Haproxy, spool: &Spool, words: &str) -> usize {
    haproxy.log().lines_with(&format!("email_alert: spool {}: {words}", spool.path().display())).len()
}

#[track_caller]
fn wait_for_line_about(haproxy: &Haproxy, spool: &Spool, words: &str) {
    haproxy.log().wait_for(&format!("email_alert: spool {}: {words}", spool.path().display()));
}

// A relay that is away

const MANY: usize = 10_000;

/// So many changes of a hundred servers, each of which goes down and up in turns.
fn many_changes(count: usize) -> Vec<Change> {
    (0..count / 200).flat_map(|_| storm::down_and_up(0..100)).collect()
}

#[test]
fn ten_thousand_changes_wait_for_a_relay_that_is_away() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 100).start();
    let worker = haproxy.worker();
    let before = memory(worker, "VmRSS");
    let start = Instant::now();
    blow(&haproxy, &many_changes(MANY));
    println!("{MANY} changes in {:?}", start.elapsed());
    wait_for_counter(&haproxy, "waiting", MANY as u64);
    until_true("all to be in the spool", || spool.mails() == MANY);
    assert_eq!(haproxy.counters(["accepted", "dropped"]), [MANY as u64, 0]);

    relay.behaves();
    let all = || (relay.mail_count() >= MANY).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    assert_eq!(mails.len(), MANY);
    assert_eq!(mails.iter().map(|mail| mail.header("Message-ID")).collect::<BTreeSet<_>>().len(), MANY);
    expect_order(&mails);
    let grown = memory(worker, "VmHWM") - before;
    println!("the worker had {before} kB, and {grown} kB more at most");
    assert!(grown < 32 * 1024, "the worker grew by {grown} kB");
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn ten_thousand_mails_of_a_killed_process_are_taken_over_in_bounded_memory() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 100).start();
    let victim = haproxy.worker();
    blow(&haproxy, &many_changes(MANY));
    haproxy.kill(victim);
    haproxy.start_again();
    let worker = haproxy.worker();
    wait_for_counter(&haproxy, "waiting", MANY as u64);
    until_true("all to be taken over", || spool.names_with("owner.").len() == 1);
    assert_eq!(memory_of(victim), [""; 0]);
    let peak = memory(worker, "VmHWM");
    println!("the worker had {peak} kB at most");
    assert!(peak < 64 * 1024, "the worker had {peak} kB");
    relay.behaves();
    let all = || (relay.mail_count() >= MANY).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    assert_eq!(mails.len(), MANY);
    expect_order(&mails);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn without_a_spool_the_least_important_of_too_many_mails_go() {
    const LIMIT: usize = 10_000;
    const DROPPED: usize = 200;
    let relay = Relay::start();
    relay.goes_away();
    let (haproxy, start) = (site(Setup::mailing_through(&relay), 101).start(), Instant::now());
    blow(&haproxy, &many_changes(LIMIT + DROPPED));
    wait_for_counter(&haproxy, "waiting", LIMIT as u64);
    // The first of them is told at once, and the others within a minute.
    haproxy.log().wait_for(
        "mails were dropped, the least important first: 10000, or 32 MiB of them, wait for a relay in memory",
    );
    assert_eq!(haproxy.counters(["dropped"]), [0], "the queue was never full");
    wait_for_counter(&haproxy, "failed", DROPPED as u64);
    relay.behaves();
    let all = || (relay.mail_count() >= LIMIT).then_some(());
    assert!(within(patience() * 6, all).is_some(), "{} mails\n{}", relay.mail_count(), haproxy.story());
    let mails = relay.mails();
    let downs = mails.iter().filter(|mail| mail.event() == "down").count();
    assert_eq!(
        (mails.len(), downs),
        (LIMIT, (LIMIT + DROPPED) / 2),
        "only mails of servers that came back went"
    );
    // The next mail tells of those that no other mail has told of.
    blow(&haproxy, &storm::down_and_up(100..101)[..1]);
    until_true("one more mail", || relay.mail_count() > LIMIT);
    let told = |mail: &ParsedMail| -> Option<usize> {
        let text = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            !text.contains(" more alert") || text.contains(": too many came at once, or were waiting"),
            "{text}"
        );
        text.split_once(" more alert")?.0.rsplit(' ').next()?.parse().ok()
    };
    assert_eq!(relay.mails().iter().filter_map(told).sum::<usize>(), DROPPED);
    let lines = haproxy.log().lines_with("mails were dropped").len() as u64;
    assert!(
        (1..=1 + start.elapsed().as_secs() / 60).contains(&lines),
        "{lines} lines in {:?}",
        start.elapsed()
    );
}

// The end of a process

#[test]
fn sigterm_in_a_storm_delivers_within_its_bound_or_by_the_next_start() {
    // Some is delivered in that second, and some is not.
    signalled_in_a_storm(Signal::SIGTERM, Duration::from_millis(10), TERM_BOUND);
}

#[test]
fn sigusr1_in_a_storm_delivers_within_its_bound_or_by_the_next_start() {
    signalled_in_a_storm(Signal::SIGUSR1, Duration::from_millis(50), SOFT_STOP_BOUND);
}

fn signalled_in_a_storm(signal: Signal, each_mail_takes: Duration, bound: Duration) {
    const SERVERS: usize = 200;
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.at(Step::Dot, Act::Wait(each_mail_takes));
    let mut haproxy = with_spool(&relay, &spool, SERVERS).start();
    let victim = haproxy.worker();
    let told = std::sync::Mutex::new(None);
    let asked = storm::blow(&haproxy.cli_socket(), &storm::down_and_up(0..SERVERS), 4, &|acknowledged| {
        if acknowledged == SERVERS {
            *told.lock().unwrap() = Some(Instant::now());
            haproxy.signal(signal);
        }
        // After SIGTERM it goes on until the end, and beyond.
        thread::sleep(Duration::from_millis(if signal == Signal::SIGTERM { 15 } else { 1 }));
    });
    let told = told.into_inner().unwrap().expect("a signal");
    let end = haproxy.wait_for_end();
    assert!(end.took < bound + SLACK, "{end:?}");
    let first = relay.mail_count();
    assert!((1..SERVERS * 2).contains(&first), "{first} mails\n{}", haproxy.story());
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    // A soft stop: what an old process still sees is for the new one to tell.
    let is_owed =
        |asked: &Asked| signal == Signal::SIGTERM || asked.acknowledged.is_some_and(|when| when < told);
    let tally = storm::check(&asked, &mails_of(&relay.deliveries()), is_owed);
    let tally = tally.unwrap_or_else(|fault| panic!("{fault}\n{}", haproxy.story()));
    println!("{signal}: {first} before the end, {tally:?}");
    // The one that was on its way.
    assert!(tally.twice <= 1, "{tally:?}");
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn two_workers_of_a_reload_send_nothing_twice() {
    for mode in [Mode::Foreground, Mode::MasterWorker] {
        let (relay, spool) = (Relay::start(), Spool::new());
        relay.goes_away();
        let mut haproxy = with_spool(&relay, &spool, 40).mode(mode).start();
        let old = haproxy.worker();
        let mut asked = blow(&haproxy, &storm::down_and_up(0..40));
        let mut long_lived = Conversation::begin(&haproxy.cli_socket()).expect("a connection");
        haproxy.reload();
        assert_eq!(long_lived.pid().expect("an answer"), old);
        asked.extend(blow(&haproxy, &storm::down_and_up(0..40)));
        thread::sleep(A_WHILE);
        assert_eq!(spool.names_with("owner.").len(), 2, "each has its own");
        assert_eq!(spool.mails(), 160);
        let of_old =
            spool.names().into_iter().find(|name| name.ends_with(&format!("-{old:x}"))).expect("an owner");
        assert_eq!(
            spool.mails_in(&of_old.replace("owner.", "mail.")),
            80,
            "the new one takes nothing from the old one while that lives"
        );

        relay.behaves();
        until_true("all mails", || relay.mail_count() >= 160);
        drop(long_lived);
        haproxy.wait_until_processes_are(if mode.has_master() { 2 } else { 1 });
        spool.wait_until_delivered(|| haproxy.story());
        relay.expect_no_more_than(160, A_WHILE);
        expect_each_once(&relay, &asked);
        ends_without_a_trace(haproxy, &spool, vec![old]);
    }
}

#[test]
fn what_an_old_worker_leaves_is_sent_by_the_new_one() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).mode(Mode::MasterWorker).start();
    let old = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..40));
    haproxy.reload();
    // It waits for the relay, but not for ever.
    haproxy.log().wait_for("stopped with 80 alerts left in the spool for the next process");
    haproxy.wait_until_processes_are(2);
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![old]);
}

// The disk

/// A small file system of its own.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`: this system does not let us mount.
    fn mount(kilobytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let size = format!("size={kilobytes}k,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(SmallDisk { directory })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

#[test]
fn a_full_disk_costs_no_mail() {
    let disk = SmallDisk::mount(128);
    let (relay, (spool, words)) = (
        Relay::start(),
        match &disk {
            Some(disk) => (
                Spool::at(disk.directory.path()),
                "cannot write: No space left on device; mails are kept in memory only",
            ),
            None => {
                println!(
                    "no file system can be mounted here: the bound of the configuration has to stand for it"
                );
                (Spool::new(), FULL)
            }
        },
    );
    let setup = Setup::mailing_through(&relay);
    let setup = match disk {
        Some(_) => spool.of(setup),
        None => setup.global(&format!("email_alert.spool {} max-size 64k", spool.path().display())),
    };
    fills_up_and_comes_back(&relay, &spool, setup, words);
}

#[test]
fn a_full_spool_costs_no_mail() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let line = format!("email_alert.spool {} max-size 64k", spool.path().display());
    let setup = Setup::mailing_through(&relay).global(&line);
    fills_up_and_comes_back(&relay, &spool, setup, FULL);
}

#[test]
fn a_full_spool_has_the_most_important_mails() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let line = format!("email_alert.spool {} max-size 64k", spool.path().display());
    let mut haproxy = site(Setup::mailing_through(&relay).global(&line), 150).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..150));
    wait_for_line_about(&haproxy, &spool, FULL);
    wait_for_counter(&haproxy, "waiting", 300);
    let names = spool.names_with("mail.");
    let size: u64 =
        names.iter().map(|name| fs::metadata(spool.path().join(name)).map_or(0, |data| data.len())).sum();
    assert!(size <= 65536, "{size} bytes");
    haproxy.kill(victim);
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    let mails = relay.mails();
    let downs = mails.iter().filter(|mail| mail.event() == "down").count();
    // A mail of a server that came back is shorter: one may fit where no other does.
    assert!(downs > 40 && mails.len() - downs <= 1, "{downs} of {} mails: {}", mails.len(), haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

fn fills_up_and_comes_back(relay: &Relay, spool: &Spool, setup: Setup, words: &str) {
    relay.goes_away();
    let haproxy = site(setup, 200).start();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..150));
    wait_for_line_about(&haproxy, spool, words);
    wait_for_counter(&haproxy, "waiting", 300);
    let stored = spool.mails();
    assert!((5..300).contains(&stored), "{stored} mails");
    // Slowly: each mail that goes makes room for one.
    relay.behaves();
    relay.at(Step::Dot, Act::Wait(Duration::from_millis(10)));
    asked.extend(blow(&haproxy, &storm::down_and_up(150..200)));
    until_true("all mails", || relay.mail_count() >= 400);
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(relay, &asked);
    assert_eq!(haproxy.counters(["dropped", "failed"]), [0, 0]);

    // It is used again.
    relay.goes_away();
    relay.take_deliveries();
    let asked = blow(&haproxy, &storm::down_and_up(0..3));
    until_true("files", || spool.mails() == 6);
    wait_for_line_about(&haproxy, spool, "works again");
    relay.behaves();
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(relay, &asked);
    let lines = (lines_about(&haproxy, spool, words), lines_about(&haproxy, spool, "works again"));
    assert_eq!(lines, (1, 1), "{}", haproxy.story());
    ends_without_a_trace(haproxy, spool, vec![]);
}

#[test]
fn what_was_kept_in_memory_is_written_once_there_is_room() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let victim = haproxy.worker();
    spool.has_mode(0o500);
    let asked = blow(&haproxy, &storm::down_and_up(0..40));
    wait_for_line_about(&haproxy, &spool, "cannot write: Permission denied; mails are kept in memory only");
    assert_eq!(spool.mails(), 0);
    spool.has_mode(0o700);
    until_true("files", || spool.mails() == 80);
    wait_for_line_about(&haproxy, &spool, "works again");
    haproxy.kill(victim);
    relay.behaves();
    haproxy.start_again();
    spool.wait_until_delivered(|| haproxy.story());
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn a_directory_that_cannot_be_written_any_more_costs_no_mail_and_repeats_none() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let first = haproxy.worker();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    spool.has_mode(0o500);
    asked.extend(blow(&haproxy, &storm::down_and_up(20..40)));
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    spool.has_mode(0o700);
    // What was delivered in the meantime is not left for the next process.
    spool.wait_until_delivered(|| haproxy.story());
    until_true("all troubles to be over", || spool.incidents().is_empty());
    haproxy.kill(first);
    haproxy.start_again();
    relay.expect_no_more_than(80, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![first]);
}

#[test]
fn a_directory_that_cannot_be_read_for_a_while_costs_no_mail() {
    let changes = KEPT / 200 * 200 + 400;
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 100).start();
    blow(&haproxy, &many_changes(changes));
    until_true("files", || spool.mails() == changes);
    spool.has_mode(0o000);
    relay.behaves();
    // Those that are in memory as well are sent, and those that are not have to wait.
    until_true("mails", || relay.mail_count() >= KEPT);
    thread::sleep(A_WHILE);
    spool.has_mode(0o700);
    until_true("all mails", || relay.mail_count() >= changes);
    spool.wait_until_delivered(|| haproxy.story());
    assert_eq!((relay.mail_count(), haproxy.counters(["failed"])), (changes, [0]), "{}", haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_directory_that_vanishes_costs_no_mail() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("spool");
    fs::create_dir(&directory).expect("mkdir");
    let (relay, spool) = (Relay::start(), Spool::at(&directory));
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 40).start();
    let first = haproxy.worker();
    let mut asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    fs::remove_dir_all(&directory).expect("rm -r");
    asked.extend(blow(&haproxy, &storm::down_and_up(20..40)));
    wait_for_line_about(
        &haproxy,
        &spool,
        "cannot write: No such file or directory; mails are kept in memory only",
    );
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 80);
    relay.expect_no_more_than(80, A_WHILE);
    expect_each_once(&relay, &asked);
    assert_eq!(lines_about(&haproxy, &spool, ""), 1, "{}", haproxy.story());
    haproxy.signal(Signal::SIGUSR1);
    assert!(haproxy.wait_for_end().status.expect("a child").success());
    assert_eq!(memory_of(first), [""; 0]);
}

#[test]
fn files_removed_by_hand_are_missed_only_where_memory_has_no_copy() {
    let changes = KEPT / 200 * 200 + 400;
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 100).start();
    blow(&haproxy, &many_changes(changes));
    until_true("files", || spool.mails() == changes);
    for name in spool.names() {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
    relay.behaves();
    wait_for_counter(&haproxy, "waiting", 0);
    assert_eq!(relay.mail_count(), KEPT);
    assert_eq!(haproxy.counters(["failed"]), [(changes - KEPT) as u64]);
    haproxy.log().wait_for("email_alert: a mail of the spool is lost: somebody removed its file");
    // And it goes on.
    relay.take_deliveries();
    let asked = blow(&haproxy, &storm::down_and_up(0..5));
    until_true("mails", || relay.mail_count() >= 10);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![]);
}

// The files

/// The file of a mail that was never sent, and its Message-ID.
fn a_real_file() -> (String, String) {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    let name = until("a file", || spool.names_with("mail.").pop());
    haproxy.kill(victim);
    let text = fs::read_to_string(spool.path().join(name)).expect("a file of the spool");
    let id = text.lines().find_map(|line| line.strip_prefix("message-id: ")).expect("a Message-ID");
    (text.clone(), id.to_owned())
}

#[test]
fn damaged_and_planted_files_are_set_aside_and_never_mailed() {
    let (text, id) = a_real_file();
    let (relay, spool) = (Relay::start(), Spool::new());
    let path = |name: &str| spool.path().join(name);
    let mut bad: Vec<String> = Vec::new();
    let mut plant = |name: String, content: &[u8]| {
        spool.plant(&name, content);
        bad.push(name);
    };
    for end in (0..text.len()).step_by(7) {
        plant(format!("mail.cut.{end:04}"), &text.as_bytes()[..end]);
    }
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..20 {
        let bytes: Vec<u8> = (0..random.usize(0..4096)).map(|_| random.u8(..)).collect();
        plant(format!("mail.random.{n}"), &bytes);
    }
    plant("mail.zeros.1".into(), &[0; 4096]);
    plant("mail.huge.1".into(), &[text.as_bytes(), &vec![b'x'; 5_000_000]].concat());
    plant("mail.huge.2".into(), text.repeat(10_000).as_bytes());
    plant("mail.middle.1".into(), text.replace("\nend\n", "\nend").repeat(2).as_bytes());
    plant("mail.injected.1".into(), text.replace(&id, "<a@b>\r\nBcc: evil@example.com").as_bytes());
    plant("mail.newer.1".into(), text.replace("spool 2", "spool 3").as_bytes());
    // Tricks with names; what is in them is no mail either.
    for name in
        ["mail..x", "mail.a.b.c", "mail...", "mail.%s%n.1", "mail.a b.1", "mail.\u{202e}a.1", "mail.-rf.1"]
    {
        plant(name.into(), b"no mail");
    }
    plant(format!("mail.{}.1", "t".repeat(200)), b"no mail");
    // Mails as they should be, in files as they should not be.
    let others = |name: &str| spool.plant(name, text.as_bytes());
    chown(others("mail.other-owner.1"), Some(1), Some(1)).expect("chown");
    fs::set_permissions(others("mail.group-writable.1"), Permissions::from_mode(0o660)).expect("chmod");
    fs::set_permissions(others("mail.world-writable.1"), Permissions::from_mode(0o602)).expect("chmod");
    fs::hard_link(others("mail.hard-link.1"), path("mail.hard-link.2")).expect("ln");
    symlink(others("elsewhere"), path("mail.symlink.1")).expect("ln -s");
    symlink("/etc/passwd", path("mail.symlink.2")).expect("ln -s");
    symlink("nowhere", path("mail.symlink.3")).expect("ln -s");
    fs::create_dir(path("mail.directory.1")).expect("mkdir");
    nix::unistd::mkfifo(&path("mail.fifo.1"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    bad.extend(
        ["other-owner.1", "group-writable.1", "world-writable.1", "hard-link.1", "hard-link.2", "symlink.1"]
            .into_iter()
            .chain(["symlink.2", "symlink.3", "directory.1", "fifo.1"])
            .map(|name| format!("mail.{name}")),
    );
    // Names that are none of ours stay as they are.
    let ours_not =
        ["elsewhere", "mail", "mail.x", "mailx.a.1", "bad.mail.a.1", "README", "..mail.a.1", ".mail.a.1"];
    ours_not.iter().for_each(|name| _ = spool.plant(name, text.as_bytes()));
    // And a mail, as the last one.
    spool.plant("mail.zzz.1", text.as_bytes());

    let haproxy = with_spool(&relay, &spool, 1).start();
    let worker = haproxy.worker();
    let mails = relay.wait_for_mails(1);
    assert_eq!(mails[0].header("Message-ID"), id);
    let settled = within(patience(), || (spool.names_with("mail.").len() == 1).then_some(()));
    assert!(settled.is_some(), "left where they were: {:#?}", spool.names_with("mail."));
    relay.expect_no_more_than(1, A_WHILE);
    assert_eq!(haproxy.worker(), worker);
    let names = spool.names();
    for name in &bad {
        assert!(names.contains(&format!("bad.{name}")), "{name:?} was not set aside: {names:#?}");
    }
    for name in ours_not {
        assert!(names.iter().any(|own| own == name), "{name:?} is gone: {names:#?}");
    }
    assert_eq!(names.len(), bad.len() + ours_not.len() + 1, "{names:#?}");
    // Every one is told, and once; the log's way is bounded, and says so when it was too narrow.
    let told = haproxy.log().lines_with("; set aside as bad.mail.").len();
    let lost: usize = haproxy
        .log()
        .lines_with(" log lines lost: they came too fast")
        .iter()
        .map(|line| {
            let count = line.text.split(' ').find_map(|word| word.parse::<usize>().ok());
            count.expect("a number")
        })
        .sum();
    assert!(told + lost >= bad.len() && told <= bad.len(), "{told} lines, {lost} lost, {} files", bad.len());
}

#[test]
fn what_cannot_be_set_aside_is_told_once() {
    let (relay, spool) = (Relay::start(), Spool::new());
    // No name is left for it.
    let long = format!("mail.long.{}", "x".repeat(245));
    spool.plant(&long, b"no mail");
    // What is behind it cannot be claimed.
    fs::create_dir(spool.path().join("owner.directory")).expect("mkdir");
    spool.plant("mail.directory.1", b"no mail");
    symlink("nowhere", spool.path().join("owner.symlink")).expect("ln -s");
    spool.plant("mail.symlink.1", b"no mail");
    let unreachable = spool.plant("owner.other", b"");
    chown(&unreachable, Some(0), Some(0)).expect("chown");
    spool.plant("mail.other.1", b"no mail");
    let haproxy = with_spool(&relay, &spool, 1).start();
    for name in [&long[..40], "owner.directory", "owner.symlink", "owner.other"] {
        wait_for_line_about(&haproxy, &spool, name);
    }
    thread::sleep(A_WHILE * 2);
    for name in [&long[..40], "owner.directory", "owner.symlink", "owner.other"] {
        assert_eq!(lines_about(&haproxy, &spool, name), 1, "{}", haproxy.story());
    }
    let asked = blow(&haproxy, &storm::down_and_up(0..1));
    until_true("mails", || relay.mail_count() >= 2);
    expect_each_once(&relay, &asked);
}

#[test]
fn damage_to_the_memory_of_a_killed_process_does_no_harm() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("cut", |path| drop(fs::File::options().write(true).open(path).expect("memory").set_len(100))),
        ("empty", |path| drop(fs::File::create(path).expect("memory"))),
        ("random", |path| {
            let mut random = fastrand::Rng::with_seed(11);
            let length = fs::metadata(path).expect("memory").len();
            let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            fs::File::options().write(true).open(path).expect("memory").write_all(&bytes).expect("a write");
        }),
        ("gone", |path| fs::remove_file(path).expect("rm")),
        ("a directory", |path| {
            fs::remove_file(path).expect("rm");
            fs::create_dir(path).expect("mkdir");
        }),
    ];
    thread::scope(|scope| {
        for (name, damage) in damages {
            let story = move || {
                let (relay, spool) = (Relay::start(), Spool::new());
                relay.goes_away();
                let mut haproxy = with_spool(&relay, &spool, 2).start();
                let victim = haproxy.worker();
                let asked = blow(&haproxy, &storm::down_and_up(0..2));
                until_true("files", || spool.mails() == 4);
                haproxy.kill(victim);
                let memory = memory_of(victim);
                let [memory] = &memory[..] else { panic!("{memory:?}") };
                let path = Path::new("/dev/shm").join(memory);
                damage(&path);
                relay.behaves();
                haproxy.start_again();
                spool.wait_until_delivered(|| haproxy.story());
                relay.expect_no_more_than(4, A_WHILE);
                expect_each_once(&relay, &asked);
                if path.is_dir() {
                    fs::remove_dir(&path).expect("rmdir");
                }
                ends_without_a_trace(haproxy, &spool, vec![victim]);
            };
            thread::Builder::new().name(name.into()).spawn_scoped(scope, story).expect("a thread");
        }
    });
}

fn remove_owners(spool: &Spool) {
    for name in spool.names_with("owner.") {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
}

#[test]
fn the_memory_of_a_process_whose_owner_file_was_removed_is_found() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    remove_owners(&spool);
    haproxy.kill(victim);
    assert_eq!((memory_of(victim).len(), spool.names().len()), (1, 0));
    haproxy.start_again();
    until_true("its memory to be gone", || memory_of(victim).is_empty());
    ends_without_a_trace(haproxy, &spool, vec![victim]);

    // With events in it, which nothing in the directory tells of.
    let mut haproxy = with_spool(&relay, &spool, 1).start();
    let victim = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..1));
    until_true("files", || spool.mails() == 2);
    haproxy.kill(victim);
    let memory = Path::new("/dev/shm").join(&memory_of(victim)[0]);
    not_taken_out_yet(&memory, 2);
    for name in spool.names() {
        fs::remove_file(spool.path().join(name)).expect("rm");
    }
    relay.behaves();
    haproxy.start_again();
    until_true("the mails", || relay.mail_count() >= 2);
    relay.expect_no_more_than(2, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

/// As if the first `count` slots of a queue still had their records, of which its only recipient was not told: an odd stamp
/// says so, and what is before the slots, behind four words and the recipient's.
fn not_taken_out_yet(memory: &Path, count: usize) {
    const SLOT: usize = 256 * 8;
    let mut bytes = fs::read(memory).expect("memory");
    bytes[(4 + 1) * 8..SLOT].fill(0);
    for stamp in (1..=count).map(|slot| slot * SLOT) {
        assert_eq!(bytes[stamp], 2, "the record of the first lap was taken out");
        bytes[stamp] = 1;
    }
    fs::write(memory, bytes).expect("memory");
}

#[test]
fn a_living_process_keeps_its_mails_though_its_owner_file_was_removed() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let mut haproxy = with_spool(&relay, &spool, 20).start();
    let old = haproxy.worker();
    let asked = blow(&haproxy, &storm::down_and_up(0..20));
    until_true("files", || spool.mails() == 40);
    let mut long_lived = Conversation::begin(&haproxy.cli_socket()).expect("a connection");
    remove_owners(&spool);
    let names = spool.names();
    haproxy.reload();
    assert_eq!(long_lived.pid().expect("an answer"), old);
    thread::sleep(A_WHILE);
    assert_eq!(spool.names_with("mail."), names, "{}", haproxy.story());
    relay.behaves();
    until_true("all mails", || relay.mail_count() >= 40);
    drop(long_lived);
    haproxy.wait_until_processes_are(1);
    relay.expect_no_more_than(40, A_WHILE);
    expect_each_once(&relay, &asked);
    ends_without_a_trace(haproxy, &spool, vec![old]);
}

// One mail, several attempts

#[test]
fn after_a_crash_only_those_get_a_mail_who_have_not_got_it() {
    let (relay, spool) = (Relay::start(), Spool::new());
    let (others, busy) = (["second@example.com", "third@example.com"], "450 4.2.1 mailbox busy");
    others.iter().for_each(|address| relay.for_recipient(address, Act::reply(busy)));
    let to = format!("{RECIPIENT},{}", others.join(","));
    let setup = spool.of(Setup::mailing_through(&relay).to(&to)).threads(4).jailed();
    let mut haproxy = storm::servers(setup, 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    assert_eq!(relay.wait_for_deliveries(1)[0].recipients, [RECIPIENT]);
    let path = spool.path().join(until("a file", || spool.names_with("mail.").pop()));
    let is_done =
        || fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("\ndone: {RECIPIENT}\n")));
    until_true("the file to say so", is_done);
    haproxy.kill(victim);
    spool.forget_incidents();
    relay.behaves();
    haproxy.start_again();
    let deliveries = relay.wait_for_deliveries(2);
    assert_eq!(deliveries[1].recipients, others);
    let mails = mails_of(&deliveries);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[1].to.len(), 3, "it is the same mail");
    relay.expect_no_more_than(2, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

#[test]
fn a_connection_lost_behind_the_final_dot_brings_the_same_message_id_again() {
    let (relay, spool) = (Relay::start(), Spool::new());
    // It has the mail, and its answer is lost.
    relay.at_first(1, Step::Dot, Act::Lose);
    let haproxy = with_spool(&relay, &spool, 1).start();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    let mails = relay.wait_for_mails(2);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    relay.expect_no_more_than(2, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_mail_is_given_up_when_its_time_is_over() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let setup = Setup::mailing_through(&relay).global("email_alert.retry 2s");
    let haproxy = site(spool.of(setup), 20).start();
    let changes = storm::down_and_up(0..20);
    blow(&haproxy, &changes);
    let line = haproxy.log().wait_for("email_alert: gave up after ");
    let why = format!("' to {RECIPIENT}: relay test: connect to {}: Connection refused", relay.address());
    assert!(line.text.contains("s: 'Server servers/s"), "{line:?}");
    assert!(line.text.ends_with(&why), "{line:?}");
    // All of them, not only the one that is tried when the relay has rested.
    wait_for_counter(&haproxy, "failed", changes.len() as u64);
    assert_eq!(haproxy.counters(["waiting"]), [0]);
    spool.wait_until_delivered(|| haproxy.story());
    relay.behaves();
    relay.expect_no_more_than(0, A_WHILE);
    ends_without_a_trace(haproxy, &spool, vec![]);
}

#[test]
fn a_mail_of_a_process_that_is_gone_is_given_up_in_its_time() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let setup = Setup::mailing_through(&relay).global("email_alert.retry 3s");
    let mut haproxy = site(spool.of(setup), 1).start();
    let victim = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1)[..1]);
    until_true("a file", || spool.mails() == 1);
    haproxy.kill(victim);
    thread::sleep(Duration::from_secs(3));
    haproxy.start_again();
    haproxy.log().wait_for("email_alert: gave up after ");
    spool.wait_until_delivered(|| haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![victim]);
}

// Nothing more than needed

#[test]
fn the_files_are_for_nobody_else_and_nothing_else_is_made() {
    let (relay, spool) = (Relay::start(), Spool::new());
    relay.goes_away();
    let haproxy = with_spool(&relay, &spool, 1).start();
    let worker = haproxy.worker();
    blow(&haproxy, &storm::down_and_up(0..1));
    until_true("files", || spool.mails() == 2);
    assert!(spool.names_with("mail.").len() + spool.names_with("owner.").len() == spool.names().len());
    let memory = memory_of(worker).into_iter().map(|name| Path::new("/dev/shm").join(name));
    for path in spool.names().iter().map(|name| spool.path().join(name)).chain(memory) {
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
    }
    let mut threads = processes::threads_of(worker);
    threads.retain(|name| name.starts_with("email-"));
    threads.sort();
    assert_eq!(threads, ["email-alert-col", "email-alert-dis", "email-spool"]);
    relay.behaves();
    spool.wait_until_delivered(|| haproxy.story());
    ends_without_a_trace(haproxy, &spool, vec![]);
}
