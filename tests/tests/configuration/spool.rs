// SPDX-License-Identifier: MIT OR Apache-2.0
//! The spool's directory: its permissions are judged, and nothing is written.

use super::side_effect_of;
use end_to_end::{Setup, Spool, setup::UNPRIVILEGED};

#[test]
fn a_spool_that_others_can_write_or_haproxy_cannot_is_an_error() {
    let spool = Spool::new();
    let directory = spool.path().display();
    let judge = |setup: Setup| spool.of(setup).frontend("servers").backend("servers", &[]).judge();
    let alerts = || Setup::with_alerts().relay("mx1", ([127, 0, 0, 1], 25).into());
    let expect = |setup: Setup, words: String| {
        let judgement = judge(setup);
        assert_eq!(judgement.status, Some(1), "{}", judgement.output);
        assert!(judgement.output.contains(&format!("email_alert: spool: {words}\n")), "{}", judgement.output);
        assert_eq!(side_effect_of(&judgement), None);
        assert_eq!(spool.names(), [""; 0]);
    };
    let by_everybody = format!(
        "directory '{directory}' can be written by everybody, and what is in it is mailed; expected: chmod o-w {directory}"
    );
    for mode in [0o777, 0o1777, 0o702] {
        spool.has_mode(mode);
        expect(alerts().jailed(), by_everybody.clone());
        expect(alerts(), by_everybody.clone());
    }
    let (id, not_by_us) = (UNPRIVILEGED, "is not writable for user id");
    let not_by_us = format!(
        "directory '{directory}' {not_by_us} {id}, group id {id}; expected: chown {id}:{id} {directory}"
    );
    for mode in [0o500, 0o600, 0o070] {
        spool.has_mode(mode);
        expect(alerts().jailed(), not_by_us.clone());
    }
    spool.has_mode(0o755);
    std::os::unix::fs::chown(spool.path(), Some(0), Some(0)).expect("chown");
    expect(alerts().jailed(), not_by_us);
    // Root may.
    assert_eq!(judge(alerts()).status, Some(0));
    // So may the group.
    std::os::unix::fs::chown(spool.path(), Some(0), Some(UNPRIVILEGED)).expect("chown");
    spool.has_mode(0o770);
    let judgement = judge(alerts().jailed());
    assert_eq!((judgement.status, judgement.is_silent()), (Some(0), true), "{}", judgement.output);
    assert_eq!(spool.names(), [""; 0], "with -c nothing is written");
}
