// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thousand servers go down within a second.

use std::{
    collections::BTreeSet,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use end_to_end::{Haproxy, Relay, http, port::Service};

use crate::{
    contender::Contender,
    machine::ProcessorTime,
    table::{bar, greatest, head, median, milliseconds, quantile, row},
};

/// With fewer the noise of a busy machine is as large as what is measured.
const ROUNDS: usize = 9;
const BACKENDS: usize = 10;
const SERVERS: usize = 100;
/// All servers have been found up.
const SETTLED: Duration = Duration::from_millis(1500);
/// Clients are there for so long: before, during and after the storm.
const WINDOW: Duration = Duration::from_millis(2500);
const BEFORE: Duration = Duration::from_millis(250);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(5);
/// The last mail has come when none came during this time: longer than a digest.
const QUIET: Duration = Duration::from_millis(5500);
/// Longest time for the mails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen of one storm.
struct Storm {
    time: ProcessorTime,
    /// Latencies of the clients' requests.
    requests: Vec<Duration>,
    mails: usize,
    /// Servers that some mail names.
    named: usize,
    /// From HAProxy's log line of the first change to the acceptance of the first mail.
    first_mail: Duration,
    /// From the moment when the servers went away.
    last_change: Duration,
    last_mail: Duration,
}

fn start(contender: Contender, relay: &Relay, servers: &Service) -> Haproxy {
    let lines = ["bind \"${TEST_DIRECTORY}/web.sock\"", "http-request return status 200"];
    let mut setup = contender.setup(relay.address()).with_digests().section("frontend web", &lines);
    for backend in 1..=BACKENDS {
        let mut lines = contender.backend_lines();
        // Once they are down the checks rest: what is measured after that are the mails.
        lines.push("default-server inter 500ms downinter 1h fall 3 rise 2".into());
        lines.push(format!("server-template s 1-{SERVERS} {} check", servers.address()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        setup = setup.backend(&format!("be{backend}"), &lines);
    }
    setup.start()
}

fn watch(contender: Contender) -> Storm {
    let (relay, servers) = (Relay::start(), Service::start(drop));
    relay.takes_mails_unasked();
    let haproxy = start(contender, &relay, &servers);
    thread::sleep(SETTLED);

    let before = ProcessorTime::of(haproxy.pid());
    let frontend = haproxy.directory().join("web.sock");
    let end = Instant::now() + WINDOW;
    let (gone, requests) = thread::scope(|scope| {
        let client = scope.spawn(|| ask_until(end, &frontend));
        thread::sleep(BEFORE);
        let gone = Instant::now();
        servers.refuses();
        (gone, client.join().expect("the client"))
    });
    wait_for_quiet(&relay);
    let time = ProcessorTime::of(haproxy.pid()) - before;

    let changes = haproxy.log().lines_with(" is DOWN");
    assert_eq!(changes.len(), BACKENDS * SERVERS, "servers that went down");
    let mails = relay.deliveries();
    let since_gone =
        |moments: &mut dyn Iterator<Item = Instant>| moments.max().map_or(Duration::ZERO, |m| m - gone);
    let first_change = changes.iter().map(|line| line.received).min();
    let first_mail = mails.iter().map(|mail| mail.accepted).min().zip(first_change);
    Storm {
        time,
        requests,
        mails: mails.len(),
        named: servers_named(mails.iter().map(|mail| &mail.data[..])),
        first_mail: first_mail.map_or(Duration::ZERO, |(mail, change)| mail - change),
        last_change: since_gone(&mut changes.iter().map(|line| line.received)),
        last_mail: since_gone(&mut mails.iter().map(|mail| mail.accepted)),
    }
}

/// How long each request took.
fn ask_until(end: Instant, frontend: &Path) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let answer = http::get(frontend).expect("an answer of HAProxy");
        assert_eq!(answer.status, 200, "HAProxy's answer");
        latencies.push(answer.took);
        thread::sleep(BETWEEN_REQUESTS);
    }
    latencies
}

fn wait_for_quiet(relay: &Relay) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = relay.mail_count();
    loop {
        thread::sleep(QUIET);
        let now = relay.mail_count();
        if now == seen || Instant::now() > deadline {
            return;
        }
        seen = now;
    }
}

