// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP (RFC 5321): one session at a time, an outcome per recipient.
//!
//! The relay's name is looked up before the chroot, in which nothing can be looked up, and then by the helper process, which
//! is outside of it: see [`addresses`]. Certificates, keys and passwords are read before the chroot as well, a token for
//! each session.

mod addresses;
mod commands;
mod extensions;
mod login;
mod session;
mod socket;
mod tls;

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::credentials;
use crate::files;
use crate::helper::client::SharedHelper;
use crate::settings::{self, Recipient, Security, Trust};
use crate::sys::User;
use addresses::Addresses;
use extensions::Extensions;
use lettre::Address;
use login::Login;
use session::{Reply, Session};
use std::time::Duration;

/// How long a relay may take to say goodbye: nothing depends on its answer.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The relay ends the session (RFC 5321, 3.8).
const CLOSING: u16 = 421;

/// The relay wants to know who we are, or does not believe it (RFC 4954, 6): whatever the step, it is not about the mail.
const WANTS_LOGIN: [u16; 4] = [530, 534, 535, 538];

/// Too many recipients, or too much in a mailbox: not for good (RFC 5321, 4.5.3.1.10).
const TOO_MUCH: u16 = 552;

/// The first step of a mail.
const MAIL: &str = "MAIL FROM";
/// The step of each recipient.
const RCPT: &str = "RCPT TO";
/// The step that asks for more.
const DATA: &str = "DATA";
/// The step that has the mail with it (RFC 3030).
const BDAT: &str = "BDAT";

/// The relay does not know what it has offered, and may take the mail for commands (RFC 5321, 4.2.4).
const UNKNOWN: [u16; 4] = [500, 501, 502, 504];

/// So much longer than for other steps, the reply to the final dot, or to BDAT, is waited for: who looks into the mail first has often
/// taken it when that is over, and would get it again at each attempt. RFC 5321, 4.5.3.2.6, has ten minutes; but a relay that
/// hangs there must not keep the next one from being tried for that long.
const PATIENCE: u32 = 6;

/// A mail of at most so many bytes goes to a relay that permits it before that has said who will get it.
const UNASKED: usize = 64 * 1024;

/// The relay is ready for TLS (RFC 3207, 4).
const READY: u16 = 220;

/// An SMTP relay, and the session with it while there is one.
pub struct Smtp {
    addresses: Addresses,
    timeout: Duration,
    /// For EHLO and HELO.
    identity: String,
    protection: Protection,
    login: Option<Login>,
    session: Option<Greeted>,
    /// It offered CHUNKING and did not know BDAT: for as long as this process lives, it is asked before a mail comes.
    is_asked: bool,
}

enum Protection {
    None,
    StartTls(tls::Client),
    Tls(tls::Client),
}

/// A session in which mails can be sent.
struct Greeted {
    session: Session,
    extensions: Extensions,
    /// Whose it is, if the relay knows.
    account: Option<String>,
}

/// The commands before a mail of `size` bytes: MAIL, a RCPT for each recipient, and DATA unless the relay takes BDAT.
fn envelope_commands(extensions: &Extensions, from: &Address, to: &[&Recipient], size: usize) -> Vec<String> {
    let size = extensions.size.map(|_| size);
    let smtputf8 = to.iter().any(|recipient| recipient.is_international());
    let mail = commands::mail(from, size, smtputf8);
    let recipients = to.iter().map(|to| commands::rcpt(&to.address));
    let data = (!extensions.takes_mails_unasked()).then(|| commands::DATA.to_owned());
    [mail].into_iter().chain(recipients).chain(data).collect()
}

/// A mail as DATA sends it: dots doubled at the beginning of lines, the final dot (RFC 5321, 4.5.2).
fn content(mail: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(mail.len() + 64);
    for line in mail.trim_ascii_end().split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            content.push(b'.');
        }
        content.extend_from_slice(line);
    }
    content.extend_from_slice(b"\r\n.\r\n");
    content
}

/// A mail as BDAT sends it: its length, and then as it is (RFC 3030, 2).
fn chunk(mail: &[u8]) -> Vec<u8> {
    [format!("{BDAT} {} LAST\r\n", mail.len()).as_bytes(), mail].concat()
}

/// A step of the session that failed.
enum StepError {
    /// The relay's reply: for the mail or the recipient, not for the session.
    Refused { permanent: bool, error: DeliveryError },
    /// The session is over.
    Session(DeliveryError),
}

