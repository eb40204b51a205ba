// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that a relay's directive names: each that cannot be used is refused with its message.

use super::side_effect_of;
use end_to_end::{Authority, Files, Judgement, Setup, setup::UNPRIVILEGED};

/// A relay's words about files. `{files}` is the directory of these files: `ca`, `client` (certificate and its key), `other`
/// (certificate and a key that does not belong to it), `bare` (no key), `empty`, `text`, `large`; `password`, `open` (readable by
/// all users), `group` (readable by a group), `lines`.
const WRONG_FILES: &[(&str, &str)] = &[
    ("tls ca-file {files}/text", "'ca-file' file '{files}/text' is not PEM"),
    ("tls ca-file {files}/empty", "'ca-file' file '{files}/empty' is empty"),
    ("tls ca-file {files}/large", "'ca-file' file '{files}/large' is larger than 1 MiB"),
    ("tls ca-file {files}/key", "'ca-file' file '{files}/key' has no certificate"),
    (
        "tls crt {files}/bare",
        "'crt' file '{files}/bare' has no private key; expected one beside the certificate",
    ),
    ("tls crt {files}/key", "'crt' file '{files}/key' has no certificate"),
    (
        "tls crt {files}/other",
        "'crt' file '{files}/other' has a private key that is not that of its first certificate",
    ),
    (
        "tls crt {files}/open-client",
        "'crt' file '{files}/open-client' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open-client",
    ),
    ("user bob password-file {files}/empty", "'password-file' file '{files}/empty' is empty"),
    (
        "user bob password-file {files}/lines",
        "'password-file' file '{files}/lines' has more than one line, or a NUL byte",
    ),
    (
        "user bob password-file {files}/open",
        "'password-file' file '{files}/open' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open",
    ),
    (
        "oauth-token-file {files}/open",
        "'oauth-token-file' file '{files}/open' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open",
    ),
];

fn judge_with_files(words: &str, files: &Files) -> (Judgement, String) {
    let directive = format!("email_alert.relay mx1 localhost {words}").replace("{files}", &path_of(files));
    let setup = Setup::with_alerts().frontend("servers").backend("servers", &[]).jailed();
    (setup.global(&directive).judge(), directive)
}

fn path_of(files: &Files) -> String {
    files.path().display().to_string()
}

fn files() -> Files {
    let (files, authority) = (Files::default(), Authority::new("test"));
    let (client, other) = (authority.client(), authority.client());
    files.public("ca", &authority.pem());
    files.secret("client", &client.pem());
    files.public("open-client", &client.pem());
    files.secret("bare", &client.chain.concat());
    files.secret("key", &client.key);
    files.secret("other", &(client.chain.concat() + &other.key));
    files.secret("empty", "");
    files.secret("text", "-- this is not PEM --\n");
    files.secret("large", &"x".repeat((1 << 20) + 1));
    files.secret("password", "hunter2\n");
    files.secret("lines", "hunter2\nhunter3\n");
    files.public("open", "hunter2\n");
    files.file("group", "hunter2\n", 0o640);
    files
}

#[test]
fn each_file_that_is_of_no_use_is_refused_with_its_message() {
    let files = files();
    let mut faults = String::new();
    for (words, message) in WRONG_FILES {
        let (judgement, directive) = judge_with_files(words, &files);
        let (file, line) = (&judgement.file, judgement.line_number_of(&directive));
        let message = message.replace("{files}", &path_of(&files));
        let expected = format!("parsing [{file}:{line}] : 'email_alert.relay' relay 'mx1': {message}\n");
        if judgement.status != Some(1) || !judgement.output.contains(&expected) {
            faults += &format!("{words:?}: expected {expected}  got {}", judgement.output);
        }
        if judgement.output.contains("hunter") {
            faults += &format!("{words:?}: the password is told: {}", judgement.output);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn files_that_the_worker_and_nobody_else_may_read_are_taken() {
    let files = files();
    files.secret_of(UNPRIVILEGED, "token", "secret");
    for words in [
        "tls ca-file {files}/ca crt {files}/client",
        "starttls ca-file {files}/ca user bob password-file {files}/password",
        "starttls ca-file {files}/ca oauth-token-file {files}/token",
        "user bob password-file {files}/password",
    ] {
        let (judgement, _) = judge_with_files(words, &files);
        assert!(judgement.is_silent(), "{words}: {}", judgement.output);
        assert_eq!(judgement.status, Some(0), "{words}");
        assert_eq!(side_effect_of(&judgement), None, "{words}");
    }
    for (words, message) in [
        (
            "user bob password-file {files}/group",
            "is open to group id 0, which is not HAProxy's; expected a file for its owner",
        ),
        ("oauth-token-file {files}/password", "is not readable for HAProxy's user id 65534, group id 65534"),
    ] {
        let (judgement, _) = judge_with_files(words, &files);
        assert_eq!(judgement.status, Some(1), "{words}: {}", judgement.output);
        let begins = "email_alert: relay 'mx1': '";
        assert!(
            judgement.output.contains(begins) && judgement.output.contains(message),
            "{}",
            judgement.output
        );
    }
}

#[test]
fn an_option_that_weakens_tls_is_warned_about() {
    let (judgement, _) = judge_with_files("starttls insecure-no-verify", &files());
    assert_eq!(judgement.status, Some(0), "{}", judgement.output);
    let words =
        "email_alert: relay 'mx1': 'insecure-no-verify': whoever is in between can take the relay's place";
    assert!(
        judgement.output.contains("[WARNING]") && judgement.output.contains(words),
        "{}",
        judgement.output
    );
}
