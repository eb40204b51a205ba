// SPDX-License-Identifier: MIT OR Apache-2.0
//! SMTP (RFC 5321): one session at a time, an outcome per recipient.
//!
//! The relay's name is looked up before the chroot, where the resolver's files are, and later by the helper process, which is outside
//! of the chroot: see [`addresses`]. Certificates, keys and passwords are read before the chroot as well; a token is read for each
//! session.

pub mod addresses;
mod commands;
mod extensions;
mod login;
mod session;
mod socket;
mod tls;

use super::{Delivery, DeliveryError, Outcome, Transport};
use crate::credentials;
use crate::files;
use crate::settings::{self, Recipient, Trust};
use crate::sys::User;
use addresses::Addresses;
use extensions::Extensions;
use lettre::Address;
use login::Login;
use session::{Reply, Session};
use std::time::Duration;

/// Bound of the wait for the reply to QUIT, on which nothing depends.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The relay closes the session (RFC 5321, 3.8).
const CLOSING: u16 = 421;

/// The relay requires a login, or refuses this one (RFC 4954, 6): in any step, the mail is not the reason.
const LOGIN_REQUIRED: [u16; 4] = [530, 534, 535, 538];

/// Too many recipients, or a full mailbox: transient for RCPT (RFC 5321, 4.5.3.1.10).
const STORAGE_EXCEEDED: u16 = 552;

/// The step that begins a mail.
const MAIL: &str = "MAIL FROM";
/// The step of each recipient; the recipient follows.
const RCPT: &str = "RCPT TO";
/// The step that requests to send the mail's content.
const DATA: &str = "DATA";
/// The step that includes the mail's content (RFC 3030).
const BDAT: &str = "BDAT";

/// The relay does not know the command (RFC 5321, 4.2.4); after BDAT, it may take the mail for commands.
const UNKNOWN_COMMAND: [u16; 4] = [500, 501, 502, 504];

/// Factor of the time-out for the reply to the final dot, or to BDAT: a relay that scans the mail first has often accepted it when the
/// scan is over, and would get it again at each attempt. RFC 5321, 4.5.3.2.6, says ten minutes; but a relay that hangs must not delay
/// the next relay for that long.
const CONTENT_TIMEOUT_FACTOR: u32 = 6;

/// Largest mail, in bytes, that is sent together with its envelope: the relay may refuse all recipients.
const MAX_MAIL_AHEAD: usize = 64 * 1024;

/// The relay is ready for TLS (RFC 3207, 4).
const READY: u16 = 220;

/// An SMTP relay, and the session with it while there is one.
pub struct Smtp {
    /// The relay's addresses, to be looked up before the chroot.
    pub addresses: Addresses,
    timeout: Duration,
    /// The argument of EHLO and HELO.
    identity: String,
    tls: Option<tls::Client>,
    login: Option<Login>,
    session: Option<Greeted>,
    /// The relay offers CHUNKING and does not know BDAT: this process sends it DATA.
    lacks_bdat: bool,
}

/// A session in which mails can be sent.
struct Greeted {
    session: Session,
    extensions: Extensions,
    /// The account that is logged in.
    account: Option<String>,
}

/// Encodes a mail for DATA: doubles dots at the beginning of lines, adds the final dot (RFC 5321, 4.5.2).
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

/// Encodes a mail for BDAT: the command with the length, then the mail unchanged (RFC 3030, 2).
fn chunk(mail: &[u8]) -> Vec<u8> {
    [format!("{BDAT} {} LAST\r\n", mail.len()).as_bytes(), mail].concat()
}

/// Checks the files that the relay needs. Returns a warning for the administrator.
///
/// # Errors
///
/// A file is missing or wrong; the text is for the administrator.
pub fn check(relay: &settings::Smtp, user: User) -> Result<Option<String>, String> {
    if let Some(login) = &relay.login {
        credentials::check_for_worker(&login.secret, user)?;
    }
    let Some(tls) = &relay.tls else { return Ok(None) };
    tls::Client::new(tls, &relay.host)?;
    if let Some(path) = &tls.identity {
        files::check_closed_to_other_groups(path, user.gid).map_err(credentials::about("crt", path))?;
    }
    let warning = "'insecure-no-verify': whoever is in between can take the relay's place, and read and change the mails";
    Ok((tls.trust == Trust::Unverified).then(|| warning.to_owned()))
}

