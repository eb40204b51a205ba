// SPDX-License-Identifier: MIT OR Apache-2.0
//! Feeds the spool's reader with damaged files until the time is over: `fuzz-spool [<seconds> [<seed>]]`.
//!
//! Whatever a file says, reading it must not panic; and what is taken for a mail must be written and read back unchanged,
//! and become a mail that no header, line or control character can leave its place in. `make fuzz` runs it.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use end_to_end::ParsedMail;
use fastrand::Rng;
use haproxy_email_alert::{directive, message::Composer, settings::Settings, spool::format};

/// Files as the library writes them.
const SEEDS: [&str; 3] = [
    concat!(
        r#"{"done":0,"version":4,"mail":{"notification":{"message_id":"<haproxy.643a-1f.12.0.0@lb1.example.com>","#,
        r#""created":1795442400000000000,"from":"haproxy@lb1.example.com","#,
        r#""to":[{"address":"ops@example.com"},{"address":"root@lb1.example.com","local":true},"#,
        r#"{"address":"oncall@example.com"},{"address":"admin@lb1.example.com","local":true}],"#,
        r#""references":["<haproxy.643a-1f.7.0.0@lb1.example.com>"],"topic":"servers/server2","trigger":"changes","#,
        r#""items":[{"event":{"when":1795442399998000000,"kind":"down","health":"down","#,
        r#""level":"alert","proxy":"servers","server":"server2","#,
        r#""sentence":"Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.","#,
        r#""was":"UP","check":{"status":"L4TOUT","reason":"Layer4 timeout","code":3,"info":"x","#,
        r#""duration":{"secs":2,"nanos":1000000}},"#,
        r#""via":"a/b","address":"10.0.0.7:8080","usable":{"active":1,"backup":0},"provenance":"log-file","#,
        r#""accuracy":{"since":1795442399000000000}},"changes":1,"first":1795442399998000000,"#,
        r#""incident":{"since":1795442399998000000,"reason":"Layer4 timeout","changes":1},"phase":"not-flapping"}],"#,
        r#""unnamed":0,"dropped":0},"#,
        r#""remaining":[{"address":"ops@example.com"},{"address":"root@lb1.example.com","local":true}]}}"#,
        "\n"
    ),
    concat!(
        r#"{"done":0,"version":4,"mail":{"notification":{"message_id":"<haproxy.6-1.0.1.1@lb1>","created":1,"from":"a@b","#,
        r#""to":[{"address":"c@d"}],"topic":"backend web","trigger":"reminder","#,
        r#""items":[{"event":{"when":0,"kind":"backend-down","health":"down","#,
        r#""level":"emerg","proxy":"web","listen":true,"sentence":"listen web has no server available!","#,
        r#""usable":{"active":0,"backup":0}},"changes":1,"first":0,"incident":{"since":0,"reason":"","changes":1},"#,
        r#""phase":"stable"},{"event":{"when":1,"kind":"gone","health":"maint","level":"notice","proxy":"web","server":"s","#,
        r#""sentence":"it is gone","cause":"forgotten"},"changes":4294967295,"first":0,"phase":"flapping"}],"#,
        r#""sizes":[["web",12],["a b",2]],"unnamed":7,"dropped":18446744073709551615},"#,
        r#""remaining":[{"address":"c@d"}]}}"#,
        "\n"
    ),
    concat!(
        r#"{"done":0,"version":4,"mail":{"notification":{"message_id":"<a@b>","created":18446744073709551615,"from":"a@b","#,
        r#""to":[{"address":"c@d"}],"topic":"zürich","#,
        r#""trigger":{"silence":{"pattern":"web/*","reason":"a  reason"}},"#,
        r#""items":[{"event":{"when":1,"kind":"up","health":"up","level":"notice","proxy":"zürich <U+000D> 日","#,
        r#""server":"s","sentence":"","check":{"agent":true,"status":"L7STS","reason":""},"accuracy":"second"},"#,
        r#""changes":0,"first":9,"phase":"not-flapping"}],"unnamed":0,"dropped":7},"remaining":[{"address":"c@d"}]}}"#,
        "\n"
    ),
];

/// Text pieces that mutations insert.
const PIECES: [&str; 28] = [
    "\n",
    "\r",
    "\r\n",
    "\0",
    "\x1b[2J",
    ": ",
    " ",
    "@",
    "<",
    ">",
    "..",
    ".\r\n",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\nBcc: x@example.com\n",
    "=?utf-8?Q?=0D=0A?=",
    "99999999999999999999",
    "-1",
    "{\"address\":\"e@f\"},",
    "\"local\":true,",
    "}]}\n",
    "\\n",
    "\\u000d\\u000aBcc: x@example.com",
    "\\u202e",
    "[",
    "\"",
    ",",
];

