// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints what one call of `haproxy_email_alert()` costs HAProxy's thread.

use end_to_end::calls::{Calls, Collector, Texts};

fn main() {
    let calls = Calls::default();
    println!(
        "One call of haproxy_email_alert(), on average of 500 (bars: 1000 instructions for a typical event,"
    );
    println!("no allocation, at most one wake-up, no other system call):\n");
    println!("collector  texts    instructions allocations page faults wake-ups other system calls");
    for collector in [Collector::Idle, Collector::Busy] {
        for texts in [Texts::Typical, Texts::Longest] {
            let cost = calls.measure(collector, texts);
            println!("{:<10} {:<8} {cost}", format!("{collector:?}"), format!("{texts:?}"));
        }
    }
}
