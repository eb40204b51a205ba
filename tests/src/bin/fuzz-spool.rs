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
    "haproxy-email-alert spool 2\nmessage-id: <haproxy.643a-1f.12.0.0@lb1.example.com>\ncreated: 1795442400000000000\n\
     from: haproxy@lb1.example.com\nto: ops@example.com\nto-local: root@lb1.example.com\ndone: oncall@example.com\n\
     done-local: admin@lb1.example.com\nreference: <haproxy.643a-1f.7.0.0@lb1.example.com>\ntopic: servers/server2\n\
     about: changes\nunnamed: 0\ndropped: 0\nwhen: 1795442399998000000\nkind: down\nhealth: down\nlevel: alert\n\
     backend: servers\nserver: server2\n\
     sentence: Server servers/server2 is DOWN, reason: Layer4 timeout, check duration: 2001ms.\n\
     was: UP\ncheck: L4TOUT\ncheck-reason: Layer4 timeout\ncheck-code: 3\ncheck-info: x\ncheck-duration: 2001\n\
     via: a/b\naddress: 10.0.0.7:8080\nusable: 1 0\nchanges: 1\nfirst: 1795442399998000000\n\
     incident: 1795442399998000000 1 Layer4 timeout\nnote: change\nend\n",
    "haproxy-email-alert spool 2\nmessage-id: <haproxy.6-1.0.1.1@lb1>\ncreated: 1\nfrom: a@b\nto: c@d\ntopic: backend web\n\
     about: reminder\nsize: 12 web\nsize: 2 a b\nunnamed: 7\ndropped: 18446744073709551615\nwhen: 0\nkind: backend-down\n\
     health: down\nlevel: emerg\nlisten: web\nsentence: listen web has no server available!\nusable: 0 0\nchanges: 1\n\
     first: 0\nincident: 0 1 \nnote: stable\nwhen: 1\nkind: gone\nhealth: maint\nlevel: notice\nbackend: web\nserver: s\n\
     sentence: it is gone\ncause: forgotten\nusable: 0 0\nchanges: 4294967295\nfirst: 0\nnote: flapping\nend\n",
    "haproxy-email-alert spool 2\nmessage-id: <a@b>\ncreated: 18446744073709551615\nfrom: a@b\nto: c@d\n\
     topic: z\u{fc}rich\nabout: silence web/* a  reason\nunnamed: 0\ndropped: 7\nwhen: 1\nkind: up\nhealth: up\n\
     level: notice\nbackend: z\u{fc}rich <U+000D> \u{65e5}\u{672c}\nserver: s\nsentence: \nagent: L7STS\ncheck-reason: \n\
     usable: 0 0\nchanges: 0\nfirst: 9\nnote: change\nend\n",
];

/// What is put where it does not belong.
const PIECES: [&str; 24] = [
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
    "to: ",
    "done: e@f\n",
    "end\n",
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
    // What panics is shown by us, with its input.
    std::panic::set_hook(Box::new(|_| ()));

    let (mut random, start) = (Rng::with_seed(seed), Instant::now());
    let mut settings = Settings::new();
    directive::parse(&mut settings, &["email_alert", "ops@example.com"]).expect("a directive");
    let plan = settings.resolve("lb1.example.com").expect("a plan");
    let composer = Composer::new(&plan, Some("2.6.12".into()));
    // Those that were taken for mails are damaged further.
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

/// Was anything in it taken for a mail? The error: it should not have been, or what came of it is wrong.
fn judge(composer: &Composer, file: &str) -> Result<bool, String> {
    let (mut end, mut taken) = (0, false);
    for (offset, part) in format::parts(file) {
        if offset < end || part.is_empty() || !file[offset..].starts_with(part) {
            return Err(format!("a part of {} bytes at {offset}, behind {end}", part.len()));
        }
        end = offset + part.len();
        taken |= judge_part(composer, part)?;
    }
    Ok(taken)
}

fn judge_part(composer: &Composer, part: &str) -> Result<bool, String> {
    let Ok((mail, left)) = format::decode(part) else { return Ok(false) };
    if left.is_empty() || !left.iter().all(|recipient| mail.to.contains(recipient)) {
        return Err(format!("it goes to {left:?} of {:?}", mail.to));
    }
    let again = format::encode(&mail, &left);
    if format::decode(&again) != Ok((mail.clone(), left)) {
        return Err(format!("it is not read back from {again:?}"));
    }
    let message = composer.compose(&mail, mail.created, Some("relay mx1: away"))?;
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
                // A line comes again, in another place, perhaps from another file.
                let other = random.choice(files).expect("a file");
                let lines: Vec<&str> = other.split_inclusive('\n').collect();
                let line = random.choice(&lines).map_or("", |line| line);
                let place = file.iter().take(at).rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                drop(file.splice(place..place, line.bytes()));
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