/// By a mail about one, or by a line of a digest.
fn servers_named<'a>(mails: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut named = BTreeSet::new();
    for mail in mails {
        for line in String::from_utf8_lossy(mail).lines() {
            let name = line.strip_prefix("Server ").unwrap_or(line).split_once(' ');
            let is_down = |rest: &str| rest.trim_start().trim_start_matches("is ").starts_with("DOWN");
            let name = name.filter(|(name, rest)| name.contains('/') && is_down(rest));
            named.extend(name.map(|(name, _)| name.to_owned()));
        }
    }
    named.len()
}

/// Prints the comparison.
pub fn bench() {
    let mut storms = Contender::ALL.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (contender, storms) in Contender::ALL.into_iter().zip(&mut storms) {
            storms.push(watch(contender));
        }
    }
    let servers = BACKENDS * SERVERS;
    head(&format!(
        "{servers} servers in {BACKENDS} backends go down within a second, by checks that fail: medians of {ROUNDS} rounds\n\
         (extra processor time: less that without mails; clients: a request every {} ms)",
        BETWEEN_REQUESTS.as_millis()
    ));
    row("", &Contender::ALL.map(|contender| contender.name().to_owned()));
    let all = |figure: &dyn Fn(&Storm) -> f64| {
        storms.each_ref().map(|storms| median(&storms.iter().map(figure).collect::<Vec<f64>>()))
    };
    let print = |name: &str, unit: &str, digits: usize, figures: [f64; 3]| {
        row(name, &figures.map(|figure| format!("{figure:.digits$}{unit}")));
    };
    let [silent, ours, native] = all(&|storm| storm.time.total().as_secs_f64());
    let [silent_own, ours_own, native_own] = all(&|storm| storm.time.haproxy.as_secs_f64());
    print("extra processor time", " s", 3, [0.0, ours - silent, native - silent]);
    print("  of that on HAProxy's threads", " s", 3, [0.0, ours_own - silent_own, native_own - silent_own]);
    print("all processor time", " s", 3, [silent, ours, native]);
    print("first mail after its change", " ms", 2, all(&|storm| storm.first_mail.as_secs_f64() * 1e3));
    print("last change logged after", " s", 2, all(&|storm| storm.last_change.as_secs_f64()));
    print("last mail accepted after", " s", 2, all(&|storm| storm.last_mail.as_secs_f64()));
    print("mails", "", 0, all(&|storm| storm.mails as f64));
    print("servers named", "", 0, all(&|storm| storm.named as f64));
    let worst = |storm: &Storm| greatest(&storm.requests);
    print("client, 99 %", " ms", 2, all(&|storm| quantile(&storm.requests, 0.99).as_secs_f64() * 1e3));
    print("client, worst", " ms", 2, all(&|storm| worst(storm).as_secs_f64() * 1e3));

    println!();
    let [_, (fewest, most), _] = storms.each_ref().map(|storms| {
        let named: Vec<usize> = storms.iter().map(|storm| storm.named).collect();
        let mails: Vec<usize> = storms.iter().map(|storm| storm.mails).collect();
        (quantile(&named, 0.0), greatest(&mails))
    });
    let ratio = (ours - silent) / (native - silent);
    bar("extra processor time, to native", &format!("{ratio:.2}"), "under 0.10", ratio < 0.1);
    bar("servers named in every round", &fewest.to_string(), &servers.to_string(), fewest == servers);
    bar("mails", &most.to_string(), "at most 3", most <= 3);
    // What varies without any mail cannot be told from an effect of the mails.
    let [silent, ours, _] =
        storms.each_ref().map(|storms| storms.iter().map(worst).collect::<Vec<Duration>>());
    let (limit, ours) = (greatest(&silent), median(&ours));
    let words = format!("not over the worst without mails, {}", milliseconds(limit));
    bar("client's worst request", &milliseconds(ours), &words, ours <= limit);
}