impl Smtp {
    /// Creates a relay and reads its files. `own_name`: this host's name for EHLO, unless the relay's settings have one; `timeout`: the
    /// bound of each step.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub fn new(relay: &settings::Smtp, timeout: Duration, own_name: &str) -> Result<Self, String> {
        let own_name = relay.helo.as_deref().unwrap_or(own_name);
        let identity = commands::client_identity(own_name);
        let tls = relay.tls.as_ref().map(|tls| tls::Client::new(tls, &relay.host)).transpose()?;
        let login = relay.login.as_ref().map(Login::open).transpose()?;
        let addresses = Addresses::new(&relay.host, relay.port);
        Ok(Smtp { addresses, timeout, identity, tls, login, session: None, lacks_bdat: false })
    }

    /// Opens a session in which mails can be sent.
    fn connect(&mut self, sender: &Address) -> Result<Greeted, DeliveryError> {
        let connected = self.addresses.connect(self.timeout);
        let mut session = connected.map_err(|why| self.error_at("connect to", &why))?;
        let account = self.account(sender);
        match self.set_up(&mut session, account) {
            Ok(extensions) => Ok(Greeted { session, extensions, account: account.map(str::to_owned) }),
            Err(error) => {
                session.quit();
                Err(error)
            }
        }
    }

    /// Runs the steps before the first mail: greeting, TLS, login. Returns the relay's extensions.
    fn set_up(&self, session: &mut Session, account: Option<&str>) -> Result<Extensions, DeliveryError> {
        if let Some(client) = self.tls.as_ref().filter(|client| !client.is_starttls) {
            self.handshake(session, client)?;
        }
        self.require("greeting", session.reply())?;
        let mut extensions = self.greet(session)?;
        if let Some(client) = self.tls.as_ref().filter(|client| client.is_starttls) {
            if !extensions.starttls {
                // An attacker on the path may have removed the offer, so there is no fallback to plain text.
                return Err(self.error_at("STARTTLS", "the relay does not offer it"));
            }
            let reply = self.require("STARTTLS", session.command(commands::STARTTLS))?;
            if reply.code != READY {
                return Err(self.error_at("STARTTLS", &reply.to_string()));
            }
            self.handshake(session, client)?;
            // Extensions that were offered before TLS may be forged (RFC 3207, 4.2).
            extensions = self.greet(session)?;
        }
        if let (Some(login), Some(account)) = (&self.login, account) {
            login
                .authenticate(session, &extensions.auth, account)
                .map_err(|error| self.error_at(&error.step, &error.text))?;
        }
        extensions.chunking &= !self.lacks_bdat;
        Ok(extensions)
    }

    fn greet(&self, session: &mut Session) -> Result<Extensions, DeliveryError> {
        let reply = session.command(&commands::ehlo(&self.identity));
        // The relay does not know EHLO (RFC 5321, 4.1.1.1).
        if reply.as_ref().is_ok_and(|reply| reply.code >= 500 && !LOGIN_REQUIRED.contains(&reply.code)) {
            self.require("HELO", session.command(&commands::helo(&self.identity)))?;
            return Ok(Extensions::default());
        }
        self.require("EHLO", reply).map(|reply| Extensions::of(&reply))
    }

    fn handshake(&self, session: &mut Session, client: &tls::Client) -> Result<(), DeliveryError> {
        session.secure(client).map_err(|why| self.error_at("TLS handshake", &why))
    }

    /// Sends a mail in an open session. `Err`: the session is broken.
    fn send_mail(&self, greeted: &mut Greeted, delivery: &Delivery) -> Result<Vec<Outcome>, DeliveryError> {
        let Greeted { session, extensions, .. } = greeted;
        let bytes = &delivery.begin()?.bytes;
        let size = bytes.len();
        let check = |recipient: &Recipient| match extensions.size {
            Some(limit) if (1..size).contains(&limit) => {
                Err(self.error_at(MAIL, &format!("the mail has {size} bytes, and the relay takes {limit}")))
            }
            _ if !extensions.supports(recipient) => {
                let text = "the relay does not offer SMTPUTF8, which this address needs";
                Err(self.error_at(&rcpt(recipient), text))
            }
            _ => Ok(()),
        };
        delivery.send_to_supported(check, |to| self.send(session, extensions, delivery.from(), bytes, to))
    }

    /// Sends the mail to these recipients: MAIL, RCPT for each, DATA unless BDAT is used, and the mail, up to the step whose failure
    /// makes the others needless. Returns an outcome for each recipient.
    fn send(
        &self,
        session: &mut Session,
        extensions: &Extensions,
        from: &Address,
        bytes: &[u8],
        to: &[&Recipient],
    ) -> Result<Vec<Outcome>, DeliveryError> {
        let is_bdat = extensions.allows_mail_ahead();
        let size = extensions.size.map(|_| bytes.len());
        let mail = commands::mail(from, size, to.iter().any(|recipient| recipient.is_international()));
        let recipients: Vec<String> = to.iter().map(|to| commands::rcpt(&to.address)).collect();
        let content = if is_bdat { chunk(bytes) } else { content(bytes) };
        if extensions.pipelining {
            let mut ahead = vec![mail.as_bytes()];
            ahead.extend(recipients.iter().map(String::as_bytes));
            match is_bdat {
                false => ahead.push(commands::DATA.as_bytes()),
                true if bytes.len() <= MAX_MAIL_AHEAD => ahead.push(&content),
                true => {}
            }
            session.send_ahead(&ahead);
        }
        let begun = self.check(MAIL, session.command(&mail))?;
        if begun != Outcome::Delivered {
            return Ok(vec![begun; to.len()]);
        }
        let mut outcomes = Vec::with_capacity(to.len());
        for (recipient, command) in to.iter().zip(&recipients) {
            outcomes.push(self.check(&rcpt(recipient), session.command(command))?);
        }
        if !outcomes.contains(&Outcome::Delivered) {
            return Ok(outcomes);
        }
        let mut sent = Outcome::Delivered;
        if !is_bdat {
            sent = self.check(DATA, session.command(commands::DATA))?;
        }
        if sent == Outcome::Delivered {
            session.set_timeout(self.timeout * CONTENT_TIMEOUT_FACTOR);
            let reply = session.exchange(&content);
            session.set_timeout(self.timeout);
            sent = self.check(if is_bdat { BDAT } else { "end of DATA" }, reply)?;
        }
        for outcome in outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Delivered) {
            *outcome = sent.clone();
        }
        Ok(outcomes)
    }

    /// Returns the account that a session needs for a mail of this sender.
    fn account<'a>(&'a self, sender: &'a Address) -> Option<&'a str> {
        self.login.as_ref().map(|login| login.account(sender.as_ref()))
    }

    fn error_at(&self, step: &str, text: &str) -> DeliveryError {
        let at = if step.ends_with(" to") { "" } else { " at" };
        DeliveryError::new(format!("{step}{at} {}", self.addresses), text)
    }

    /// Returns the reply to a step without which no mail can be sent.
    fn require(&self, step: &str, reply: Result<Reply, String>) -> Result<Reply, DeliveryError> {
        let reply = reply.map_err(|why| self.error_at(step, &why))?;
        if reply.is_completion() { Ok(reply) } else { Err(self.error_at(step, &reply.to_string())) }
    }

    /// Returns the outcome of a step for the recipients concerned, `Delivered` if the next step can follow. `Err`: the session is
    /// broken.
    fn check(&self, step: &str, reply: Result<Reply, String>) -> Result<Outcome, DeliveryError> {
        let reply = reply.map_err(|why| self.error_at(step, &why))?;
        let is_expected = if step == DATA { reply.is_intermediate() } else { reply.is_completion() };
        if is_expected {
            return Ok(Outcome::Delivered);
        }
        let error = self.error_at(step, &reply.to_string());
        match reply.code {
            // Codes below 400 belong to another step: relay and client do not agree on the session's state.
            CLOSING | 200..400 => Err(error),
            code if LOGIN_REQUIRED.contains(&code) => Err(error),
            code if step == BDAT && UNKNOWN_COMMAND.contains(&code) => Err(error),
            STORAGE_EXCEEDED if step.starts_with(RCPT) => Ok(Outcome::Transient(error)),
            500.. => Ok(Outcome::Permanent(error)),
            _ => Ok(Outcome::Transient(error)),
        }
    }
}

