// SPDX-License-Identifier: MIT OR Apache-2.0
//! With a spool, what the library has accepted is mailed whatever happens to the process: storm after storm, HAProxy is
//! killed or reloaded at a random moment of it, and the next one delivers.
//!
//! Environment: `KILL_ROUNDS` and `KILL_RELOADS` are how often in all; `KILL_SEED` repeats the moments of an earlier run.
//! `make kill-test` runs it for long.

use std::{
    collections::BTreeSet,
    env, thread,
    time::{Duration, Instant, SystemTime},
};

use end_to_end::{
    Act, Haproxy, Mode, ParsedMail, Relay, Setup, Spool, Step,
    haproxy::Signal,
    relay::Delivery,
    setup::RECIPIENT,
    spool::memory_of,
    storm::{self, Asked, Tally},
    until_true,
};
use fastrand::Rng;

/// Each goes down and comes up again: 200 changes a storm.
const SERVERS: usize = 100;
const CONNECTIONS: usize = 4;
const STORIES: usize = 8;
/// Who wants to know of some servers only, and their names' beginning.
const OTHER: &str = "other@example.com";
const OTHERS: &str = "s5";

fn number(name: &str, default: usize) -> usize {
    let text = env::var(name);
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Says with which seed this run can be repeated.
fn random(story: &str) -> Rng {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as usize;
    let seed = number("KILL_SEED", now % 1_000_000_007);
    println!("{story}: KILL_SEED={seed}");
    // Not the same moments in each story.
    Rng::with_seed(story.bytes().fold(seed as u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte)))
}

fn setup(relay: &Relay, spool: &Spool, mode: Mode) -> Setup {
    let setup = spool.of(Setup::mailing_through(relay)).events("down,up").mode(mode).threads(4).jailed();
    storm::servers(setup, SERVERS)
}

fn mails_of(deliveries: &[Delivery]) -> Vec<ParsedMail> {
    storm::of_changes(deliveries.iter().map(Delivery::mail).collect())
}

/// Is it more than the process knew from one before?
fn is_news(all: &[Asked]) -> impl Fn(&Asked) -> bool {
    let known = storm::known(all);
    move |asked| !known.contains(&(asked.pid, asked.change.clone()))
}

/// Ends it in order, after which nothing is left.
fn ends_without_a_trace(mut haproxy: Haproxy, spool: &Spool, mut pids: Vec<i32>) {
    pids.push(haproxy.worker());
    haproxy.signal(Signal::SIGUSR1);
    haproxy.wait_for_end();
    haproxy.wait_until_processes_are(0);
    spool.expect_no_trace_of(&pids);
}

#[test]
fn a_worker_killed_with_a_healthy_relay_loses_nothing() {
    killed_again_and_again("healthy relay", Mode::Foreground, |_| ());
}

#[test]
fn a_worker_killed_with_a_slow_relay_loses_nothing() {
    killed_again_and_again("slow relay", Mode::Foreground, |relay| {
        relay.at(Step::Dot, Act::Wait(Duration::from_millis(20)));
    });
}

#[test]
fn a_worker_killed_with_the_relay_away_loses_nothing() {
    killed_again_and_again("relay away", Mode::Foreground, Relay::goes_away);
}

#[test]
fn a_worker_killed_below_its_master_loses_nothing() {
    killed_again_and_again("below a master", Mode::MasterWorker, |_| ());
}

