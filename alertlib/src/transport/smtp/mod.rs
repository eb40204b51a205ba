// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP (RFC 5321): one session at a time, a verdict per recipient.

mod session;

use super::{Letter, Transport, Trouble, Verdict};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use session::{Reply, Session};
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How long a relay may take to say goodbye: nothing depends on its answer.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The relay ends the session (RFC 5321, 3.8).
const CLOSING: u16 = 421;

/// An SMTP relay, and the session with it while there is one.
pub struct Smtp {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    hello: ClientId,
    session: Option<Session>,
}

/// A mail as DATA sends it: dots doubled at the beginning of lines, the final dot (RFC 5321, 4.5.2).
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
    Refused { permanent: bool, trouble: Trouble },
    /// The session is over.
    Session(Trouble),
}

impl Smtp {
    /// A relay that is greeted as `own_name`. `timeout` bounds each step.
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

    /// A session up to the relay's answer to EHLO.
    fn connect(&mut self) -> Result<Session, Trouble> {
        let connecting = format!("connect to {}", self.place());
        if self.addresses.is_empty() {
            self.resolve().map_err(|why| Trouble::new(&connecting, why))?;
        }
        let mut session =
            Session::connect(&self.addresses, self.timeout).map_err(|why| Trouble::new(&connecting, why))?;
        self.judge("greeting", session.reply()).map_err(Failure::trouble)?;
        match self.judge("EHLO", session.command(Ehlo::new(self.hello.clone()))) {
            // A relay from before 1995 (RFC 5321, 4.1.1.1).
            Err(Failure::Refused { permanent: true, .. }) => {
                let helo = format!("HELO {}\r\n", self.hello);
                self.judge("HELO", session.command(helo)).map_err(Failure::trouble)?;
            }
            greeted => greeted.map_err(Failure::trouble)?,
        }
        Ok(session)
    }

    /// One mail over an open session. `Err`: the session is over.
    fn converse(&self, session: &mut Session, letter: &Letter) -> Result<Vec<Verdict>, Trouble> {
        match self.judge("MAIL FROM", session.command(Mail::new(Some(letter.from.clone()), vec![]))) {
            Ok(()) => {}
            Err(failure) => return Ok(vec![failure.verdict()?; letter.to.len()]),
        }
        let mut verdicts = Vec::with_capacity(letter.to.len());
        for recipient in letter.to {
            let step = format!("RCPT TO <{}>", recipient.address);
            verdicts.push(
                match self.judge(&step, session.command(Rcpt::new(recipient.address.clone(), vec![]))) {
                    Ok(()) => Verdict::Delivered,
                    Err(failure) => failure.verdict()?,
                },
            );
        }
        if !verdicts.contains(&Verdict::Delivered) {
            return Ok(verdicts);
        }
        let sent = self
            .judge("DATA", session.command(Data))
            .and_then(|()| self.judge("end of DATA", session.command(Content(&letter.message.bytes))));
        if let Err(failure) = sent {
            let refused = failure.verdict()?;
            for verdict in verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Delivered) {
                *verdict = refused.clone();
            }
        }
        Ok(verdicts)
    }

    fn judge(&self, step: &str, outcome: Result<Reply, String>) -> Result<(), Failure> {
        let trouble = |words: &str| Trouble::new(format!("{step} at {}", self.place()), words);
        match outcome {
            Ok(reply) if reply.is_positive() => Ok(()),
            Ok(reply) if reply.code == CLOSING => Err(Failure::Session(trouble(&reply.to_string()))),
            Ok(reply) => Err(Failure::Refused {
                permanent: reply.is_permanent(),
                trouble: trouble(&reply.to_string()),
            }),
            Err(words) => Err(Failure::Session(trouble(&words))),
        }
    }
}

impl Failure {
    /// What it means for those concerned; `Err`: the session is over.
    fn verdict(self) -> Result<Verdict, Trouble> {
        match self {
            Failure::Refused { permanent: true, trouble } => Ok(Verdict::Never(trouble)),
            Failure::Refused { trouble, .. } => Ok(Verdict::Later(trouble)),
            Failure::Session(trouble) => Err(trouble),
        }
    }

    fn trouble(self) -> Trouble {
        match self {
            Failure::Refused { trouble, .. } | Failure::Session(trouble) => trouble,
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
        // A relay may have closed a session that was kept open: then nobody has got anything yet.
        if was_kept && matches!(&outcome, Err(trouble) if trouble.step.starts_with("MAIL FROM")) {
            session = self.connect()?;
            outcome = self.converse(&mut session, letter);
        }
        let is_clean = match &outcome {
            Ok(verdicts) if verdicts.contains(&Verdict::Delivered) => true,
            Ok(_) => session.command(Rset).is_ok_and(|reply| reply.is_positive()),
            Err(_) => false,
        };
        if is_clean {
            self.session = Some(session);
        }
        outcome
    }

    fn rest(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.set_timeout(QUIT_TIMEOUT.min(self.timeout));
            // What was sent is sent, whatever the relay answers.
            let _ = session.command(Quit);
        }
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
