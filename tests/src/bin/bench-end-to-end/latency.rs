// SPDX-License-Identifier: MIT OR Apache-2.0
//! From HAProxy's own log line of a change to the acceptance of its mail by an idle relay.

use crate::{
    contender::Contender,
    probe::{Checks, Destination, Probe},
    table::{bar, greatest, head, median, milliseconds, quantile, row},
};

/// Changes after each of which the sessions with the relay end before there is another one.
const FIRSTS: usize = 30;
/// Changes of which one comes soon after the other.
const CHANGES: usize = 50;
/// Changes of one contender before the other's turn, so that changes of the machine's load affect both.
const TURN: usize = 10;
/// Limit of the median above the native mailers' median, in milliseconds, for changes that come soon after one another.
pub const BAR_SOON: f64 = 0.2;
/// Limit of the median above the native mailers' median, in milliseconds, for the first change after a rest.
pub const BAR_FIRST: f64 = 0.4;

/// Prints the comparison.
pub fn bench() {
    let contenders = [Contender::EmailAlert, Contender::Native];
    let mut rounds = Vec::new();
    let idle: fn() -> Destination = Destination::idle;
    for (relay, destination) in
        [("a relay that does nothing but to answer", idle), ("Debian's Postfix", Destination::postfix)]
    {
        for checks in [Checks::Announced, Checks::AtOnce] {
            rounds.push((relay, checks, contenders.map(|one| Probe::start(one, destination(), checks))));
        }
    }
    for _ in 0..FIRSTS {
        rounds.iter_mut().flat_map(|(_, _, probes)| probes).for_each(Probe::change_after_a_rest);
    }
    for (relay, checks, probes) in &mut rounds {
        let checks = match checks {
            Checks::Announced => "by HAProxy's usual checks, of which three fail or two succeed",
            Checks::AtOnce => "by checks of which the first decides (fall 1 rise 1)",
        };
        head(&format!(
            "From HAProxy's log line to the mail's acceptance by {relay}, for the first change after a rest,\n\
             {checks}: {FIRSTS} changes by a server that refuses connections and accepts them again"
        ));
        show(&contenders, probes, BAR_FIRST);
    }
    for (relay, _, probes) in rounds.iter_mut().filter(|(_, checks, _)| matches!(checks, Checks::AtOnce)) {
        for _ in 0..CHANGES / TURN {
            for probe in &mut *probes {
                (0..TURN).for_each(|_| probe.change());
            }
        }
        head(&format!("The same for changes that come four a second: {CHANGES} changes, {relay}"));
        show(&contenders, probes, BAR_SOON);
    }
}

/// Prints the times since the last call.
fn show(contenders: &[Contender; 2], probes: &mut [Probe; 2], limit: f64) {
    row("", &["mails", "median", "90 %", "max"].map(String::from));
    let all = probes.each_mut().map(|probe| probe.take_times().0);
    for (contender, times) in contenders.iter().zip(&all) {
        let figures = [median(times), quantile(times, 0.9), greatest(times)];
        row(contender.name(), &[&[times.len().to_string()], &figures.map(milliseconds)[..]].concat());
    }
    println!();
    let [ours, native] = all.map(|times| median(&times).as_secs_f64() * 1e3);
    let (more, words) = (ours - native, format!("at most {limit} ms"));
    bar("median, more than native's by", &format!("{more:+.2} ms"), &words, more <= limit);
}