/// The one that takes over is killed while it does so.
#[test]
fn a_worker_killed_while_it_takes_over_loses_nothing() {
    let (mut random, started) = (random("taking over"), Instant::now());
    let (relay, spool) = (Relay::start(), Spool::new());
    let mut haproxy = setup(&relay, &spool, Mode::Foreground).start();
    let changes = storm::down_and_up(0..SERVERS);
    let (mut pids, mut tally, mut in_time) = (Vec::new(), Tally::default(), 0);
    let mut all = Vec::<Asked>::new();
    let rounds = number("KILL_ROUNDS", 25).div_ceil(STORIES);
    for _ in 0..rounds {
        relay.goes_away();
        let victim = haproxy.worker();
        let after = random.usize(1..=changes.len());
        // The collector has no time to empty the queue: its owner is the one that is killed.
        let asked = storm::blow(&haproxy.cli_socket(), &changes, CONNECTIONS, &|acknowledged| {
            if acknowledged == after {
                haproxy.signal_process(victim, Signal::SIGKILL);
            }
        });
        haproxy.wait_for_end();
        haproxy.wait_until_processes_are(0);
        pids.push(victim);
        let mails = spool.names_with("mail.");
        let pause = Duration::from_micros(random.u64(0..2_000));
        pids.push(haproxy.start_again_in_vain(|| {
            // Until the first one is in its hands, unless there was none. It takes moments: there is no time to sleep.
            let deadline = Instant::now() + Duration::from_secs(3);
            while Instant::now() < deadline
                && spool.names_with("mail.").iter().all(|name| mails.contains(name))
            {}
            thread::sleep(pause);
        }));
        // Some are in its hands, and it was not through with them.
        let second = pids.last().map(|pid| format!("-{pid:x}.")).expect("the second");
        let began = spool.names_with("mail.").iter().any(|name| name.contains(&second));
        in_time += usize::from(began && !memory_of(victim).is_empty());
        relay.behaves();
        haproxy.start_again();
        let moment = || format!("killed after {after} acknowledged\n{}", haproxy.story());
        spool.wait_until_delivered(moment);
        let mails = mails_of(&relay.take_deliveries());
        all.extend(asked.clone());
        let round = storm::check(&asked, &mails, is_news(&all));
        let round = round.unwrap_or_else(|fault| panic!("{fault}\n{}", moment()));
        // With the relay away nothing was on its way.
        assert!(round.twice == 0, "{} mails came twice\n{}", round.twice, moment());
        tally += round;
    }
    ends_without_a_trace(haproxy, &spool, pids);
    println!(
        "taking over: {rounds} rounds, {in_time} killed in the midst of it, in {:?}: {tally:?}",
        started.elapsed()
    );
}

fn killed_again_and_again(story: &str, mode: Mode, before: fn(&Relay)) {
    let (mut random, started) = (random(story), Instant::now());
    let (relay, spool) = (Relay::start(), Spool::new());
    let mut haproxy = setup(&relay, &spool, mode).start();
    let changes = storm::down_and_up(0..SERVERS);
    let (mut pids, mut tally, mut in_storm) = (Vec::new(), Tally::default(), 0);
    let mut all = Vec::<Asked>::new();
    let rounds = number("KILL_ROUNDS", 25).div_ceil(STORIES);
    for round in 1..=rounds {
        before(&relay);
        let victim = haproxy.worker();
        let after = random.usize(1..=changes.len());
        let longest = *random.choice(&[100, 2_000, 30_000]).expect("one of three");
        let pause = Duration::from_micros(random.u64(0..longest));
        let asked = storm::blow(&haproxy.cli_socket(), &changes, CONNECTIONS, &|acknowledged| {
            if acknowledged == after {
                thread::sleep(pause);
                haproxy.signal_process(victim, Signal::SIGKILL);
            }
        });
        haproxy.wait_for_end();
        haproxy.wait_until_processes_are(0);
        relay.behaves();
        haproxy.start_again();
        let moment = || {
            format!(
                "{story}, round {round}: killed {pause:?} after {after} acknowledged\n{}",
                haproxy.story()
            )
        };
        spool.wait_until_delivered(moment);
        let mails = mails_of(&relay.take_deliveries());
        all.extend(asked.clone());
        let round = storm::check(&asked, &mails, is_news(&all))
            .unwrap_or_else(|fault| panic!("{fault}\n{}", moment()));
        // One that was on its way.
        assert!(round.twice <= 1, "{} mails came twice\n{}", round.twice, moment());
        tally += round;
        in_storm += usize::from(asked.len() < changes.len());
        pids.push(victim);
    }
    ends_without_a_trace(haproxy, &spool, pids);
    println!(
        "{story}: {rounds} kills, {in_storm} of them in the storm, in {:?}: {tally:?}",
        started.elapsed()
    );
}

