// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library costs a HAProxy that has nothing to do.

use std::{thread::sleep, time::Duration};

use end_to_end::{Haproxy, Relay, Setup, processes};

use crate::{
    contender::{Contender, unpatched},
    machine::memory,
    table::{bar, head, median, row},
};

const ROUNDS: usize = 5;
/// It has started, and does nothing any more.
const IDLE: Duration = Duration::from_millis(500);
const BAR: f64 = 4.0;

struct Footprint {
    /// In MiB.
    resident: f64,
    threads: usize,
}

fn measure(setup: Setup) -> Footprint {
    let haproxy: Haproxy = setup.backend("be", &["server s1 127.0.0.1:9"]).start();
    sleep(IDLE);
    let resident = memory(haproxy.pid(), "VmRSS") as f64 / 1024.0;
    Footprint { resident, threads: processes::threads_of(haproxy.pid()).len() }
}

/// Prints the comparison.
pub fn bench() {
    let relay = Relay::start();
    let mut footprints = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        footprints[0].push(measure(Setup::without_alerts().program(&unpatched())));
        footprints[1].push(measure(Contender::Silent.setup(relay.address())));
        footprints[2].push(measure(Contender::EmailAlert.setup(relay.address())));
    }
    let [without_library, without_line, with_line] = footprints.each_ref().map(|footprints| {
        let resident: Vec<f64> = footprints.iter().map(|footprint| footprint.resident).collect();
        (median(&resident), footprints[0].threads)
    });

    head(&format!("An idle HAProxy: medians of {ROUNDS} starts"));
    row("", &["resident", "threads"].map(String::from));
    let print = |name: &str, (resident, threads): (f64, usize)| {
        row(name, &[format!("{resident:.2} MiB"), threads.to_string()]);
    };
    print("unpatched", without_library);
    print("patched, no email_alert line", without_line);
    print("patched, with email_alert", with_line);
    println!();
    for (name, (resident, _)) in
        [("added by the line", without_line), ("added by library and line", without_library)]
    {
        let added = with_line.0 - resident;
        bar(name, &format!("{added:.2} MiB"), &format!("under {BAR} MiB"), added < BAR);
    }
}
