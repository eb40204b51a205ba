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
    /// Another patched HAProxy, to compare two states of the code in one run.
    Before,
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
            Self::Before => "email_alert before",
            Self::Native => "native mailers",
            Self::Lua => "Lua script (3.0)",
        }
    }

    /// A configuration without backends that mails to this relay.
    pub fn setup(self, relay: SocketAddr) -> Setup {
        let setup = match self {
            Self::Silent => Setup::without_alerts(),
            Self::EmailAlert => Setup::with_alerts().relay("test", relay),
            Self::Before => {
                let program = before().expect("HAPROXY_BEFORE names a HAProxy");
                Setup::with_alerts().relay("test", relay).program(&program)
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
            Self::Silent | Self::EmailAlert | Self::Before => Vec::new(),
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

/// Another patched HAProxy for [`Contender::Before`], if the environment names one.
pub fn before() -> Option<PathBuf> {
    env::var_os("HAPROXY_BEFORE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// HAProxy as it comes, to compare with.
pub fn unpatched() -> PathBuf {
    env::var_os("HAPROXY_UNPATCHED").expect("HAPROXY_UNPATCHED names the HAProxy to compare with").into()
}
