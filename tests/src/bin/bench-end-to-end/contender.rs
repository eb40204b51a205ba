// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HAProxies that are compared.

use std::{env, net::SocketAddr, path::PathBuf};

use end_to_end::{
    Setup,
    setup::{RECIPIENT, SENDER},
};

/// A HAProxy, and who sends its mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The patched HAProxy without an `email_alert` line.
    Silent,
    /// The patched HAProxy with the library at work.
    EmailAlert,
    /// Another patched HAProxy, by its place in `HAPROXY_BEFORE`: to compare states of the code in one run.
    Before(usize),
    /// The unpatched HAProxy with its own mailers.
    Native,
    /// HAProxy 3.0, unpatched, with the script that takes the place of its own mailers.
    Lua,
}

impl Contender {
    /// In the order in which they take turns.
    pub const ALL: [Self; 3] = [Self::Silent, Self::EmailAlert, Self::Native];

    /// For the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "no mails",
            Self::EmailAlert => "email_alert",
            Self::Before(number) => BEFORE_NAMES[number],
            Self::Native => "native mailers",
            Self::Lua => "Lua script (3.0)",
        }
    }

    /// A configuration without backends that mails to this relay.
    pub fn setup(self, relay: SocketAddr) -> Setup {
        let setup = match self {
            Self::Silent => Setup::without_alerts(),
            Self::EmailAlert => Setup::with_alerts().relay("test", relay),
            Self::Before(number) => {
                Setup::with_alerts().relay("test", relay).program(&before_programs()[number])
            }
            Self::Native => with_mailer(relay).program(&unpatched()),
            Self::Lua => {
                let LuaScript { haproxy, script } = lua_script().expect("a HAProxy with a script");
                with_mailer(relay).program(&haproxy).global(&format!("lua-load {}", script.display()))
            }
        };
        // As a daemon: nobody reads its standard error.
        setup.global("quiet")
    }

    /// What each backend needs for its changes to be mailed.
    pub fn backend_lines(self) -> Vec<String> {
        match self {
            Self::Silent | Self::EmailAlert | Self::Before(_) => Vec::new(),
            Self::Native | Self::Lua => vec![
                "email-alert mailers relays".into(),
                format!("email-alert from {SENDER}"),
                format!("email-alert to {RECIPIENT}"),
                // As the log: with the default level there is no mail when a server comes back.
                "email-alert level notice".into(),
            ],
        }
    }
}

fn with_mailer(relay: SocketAddr) -> Setup {
    Setup::without_alerts().section("mailers relays", &[&format!("mailer test {relay}")])
}

/// A HAProxy that has no mailers but in a script.
pub struct LuaScript {
    haproxy: PathBuf,
    script: PathBuf,
}

/// `None`: there is none here.
pub fn lua_script() -> Option<LuaScript> {
    let path = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    Some(LuaScript { haproxy: path("HAPROXY_WITH_LUA")?, script: path("HAPROXY_MAILERS_LUA")? })
}

/// Names of other states of the code, the oldest first.
const BEFORE_NAMES: [&str; 6] = ["before", "state 2", "state 3", "state 4", "state 5", "state 6"];

/// The patched HAProxies that `HAPROXY_BEFORE` names, separated by colons, the oldest state of the code first.
fn before_programs() -> Vec<PathBuf> {
    let all = env::var_os("HAPROXY_BEFORE").unwrap_or_default();
    env::split_paths(&all).filter(|path| !path.as_os_str().is_empty()).take(BEFORE_NAMES.len()).collect()
}

/// The other states of the code that are compared.
pub fn before() -> Vec<Contender> {
    (0..before_programs().len()).map(Contender::Before).collect()
}

/// HAProxy as it comes, to compare with.
pub fn unpatched() -> PathBuf {
    env::var_os("HAPROXY_UNPATCHED").expect("HAPROXY_UNPATCHED names the HAProxy to compare with").into()
}
