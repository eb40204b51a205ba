// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a configuration, and opens everything that needs root, the file system or the resolver, before HAProxy changes its root
//! and its user.

use super::dispatcher::RelayState;
use crate::helper::client::{Helper, SharedHelper};
use crate::message::Composer;
use crate::settings::{Config, Relay, RelayKind};
use crate::spool::SpoolDirectory;
use crate::sys::User;
use crate::transport::{Transport, command, file, smtp};

/// A configuration with its open directories, relays and helper process.
pub struct Prepared {
    pub(super) config: Config,
    pub(super) relays: Vec<RelayState>,
    pub(super) composer: Composer,
    pub(super) spool: Option<SpoolDirectory>,
    /// Warnings for the administrator: relays that cannot be resolved now, and a helper process that cannot be started.
    pub warnings: Vec<String>,
}

/// Checks that the configuration can be used by this user. Opens files for reading only and starts nothing: `haproxy -c` calls it.
/// Returns warnings for the administrator.
///
/// # Errors
///
/// The first file, directory or credential that cannot be used, as a text for the administrator.
pub fn check(config: &Config, user: User) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    open_spool(config, user)?;
    for relay in &config.relays {
        let checked = match &relay.kind {
            RelayKind::File { directory } => file::File::open(directory, user.uid, user.gid).map(|_| None),
            RelayKind::Smtp(settings) => smtp::check(settings, user),
            RelayKind::Command { .. } => Ok(None),
        };
        let warning = checked.map_err(|why| format!("relay '{}': {why}", relay.name))?;
        warnings.extend(warning.map(|warning| format!("relay '{}': {warning}", relay.name)));
    }
    Ok(warnings)
}

impl Prepared {
    /// Opens directories, resolves names, starts the helper process. `haproxy`: HAProxy's version.
    ///
    /// # Errors
    ///
    /// The first part that cannot be opened, as a text for the administrator.
    pub fn open(config: Config, user: User, haproxy: Option<String>) -> Result<Self, String> {
        let mut warnings = Vec::new();
        let mut helper = None;
        let mut relays = Vec::new();
        for relay in &config.relays {
            let transport = open(relay, &config.host, user, &mut helper, &mut warnings)
                .map_err(|why| format!("relay '{}': {why}", relay.name))?;
            relays.push(RelayState::new(&relay.name, transport));
        }
        let composer = Composer::new(&config, haproxy);
        let spool = open_spool(&config, user)?;
        Ok(Prepared { config, relays, composer, spool, warnings })
    }
}

fn open_spool(config: &Config, user: User) -> Result<Option<SpoolDirectory>, String> {
    let Some(spool) = &config.spool else { return Ok(None) };
    let opened = SpoolDirectory::open(&spool.directory, user.uid, user.gid, spool.max_size);
    opened.map(Some).map_err(|why| format!("spool: {why}"))
}

fn open(
    relay: &Relay,
    host: &str,
    user: User,
    helper: &mut Option<SharedHelper>,
    warnings: &mut Vec<String>,
) -> Result<Box<dyn Transport>, String> {
    Ok(match &relay.kind {
        RelayKind::Smtp(settings) => {
            let mut smtp = smtp::Smtp::new(settings, relay.timeout, host)?;
            if let Err(why) = smtp.addresses.look_up_here() {
                warnings
                    .push(format!("relay '{}': {why}; its mails wait until it can be resolved", relay.name));
            }
            if settings.has_name() {
                match ensure_helper(helper, user) {
                    Ok(helper) => smtp.addresses.helper = Some(helper),
                    Err(why) => warnings
                        .push(format!("relay '{}': {why}; its name is not resolved again", relay.name)),
                }
            }
            Box::new(smtp)
        }
        RelayKind::Command { program, path } => {
            Box::new(command::Command::new(*program, path, relay.timeout, ensure_helper(helper, user)?))
        }
        RelayKind::File { directory } => Box::new(file::File::open(directory, user.uid, user.gid)?),
    })
}

/// Returns the helper process; starts it for the first relay that needs it.
fn ensure_helper(helper: &mut Option<SharedHelper>, user: User) -> Result<SharedHelper, String> {
    match helper {
        Some(helper) => Ok(helper.clone()),
        None => Ok(helper.insert(Helper::start(user)?).clone()),
    }
}