#[test]
fn a_worker_killed_with_digests_loses_and_repeats_nothing() {
    killed_with_digests("digests", |_| ());
}

#[test]
fn a_worker_killed_with_digests_and_the_relay_away_loses_and_repeats_nothing() {
    killed_with_digests("digests, relay away", Relay::goes_away);
}

/// There is a mail on its way when it is killed, more often than not: that comes twice, and nothing else.
#[test]
fn a_worker_killed_with_digests_and_a_slow_relay_loses_nothing() {
    killed_with_digests("digests, slow relay", |relay| {
        relay.at(Step::Dot, Act::Wait(Duration::from_millis(300)))
    });
}

/// All servers go down, and come up again, while one or two processes are killed: at a random moment, or when they have just
/// written a file.
fn killed_with_digests(story: &str, before: fn(&Relay)) {
    let (mut random, started) = (random(story), Instant::now());
    let (relay, spool) = (Relay::start(), Spool::new());
    // Two who are not told at the same moments.
    let other = format!("email_alert {OTHER} lb1@example.com for servers/{OTHERS}*");
    let setup = spool.of(Setup::mailing_through(&relay)).with_digests().global(&other);
    let setup = setup.global("email_alert.digest 200ms").global("email_alert.flap off").threads(4).jailed();
    let mut haproxy = storm::servers(setup, SERVERS).start();
    let (mut pids, mut tally) = (Vec::new(), Tally::default());
    let mut known_ids = BTreeSet::<String>::new();
    let rounds = number("KILL_ROUNDS", 25).div_ceil(STORIES);
    for round in 1..=rounds {
        before(&relay);
        let victim = haproxy.worker();
        let changes = storm::down_and_up(0..SERVERS);
        let after = random.usize(1..=changes.len());
        let longest = *random.choice(&[200, 2_000, 400_000]).expect("one of three");
        let pause = Duration::from_micros(random.u64(0..longest));
        let at_a_file = random.bool();
        let known = spool.all_names();
        let asked = storm::blow(&haproxy.cli_socket(), &changes, CONNECTIONS, &|acknowledged| {
            // The storm takes longer than a digest.
            thread::sleep(Duration::from_millis(5));
            if acknowledged == after {
                if at_a_file {
                    wait_for_another_file(&spool, &known);
                }
                thread::sleep(pause);
                haproxy.signal_process(victim, Signal::SIGKILL);
            }
        });
        haproxy.wait_for_end();
        haproxy.wait_until_processes_are(0);
        pids.push(victim);
        if random.bool() {
            let pause = Duration::from_micros(random.u64(0..2_000));
            let known = spool.all_names();
            pids.push(haproxy.start_again_in_vain(|| {
                wait_for_another_file(&spool, &known);
                thread::sleep(pause);
            }));
        }
        relay.behaves();
        haproxy.start_again();
        let moment = || {
            format!(
                "{story}, round {round}: killed {pause:?} after {after} acknowledged{}\n{}",
                if at_a_file { " and a file" } else { "" },
                haproxy.story()
            )
        };
        spool.wait_until_delivered(moment);
        // Now it has taken over, and asks what has become of those that were down.
        until_true("all to be up, and that to be told", || {
            spool.incidents().is_empty() && haproxy.counters(["waiting"]) == [0]
        });
        spool.wait_until_delivered(moment);
        let mut deliveries = relay.take_deliveries();
        // A relay that is slow takes its time with what it got from the victim, while the next one sends it again.
        deliveries.retain(|delivery| !known_ids.contains(delivery.mail().header("Message-ID")));
        known_ids.extend(deliveries.iter().map(|delivery| delivery.mail().header("Message-ID").to_owned()));
        for (recipient, servers) in [(RECIPIENT, ""), (OTHER, OTHERS)] {
            let is_for = |delivery: &&Delivery| delivery.recipients.iter().any(|to| to == recipient);
            let mails = deliveries.iter().filter(is_for).map(Delivery::mail).collect();
            let asked = asked.iter().filter(|asked| asked.change.server.starts_with(servers)).cloned();
            let of_round = storm::check_digests(&asked.collect::<Vec<_>>(), mails);
            tally += of_round.unwrap_or_else(|fault| panic!("{recipient}: {fault}\n{}", moment()));
        }
    }
    ends_without_a_trace(haproxy, &spool, pids);
    println!("{story}: {rounds} rounds in {:?}: {tally:?}", started.elapsed());
}