/// Looks whether all is there that the relay needs, and gives what the administrator should know.
///
/// # Errors
///
/// What is missing or wrong, for the administrator.
pub fn check(relay: &settings::Smtp, user: User) -> Result<Option<String>, String> {
    if let Some(login) = &relay.login {
        credentials::check_for_worker(&login.secret, user)?;
    }
    let (Security::Tls(tls) | Security::StartTls(tls)) = &relay.security else { return Ok(None) };
    tls::Client::new(tls, &relay.host)?;
    if let Some(path) = &tls.identity {
        files::check_closed_to_other_groups(path, user.gid).map_err(credentials::about("crt", path))?;
    }
    let warning = "'insecure-no-verify': whoever is in between can take the relay's place, and read and change the mails";
    Ok((tls.trust == Trust::Unverified).then(|| warning.to_owned()))
}

impl Smtp {
    /// A relay that is greeted as `own_name`, unless it has another one for us. `timeout` bounds each step. Reads the files
    /// that it needs.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(relay: &settings::Smtp, timeout: Duration, own_name: &str) -> Result<Self, String> {
        let own_name = relay.helo.as_deref().unwrap_or(own_name);
        let identity = commands::client_identity(own_name);
        let protection = match &relay.security {
            Security::Plaintext => Protection::None,
            Security::StartTls(tls) => Protection::StartTls(tls::Client::new(tls, &relay.host)?),
            Security::Tls(tls) => Protection::Tls(tls::Client::new(tls, &relay.host)?),
        };
        let login = relay.login.as_ref().map(Login::open).transpose()?;
        let addresses = Addresses::new(&relay.host, relay.port);
        Ok(Smtp { addresses, timeout, identity, protection, login, session: None, is_asked: false })
    }

    /// Looks the host up, where the resolver's files are: before the chroot.
    ///
    /// # Errors
    ///
    /// The resolver's words. The relay can be used nevertheless: it looks again when it has a mail.
    pub fn resolve(&mut self) -> Result<(), String> {
        self.addresses.look_up_here()
    }

    /// Who looks the host up from now on.
    pub fn resolve_with(&mut self, helper: SharedHelper) {
        self.addresses.look_up_with(helper);
    }

    /// A session in which mails can be sent.
    fn connect(&mut self, sender: &Address) -> Result<Greeted, DeliveryError> {
        let connected = self.addresses.connect(self.timeout);
        let mut session = connected.map_err(|why| self.error_at("connect to", &why))?;
        match self.introduce(&mut session, sender) {
            Ok((mut extensions, account)) => {
                extensions.chunking &= !self.is_asked;
                Ok(Greeted { session, extensions, account })
            }
            Err(error) => {
                session.leave();
                Err(error)
            }
        }
    }

    /// Everything that comes before the first mail: what the relay offers, and whose the session is.
    fn introduce(
        &self,
        session: &mut Session,
        sender: &Address,
    ) -> Result<(Extensions, Option<String>), DeliveryError> {
        if let Protection::Tls(client) = &self.protection {
            self.handshake(session, client)?;
        }
        self.judge("greeting", session.reply()).map_err(StepError::into_error)?;
        let mut extensions = self.greet(session)?;
        if let Protection::StartTls(client) = &self.protection {
            self.start_tls(session, &extensions, client)?;
            // What was said before it may be a lie (RFC 3207, 4.2).
            extensions = self.greet(session)?;
        }
        let account = match &self.login {
            None => None,
            Some(login) => {
                let account = login.account(sender.as_ref());
                login
                    .authenticate(session, &extensions.auth, account)
                    .map_err(|refusal| self.error_at(&refusal.step, &refusal.words))?;
                Some(account.to_owned())
            }
        };
        Ok((extensions, account))
    }

    fn greet(&self, session: &mut Session) -> Result<Extensions, DeliveryError> {
        match self.judge("EHLO", session.command(commands::ehlo(&self.identity))) {
            // A relay from before 1995 (RFC 5321, 4.1.1.1).
            Err(StepError::Refused { permanent: true, .. }) => {
                let helo = commands::helo(&self.identity);
                self.judge("HELO", session.command(helo)).map_err(StepError::into_error)?;
                Ok(Extensions::default())
            }
            greeted => greeted.map(|reply| Extensions::of(&reply)).map_err(StepError::into_error),
        }
    }

    fn start_tls(
        &self,
        session: &mut Session,
        offered: &Extensions,
        client: &tls::Client,
    ) -> Result<(), DeliveryError> {
        if !offered.starttls {
            // Or somebody on the way has taken it out: never without.
            return Err(self.error_at("STARTTLS", "the relay does not offer it"));
        }
        let reply =
            self.judge("STARTTLS", session.command(commands::STARTTLS)).map_err(StepError::into_error)?;
        if reply.code != READY {
            return Err(self.error_at("STARTTLS", &reply.to_string()));
        }
        self.handshake(session, client)
    }

    fn handshake(&self, session: &mut Session, client: &tls::Client) -> Result<(), DeliveryError> {
        session.secure(client).map_err(|why| self.error_at("TLS handshake", &why))
    }

    /// One mail over an open session. `Err`: the session is over.
    fn converse(&self, greeted: &mut Greeted, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        let mail = delivery.mail.get()?;
        let size = mail.bytes.len();
        if let Some(limit) = greeted.extensions.size.filter(|limit| (1..size).contains(limit)) {
            let error =
                self.error_at(MAIL, &format!("the mail has {size} bytes, and the relay takes {limit}"));
            return Ok(vec![Outcome::Unsupported(error); delivery.recipients.len()]);
        }
        let extensions = &greeted.extensions;
        let taken = extensions.taken(delivery.recipients);
        let session = &mut greeted.session;
        let mut outcomes = match taken.is_empty() {
            true => Vec::new(),
            false => self.send(session, extensions, delivery.from(), &mail.bytes, &taken)?,
        }
        .into_iter();
        let outcome = |recipient: &Recipient| match extensions.takes(recipient) {
            true => outcomes.next(),
            false => None,
        };
        let in_order =
            delivery.recipients.iter().map(outcome).zip(delivery.recipients).map(|(outcome, recipient)| {
                outcome.unwrap_or_else(|| {
                    let words = "the relay does not offer SMTPUTF8, which this address needs";
                    Outcome::Unsupported(self.error_at(&rcpt(recipient), words))
                })
            });
        Ok(in_order.collect())
    }

    /// Sends the mail to these recipients. Returns an outcome for each.
    fn send(
        &self,
        session: &mut Session,
        extensions: &Extensions,
        from: &Address,
        bytes: &[u8],
        to: &[&Recipient],
    ) -> Result<Vec<Outcome>, DeliveryError> {
        let commands = envelope_commands(extensions, from, to, bytes.len());
        let is_unasked = extensions.takes_mails_unasked();
        let content = if is_unasked { chunk(bytes) } else { content(bytes) };
        let mut ahead: Vec<&[u8]> = Vec::new();
        if extensions.pipelining {
            ahead.extend(commands.iter().map(String::as_bytes));
        }
        if is_unasked && bytes.len() <= UNASKED {
            ahead.push(&content);
        }
        session.send_ahead(&ahead);
        self.step_by_step(session, to, &commands, &content)
    }

    /// MAIL, a RCPT for each recipient, DATA, the mail: up to the step that makes the others needless.
    fn step_by_step(
        &self,
        session: &mut Session,
        to: &[&Recipient],
        commands: &[String],
        content: &[u8],
    ) -> Result<Vec<Outcome>, DeliveryError> {
        let mut commands = commands.iter();
        let mut next = |session: &mut Session| session.command(commands.next().map_or("", String::as_str));
        if let Err(failure) = self.judge(MAIL, next(session)) {
            return Ok(vec![failure.outcome()?; to.len()]);
        }
        let mut outcomes = Vec::with_capacity(to.len());
        for recipient in to {
            outcomes.push(match self.judge(&rcpt(recipient), next(session)) {
                Ok(_) => Outcome::Delivered,
                Err(failure) => failure.outcome()?,
            });
        }
        if !outcomes.contains(&Outcome::Delivered) {
            return Ok(outcomes);
        }
        let sent = match commands.next() {
            Some(data) => self
                .judge(DATA, session.command(data))
                .and_then(|_| self.judge("end of DATA", self.send_content(session, content))),
            None => self.judge(BDAT, self.send_content(session, content)),
        };
        if let Err(failure) = sent {
            let refused = failure.outcome()?;
            for outcome in outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Delivered) {
                *outcome = refused.clone();
            }
        }
        Ok(outcomes)
    }

    /// Sends the mail itself, unless it was sent ahead.
    fn send_content(&self, session: &mut Session, content: &[u8]) -> Result<Reply, String> {
        session.set_timeout(self.timeout * PATIENCE);
        let outcome = session.exchange(&[content]);
        session.set_timeout(self.timeout);
        outcome
    }

    /// Whose session it has to be for a mail of this sender.
    fn account<'a>(&'a self, sender: &'a Address) -> Option<&'a str> {
        self.login.as_ref().map(|login| login.account(sender.as_ref()))
    }

    fn error_at(&self, step: &str, words: &str) -> DeliveryError {
        let at = if step.ends_with(" to") { "" } else { " at" };
        DeliveryError::new(format!("{step}{at} {}", self.addresses), words)
    }

    fn judge(&self, step: &str, outcome: Result<Reply, String>) -> Result<Reply, StepError> {
        let reply = outcome.map_err(|words| StepError::Session(self.error_at(step, &words)))?;
        let error = || self.error_at(step, &reply.to_string());
        let goes_on = if step == DATA { reply.asks_for_more() } else { reply.is_done() };
        match reply.code {
            _ if goes_on => Ok(reply),
            // Those below 400 are of another step: what this relay says means something else than we think.
            CLOSING | 200..400 => Err(StepError::Session(error())),
            code if WANTS_LOGIN.contains(&code) => Err(StepError::Session(error())),
            code if step == BDAT && UNKNOWN.contains(&code) => Err(StepError::Session(error())),
            TOO_MUCH if step.starts_with(RCPT) => {
                Err(StepError::Refused { permanent: false, error: error() })
            }
            code => Err(StepError::Refused { permanent: code >= 500, error: error() }),
        }
    }
}