/// True if the relay does not know BDAT.
fn is_bdat_unknown(error: &DeliveryError) -> bool {
    error.step.starts_with(BDAT)
        && UNKNOWN_COMMAND.iter().any(|code| error.text.starts_with(&code.to_string()))
}

/// Returns the step of a recipient.
fn rcpt(recipient: &Recipient) -> String {
    format!("{RCPT} <{}>", recipient.address)
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
        let mut result = self.send_mail(&mut greeted, delivery);
        let lacks_bdat = result.as_ref().is_err_and(is_bdat_unknown);
        self.lacks_bdat |= lacks_bdat;
        // A relay may have closed a session that was kept open.
        let was_closed = was_kept && result.as_ref().is_err_and(|error| error.step.starts_with(MAIL));
        // In both cases no recipient has got the mail yet.
        if lacks_bdat || was_closed {
            // Some relays allow one session at a time.
            drop(greeted);
            greeted = self.connect(delivery.from())?;
            result = self.send_mail(&mut greeted, delivery);
        }
        let is_reusable = match &result {
            Ok(outcomes) if outcomes.contains(&Outcome::Delivered) => true,
            // An error of the session from here on does not change the outcomes.
            Ok(_) => {
                greeted.session.catch_up().is_ok()
                    && greeted.session.command(commands::RSET).is_ok_and(|reply| reply.is_completion())
            }
            Err(_) => false,
        };
        if is_reusable {
            self.session = Some(greeted);
        }
        result
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
            // All mails have their outcomes: the reply does not matter.
            let _ = session.command(commands::QUIT);
            session.close();
        }
    }
}

#[cfg(test)]
mod tests;