fn main() -> ExitCode {
    let numbers: Vec<u64> = env::args()
        .skip(1)
        .map(|word| word.parse().unwrap_or_else(|_| panic!("{word} is not a number")))
        .collect();
    let time = Duration::from_secs(numbers.first().copied().unwrap_or(60));
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as u64;
    let seed = numbers.get(1).copied().unwrap_or(now % 1_000_000_007);
    println!("fuzz-spool: {} s with seed {seed}", time.as_secs());

    let (mut random, start) = (Rng::with_seed(seed), Instant::now());
    let mut settings = Settings::default();
    directive::parse(&mut settings, &["email_alert", "ops@example.com"]).expect("a directive");
    let plan = settings.resolve("lb1.example.com").expect("a plan");
    let composer = Composer::new(&plan, Some("2.6.12".into()));
    for seed in SEEDS {
        assert_eq!(judge(&composer, seed), Ok(true), "{seed}");
    }
    // Panics are reported below, with the file that caused them.
    std::panic::set_hook(Box::new(|_| ()));
    // Inputs that were accepted as mails are mutated further.
    let mut files: Vec<String> = SEEDS.map(str::to_owned).to_vec();
    let (mut tried, mut taken) = (0u64, 0u64);
    while start.elapsed() < time {
        for _ in 0..1000 {
            let file = damaged(&mut random, &files);
            tried += 1;
            match catch_unwind(AssertUnwindSafe(|| judge(&composer, &file))) {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    taken += 1;
                    if file.len() < 4096 {
                        let place = random.usize(SEEDS.len()..200);
                        if place < files.len() { files[place] = file } else { files.push(file) }
                    }
                }
                wrong => {
                    let what =
                        wrong.map_or_else(|_| "it panics".to_owned(), |fault| fault.expect_err("a fault"));
                    println!("FINDING: {what}\n{file:?}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    println!("{tried} files, {taken} of them taken for mails, no finding in {:?}", start.elapsed());
    ExitCode::SUCCESS
}

/// Reads a mutated input and returns true if it was accepted as a mail. The error says why accepting it, or the result, is wrong.
fn judge(composer: &Composer, file: &str) -> Result<bool, String> {
    let (mut end, mut taken) = (0, false);
    for (offset, part) in format::records(file) {
        if offset < end || part.is_empty() || !file[offset..].starts_with(part) {
            return Err(format!("a part of {} bytes at {offset}, behind {end}", part.len()));
        }
        end = offset + part.len();
        taken |= judge_part(composer, part)?;
    }
    Ok(taken)
}

fn judge_part(composer: &Composer, part: &str) -> Result<bool, String> {
    let Ok(pending) = format::decode(part) else { return Ok(false) };
    let (mail, remaining) = (&pending.notification, &pending.remaining);
    if remaining.is_empty() || !remaining.iter().all(|recipient| mail.to.contains(recipient)) {
        return Err(format!("it goes to {remaining:?} of {:?}", mail.to));
    }
    let again = format::encode(&pending);
    if format::decode(&again).as_ref() != Ok(&pending) {
        return Err(format!("it is not read back from {again:?}"));
    }
    let message = composer.compose(mail, mail.created, Some("relay mx1: away"))?;
    ParsedMail::try_of(&message.bytes)
        .map_err(|fault| format!("{fault}, in {:?}", message.bytes.escape_ascii().to_string()))?;
    Ok(true)
}

fn damaged(random: &mut Rng, files: &[String]) -> String {
    let mut file = random.choice(files).expect("a file").clone().into_bytes();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=file.len());
        let end = random.usize(at..=file.len().min(at + 40));
        match random.u8(0..8) {
            0 => file.truncate(at),
            1 => drop(file.drain(at..end)),
            2 => drop(file.splice(at..at, random.choice(PIECES).expect("a piece").bytes())),
            3 => drop(file.splice(at..end, random.choice(PIECES).expect("a piece").bytes())),
            4 => file[at.min(end)..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
            5 => {
                // A field comes again, in another place, perhaps from another file.
                let other = random.choice(files).expect("a file");
                let fields: Vec<&str> = other.split_inclusive(',').collect();
                let field = random.choice(&fields).map_or("", |field| field);
                let place = file.iter().take(at).rposition(|byte| *byte == b',').map_or(0, |end| end + 1);
                drop(file.splice(place..place, field.bytes()));
            }
            6 => {
                drop(file.splice(at..at, std::iter::repeat_n(random.u8(b' '..=b'z'), random.usize(0..2000))))
            }
            _ => {
                let many = file[at..end].repeat(random.usize(0..20));
                drop(file.splice(at..at, many));
            }
        }
    }
    String::from_utf8_lossy(&file).into_owned()
}