/// For moments: there is no time to sleep, and perhaps there was nothing to be written.
fn wait_for_another_file(spool: &Spool, known: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline && spool.all_names().iter().all(|name| known.contains(name)) {}
}

#[test]
fn reloads_of_the_master_in_a_storm_lose_and_repeat_nothing() {
    reloaded_again_and_again("reloads of the master", Mode::MasterWorker);
}

#[test]
fn reloads_with_sf_in_a_storm_lose_and_repeat_nothing() {
    reloaded_again_and_again("reloads with -sf", Mode::Foreground);
}

fn reloaded_again_and_again(story: &str, mode: Mode) {
    let (mut random, started) = (random(story), Instant::now());
    let (relay, spool) = (Relay::start(), Spool::new());
    let mut haproxy = setup(&relay, &spool, mode).start();
    let (mut asked, mut pids) = (Vec::<Asked>::new(), Vec::new());
    let mut told_to_stop = Vec::<(i32, Instant)>::new();
    let reloads = number("KILL_RELOADS", 12).div_ceil(2);
    for _ in 0..reloads {
        // Some mails are on their way when the old worker is told to stop, and some when the new one begins.
        relay.behaves();
        relay.at(Step::Dot, Act::Wait(Duration::from_millis(random.u64(0..4))));
        let old = haproxy.worker();
        let after = random.usize(1..=SERVERS);
        let socket = haproxy.cli_socket();
        let (reload, may_reload) = std::sync::mpsc::sync_channel(1);
        asked.extend(thread::scope(|scope| {
            // The old worker has its connections for as long as they like.
            let storm = scope.spawn(|| {
                let changes = storm::down_and_up(0..SERVERS / 2);
                storm::blow(&socket, &changes, CONNECTIONS, &|acknowledged| {
                    if acknowledged == after {
                        reload.send(()).expect("somebody waits");
                    }
                    thread::sleep(Duration::from_micros(500));
                })
            });
            may_reload.recv().expect("a storm");
            told_to_stop.push((old, Instant::now()));
            haproxy.reload();
            let changes = storm::down_and_up(SERVERS / 2..SERVERS);
            let new = storm::blow(&socket, &changes, CONNECTIONS, &|_| ());
            storm.join().expect("a storm").into_iter().chain(new).collect::<Vec<_>>()
        }));
        pids.push(old);
    }
    relay.behaves();
    // What the last worker has just taken may not be in a file yet.
    until_true("an empty queue", || haproxy.counters(["waiting"]) == [0]);
    spool.wait_until_delivered(|| haproxy.story());
    let mails = mails_of(&relay.take_deliveries());
    // A worker that stops takes no changes any more: the new one watches the servers.
    let is_news = is_news(&asked);
    let is_owed = |asked: &Asked| {
        if !is_news(asked) {
            return false;
        }
        let stop = told_to_stop.iter().find(|(pid, _)| *pid == asked.pid);
        stop.is_none_or(|(_, stop)| asked.acknowledged.is_some_and(|acknowledged| acknowledged < *stop))
    };
    let tally = storm::check(&asked, &mails, is_owed);
    let tally = tally.unwrap_or_else(|fault| panic!("{fault}\n{}", haproxy.story()));
    assert_eq!(tally.twice, 0, "nobody crashed, and {} mails came twice\n{}", tally.twice, haproxy.story());
    ends_without_a_trace(haproxy, &spool, pids);
    println!("{story}: {reloads} reloads in {:?}: {tally:?}", started.elapsed());
}
