// SPDX-License-Identifier: MIT OR Apache-2.0
//! How postfix is configured.

use super::{DAEMON, LOGIN, Manner, Mta, PASSWORD, ROOT, USER};

/// The master, which starts the others, as the first process of its namespace.
pub const PROGRAM: &[&str] = &["/usr/lib/postfix/sbin/master", "-i"];

/// How the log sums up a session without mail.
pub const GREETING_ONLY: &str = " ehlo=1 quit=1 commands=2\n";

const MAIN: &str = "\
compatibility_level = 3.6
maillog_file = /var/log/mail
myhostname = mx1.example.com
mydestination = example.com
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
alias_maps =
home_mailbox = Maildir/
# nothing leaves this machine
default_transport = error:not in a test
relay_domains =
notify_classes =
smtpd_tls_chain_files = /etc/tls.pem
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = example.com
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_policy_service inet:{policy}
";

const MASTER: &str = "\
{starttls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
local unix - n n - - local
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

pub fn furnish(mta: &Mta, manner: &Manner) {
    let root = &mta.root;
    root.directory("etc/postfix/sasl", ROOT, 0o755);
    let main = MAIN.replace("{policy}", &mta.policy.address().to_string()) + &manner.settings;
    root.file("etc/postfix/main.cf", &main, ROOT, 0o644);
    let master = MASTER
        .replace("{starttls}", &mta.starttls().to_string())
        .replace("{tls}", &mta.tls().to_string())
        .replace("{plain}", &mta.plain().to_string());
    root.file("etc/postfix/master.cf", &master, ROOT, 0o644);

    root.directory("var/lib/postfix", DAEMON, 0o755);
    root.directory("var/spool/postfix", ROOT, 0o755);
    root.directory("var/spool/postfix/pid", ROOT, 0o755);
    let queues =
        ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"];
    for queue in queues.into_iter().chain(["trace"]) {
        root.directory(&format!("var/spool/postfix/{queue}"), DAEMON, 0o700);
    }
    for (name, mode) in [("public", 0o710), ("maildrop", 0o730)] {
        root.directory(&format!("var/spool/postfix/{name}"), DAEMON, mode);
        // The group of those programs that put mails there.
        let path = root.path(&format!("var/spool/postfix/{name}"));
        std::os::unix::fs::chown(path, None, Some(USER)).expect("chown");
    }

    let sasl = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: ".to_owned() + manner.mechanisms;
    root.file("etc/postfix/sasl/smtpd.conf", &(sasl + "\n"), ROOT, 0o644);
    mta.run(&["/usr/sbin/saslpasswd2", "-p", "-c", "-u", "example.com", LOGIN], PASSWORD);
    root.give(&root.path("etc/sasldb2"), DAEMON, 0o600);
}
