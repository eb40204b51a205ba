// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP (RFC 5321) through lettre's connection: one session at a time, a verdict per recipient.

use super::{Letter, Transport, Trouble, Verdict};
use lettre::Address;
use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Response};
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How long a relay may take to say goodbye: nothing depends on its answer.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// An SMTP relay, and the session with it while there is one.
pub struct Smtp {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    hello: ClientId,
    session: Option<SmtpConnection>,
}

/// A mail as DATA sends it: dots doubled at the beginning of lines, the final dot (RFC 5321, 4.5.2).
///
/// In one write: lettre's own `message()` sends the final dot apart, which then waits for the acknowledgement of the mail
/// before it, for 40 ms as a rule (Nagle's algorithm against delayed acknowledgements).
struct Content<'a>(&'a [u8]);

impl Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // Our mails are ASCII, whatever is in them: see `message`.
        let mail = String::from_utf8_lossy(self.0);
        for line in mail.trim_end().split("\r\n") {
            let dot = if line.starts_with('.') { "." } else { "" };
            write!(f, "{dot}{line}\r\n")?;
        }
        f.write_str(".\r\n")
    }
}

/// A step of the session that failed.
enum Failure {
    /// The relay's reply: for the mail or the recipient, not for the session.
    Reply { permanent: bool, trouble: Trouble },
    /// The session is over.
    Session(Trouble),
}

impl Smtp {
    /// A relay that greets as `own_name`. `timeout` bounds each step.
    pub fn new(host: &str, port: u16, timeout: Duration, own_name: &str) -> Self {
        let hello = match own_name.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(own_name.to_owned()),
        };
        Smtp { host: host.to_owned(), port, addresses: Vec::new(), timeout, hello, session: None }
    }

    /// Looks the host up, where the resolver's files are: before the chroot.
    ///
    /// # Errors
    ///
    /// The resolver's words. The relay can be used nevertheless: it looks again when it has a mail.
    pub fn resolve(&mut self) -> Result<(), String> {
        self.addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| format!("cannot resolve '{}': {error}", self.host))?
            .collect();
        Ok(())
    }

    fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn connect(&mut self) -> Result<SmtpConnection, Trouble> {
        let place = self.place();
        if self.addresses.is_empty() {
            self.resolve().map_err(|why| Trouble::new(format!("connect to {place}"), why))?;
        }
        SmtpConnection::connect(&self.addresses[..], Some(self.timeout), &self.hello, None, None).map_err(
            |error| {
                // lettre tells connecting from what follows by this word alone.
                let what = if error.to_string().starts_with("Connection error") {
                    "connect to"
                } else {
                    "greeting of"
                };
                Trouble::new(format!("{what} {place}"), words(&error, self.timeout))
            },
        )
    }

    /// One mail over an open session. `Err`: the session is over.
    fn converse(&self, session: &mut SmtpConnection, letter: &Letter) -> Result<Vec<Verdict>, Trouble> {
        let step = |name: &str, result: Result<Response, Error>| self.judge(name, result);

        let from: &Address = letter.from;
        match step("MAIL FROM", session.command(Mail::new(Some(from.clone()), vec![]))) {
            Ok(()) => {}
            Err(Failure::Session(trouble)) => return Err(trouble),
            Err(reply) => return Ok(vec![reply.verdict(); letter.to.len()]),
        }
        let mut verdicts = Vec::with_capacity(letter.to.len());
        for recipient in letter.to {
            let name = format!("RCPT TO <{}>", recipient.address);
            match step(&name, session.command(Rcpt::new(recipient.address.clone(), vec![]))) {
                Ok(()) => verdicts.push(Verdict::Delivered),
                Err(Failure::Session(trouble)) => return Err(trouble),
                Err(reply) => verdicts.push(reply.verdict()),
            }
        }
        if !verdicts.contains(&Verdict::Delivered) {
            return Ok(verdicts);
        }
        let sent = step("DATA", session.command(Data))
            .and_then(|()| step("end of DATA", session.command(Content(&letter.message.bytes))));
        match sent {
            Ok(()) => {}
            Err(Failure::Session(trouble)) => return Err(trouble),
            Err(reply) => {
                for verdict in verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Delivered) {
                    *verdict = reply.verdict();
                }
            }
        }
        Ok(verdicts)
    }

    fn judge(&self, step: &str, result: Result<Response, Error>) -> Result<(), Failure> {
        let Err(error) = result else { return Ok(()) };
        let trouble = Trouble::new(format!("{step} at {}", self.place()), words(&error, self.timeout));
        // 421: the relay ends the session (RFC 5321, 3.8).
        let closing = error.status().is_some_and(|code| u16::from(code) == 421);
        match (error.is_permanent(), error.is_transient()) {
            _ if closing => Err(Failure::Session(trouble)),
            (true, _) => Err(Failure::Reply { permanent: true, trouble }),
            (_, true) => Err(Failure::Reply { permanent: false, trouble }),
            _ => Err(Failure::Session(trouble)),
        }
    }
}

impl Failure {
    fn verdict(&self) -> Verdict {
        match self {
            Failure::Reply { permanent: true, trouble } => Verdict::Never(trouble.clone()),
            Failure::Reply { trouble, .. } | Failure::Session(trouble) => Verdict::Later(trouble.clone()),
        }
    }
}

impl Transport for Smtp {
    fn send(&mut self, letter: &Letter) -> Result<Vec<Verdict>, Trouble> {
        let kept = self.session.take();
        let was_kept = kept.is_some();
        let mut session = match kept {
            Some(session) => session,
            None => self.connect()?,
        };
        let mut outcome = self.converse(&mut session, letter);
        // A relay may have closed a session that was kept open; no recipient was named in it yet.
        if was_kept && matches!(&outcome, Err(trouble) if trouble.step.starts_with("MAIL FROM")) {
            session = self.connect()?;
            outcome = self.converse(&mut session, letter);
        }
        let clean = match &outcome {
            Ok(verdicts) if verdicts.contains(&Verdict::Delivered) => true,
            Ok(_) => session.command(Rset).is_ok(),
            Err(_) => false,
        };
        if clean {
            self.session = Some(session);
        }
        outcome
    }

    fn rest(&mut self) {
        if let Some(mut session) = self.session.take() {
            // What was sent is sent, whatever the relay answers.
            let _ = session.set_timeout(Some(QUIT_TIMEOUT));
            let _ = session.quit();
        }
    }
}

/// The relay's own words, or the system's.
fn words(error: &Error, timeout: Duration) -> String {
    let source = std::error::Error::source(error);
    if let Some(code) = error.status() {
        return match source {
            Some(words) => format!("{code} {words}"),
            None => code.to_string(),
        };
    }
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) if matches!(io.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
            format!(
                "no answer within {}",
                jiff::SignedDuration::try_from(timeout)
                    .map_or_else(|_| "the time-out".into(), |t| format!("{t:#}"))
            )
        }
        Some(io) => io.to_string(),
        None if error.is_response() => match source {
            Some(words) if words.to_string() == "incomplete response" => {
                "the relay closed the connection".to_owned()
            }
            Some(words) => format!("not an SMTP reply: {words}"),
            None => "not an SMTP reply".to_owned(),
        },
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_the_last_one_stands_alone() {
        assert_eq!(
            Content(b"a: b\r\n\r\n.\r\n.x\r\ny.\r\n").to_string(),
            "a: b\r\n\r\n..\r\n..x\r\ny.\r\n.\r\n"
        );
    }
}