/// Does the relay say that it does not know BDAT?
fn is_bdat_unknown(error: &DeliveryError) -> bool {
    error.step.starts_with(BDAT) && UNKNOWN.iter().any(|code| error.words.starts_with(&code.to_string()))
}

/// The step in which a recipient is named.
fn rcpt(recipient: &Recipient) -> String {
    format!("{RCPT} <{}>", recipient.address)
}

impl StepError {
    /// The outcome for the recipients concerned; `Err`: the session is over.
    fn outcome(self) -> Result<Outcome, DeliveryError> {
        match self {
            StepError::Refused { permanent: true, error } => Ok(Outcome::Permanent(error)),
            StepError::Refused { error, .. } => Ok(Outcome::Transient(error)),
            StepError::Session(error) => Err(error),
        }
    }

    /// The error of a step after which no mail can be sent in this session.
    fn into_error(self) -> DeliveryError {
        match self {
            StepError::Refused { error, .. } | StepError::Session(error) => error,
        }
    }
}

impl Transport for Smtp {
    fn deliver(&mut self, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        if self.session.as_ref().is_some_and(|kept| kept.account.as_deref() != self.account(delivery.from()))
        {
            self.close_idle();
        }
        let kept = self.session.take();
        let was_kept = kept.is_some();
        let mut greeted = match kept {
            Some(greeted) => greeted,
            None => self.connect(delivery.from())?,
        };
        let mut outcome = self.converse(&mut greeted, delivery);
        let has_no_bdat = outcome.as_ref().is_err_and(is_bdat_unknown);
        self.is_asked |= has_no_bdat;
        // A relay may have closed a session that was kept open.
        let was_closed = was_kept && outcome.as_ref().is_err_and(|error| error.step.starts_with(MAIL));
        // In both cases nobody has got anything yet.
        if has_no_bdat || was_closed {
            // Some relays take one session at a time.
            drop(greeted);
            greeted = self.connect(delivery.from())?;
            outcome = self.converse(&mut greeted, delivery);
        }
        let is_clean = match &outcome {
            Ok(outcomes) if outcomes.contains(&Outcome::Delivered) => true,
            // Whether it can be used again changes nothing in what the relay has said of this mail.
            Ok(_) => {
                greeted.session.catch_up().is_ok()
                    && greeted.session.command(commands::RSET).is_ok_and(|reply| reply.is_done())
            }
            Err(_) => false,
        };
        if is_clean {
            self.session = Some(greeted);
        }
        outcome
    }

    fn open_session(&mut self, sender: &Address) -> Result<(), DeliveryError> {
        if self.session.is_none() {
            self.session = Some(self.connect(sender)?);
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        if let Some(Greeted { mut session, .. }) = self.session.take() {
            session.set_timeout(QUIT_TIMEOUT.min(self.timeout));
            // What was sent is sent, whatever the relay answers.
            let _ = session.command(commands::QUIT);
            session.end();
        }
    }
}

#[cfg(test)]
mod tests;
