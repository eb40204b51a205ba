// SPDX-License-Identifier: MIT OR Apache-2.0
//! `haproxy-email-alert`: what an administrator does once, beside HAProxy.

mod convert;
mod native;
mod words;

use haproxy_email_alert::text::visible;
use lexopt::Arg::{Long, Short, Value};
use native::Configuration;
use std::ffi::OsString;
use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

const HELP: &str = "\
usage: haproxy-email-alert convert [<haproxy.cfg>...|-]

Prints the 'email_alert' lines that replace the 'mailers' sections and 'email-alert'
lines of a HAProxy configuration. Several files are one configuration, as with
'haproxy -f'; '-' is standard input; without any it is /etc/haproxy/haproxy.cfg.
Nothing is changed. See haproxy-email-alert(1).

  -h, --help     this text
  -V, --version  the version
";

const USUAL_FILE: &str = "/etc/haproxy/haproxy.cfg";

/// The task that the command line asks for.
enum Task {
    Say(String),
    Convert(Vec<OsString>),
}

fn main() -> ExitCode {
    let failed = |status: u8, why: String| {
        eprintln!("haproxy-email-alert: {why}");
        ExitCode::from(status)
    };
    let output = match task() {
        Err(why) => return failed(2, format!("{why}; see haproxy-email-alert --help")),
        Ok(Task::Say(text)) => Ok(text),
        Ok(Task::Convert(files)) => convert(&files),
    };
    match output
        .and_then(|text| stdout().write_all(text.as_bytes()).map_err(|why| format!("standard output: {why}")))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(1, why),
    }
}

fn task() -> Result<Task, lexopt::Error> {
    let mut arguments = lexopt::Parser::from_env();
    let (mut command, mut files) = (None, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Task::Say(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Task::Say(format!("haproxy-email-alert {}\n", haproxy_email_alert::VERSION)));
            }
            Value(word) if command.is_none() => command = Some(word),
            Value(file) => files.push(file),
            _ => return Err(argument.unexpected()),
        }
    }
    match command {
        Some(word) if word == "convert" => Ok(Task::Convert(files)),
        Some(word) => Err(format!("unknown command '{}'", word.to_string_lossy()).into()),
        None => Err("expected a command".into()),
    }
}

fn convert(files: &[OsString]) -> Result<String, String> {
    let usual = [USUAL_FILE.into()];
    let mut configuration = Configuration::default();
    for file in if files.is_empty() { &usual } else { files } {
        let (name, bytes) = match file == "-" {
            true => ("stdin".to_owned(), read_to_end(stdin())),
            false => (visible(&file.to_string_lossy()), std::fs::read(file)),
        };
        let bytes = bytes.map_err(|why| format!("{name}: {why}"))?;
        // A comment may have any bytes.
        configuration.read(&name, &String::from_utf8_lossy(&bytes))?;
    }
    let (text, refused) = convert::convert(&configuration)?;
    if refused > 0 {
        eprintln!(
            "haproxy-email-alert: {refused} of the lines must be written by hand: see NOT CONVERTED in the output"
        );
    }
    Ok(text)
}

fn read_to_end(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).map(|_| bytes)
}
