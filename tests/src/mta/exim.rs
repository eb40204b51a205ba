// SPDX-License-Identifier: MIT OR Apache-2.0
//! How exim is configured.

use super::{DAEMON, LOGIN, Manner, Mta, PASSWORD, ROOT};

/// The daemon, as the first process of its namespace.
pub const PROGRAM: &[&str] = &["/usr/sbin/exim4", "-bdf", "-q1h"];

/// How the log sums up a session without mail.
pub const GREETING_ONLY: &str = " C=EHLO,QUIT\n";

const CONFIGURATION: &str = r#"
primary_hostname = mx1.example.com
log_file_path = /var/log/%slog
log_selector = +smtp_no_mail
# it would be in the network's namespace, which is the machine's
notifier_socket =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {starttls} : {tls} : {plain}
tls_on_connect_ports = {tls}
tls_advertise_hosts = ${if eq{$received_port}{{plain}}{}{*}}
tls_certificate = /etc/tls.pem
auth_advertise_hosts = ${if def:tls_in_cipher{*}{}}
keep_environment =
host_lookup =
acl_smtp_rcpt = recipient
{settings}

begin acl
recipient:
  deny message = authentication required
       !authenticated = *
  require verify = recipient
  defer message = greylisted, come back later
        condition = ${if match{${readsocket{inet:{policy}}{\n}}}{action=450}}
  accept

begin routers
local:
  driver = accept
  domains = example.com
  check_local_user
  cannot_route_message = no such user here
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = $home/Maildir
  maildir_format
  return_path_add
  delivery_date_add
  envelope_to_add

begin authenticators
"#;

/// Name, prompts, and where user and password are in the answers.
const MECHANISMS: [(&str, &str, [&str; 2]); 2] =
    [("PLAIN", ":", ["$auth2", "$auth3"]), ("LOGIN", "Username:: : Password::", ["$auth1", "$auth2"])];

pub fn furnish(mta: &Mta, manner: &Manner) {
    let root = &mta.root;
    let mut configuration = CONFIGURATION
        .replace("{starttls}", &mta.starttls().port().to_string())
        .replace("{tls}", &mta.tls().port().to_string())
        .replace("{plain}", &mta.plain().port().to_string())
        .replace("{policy}", &mta.policy.address().to_string())
        .replace("{settings}", &manner.settings);
    for (name, prompts, [user, password]) in MECHANISMS {
        if manner.mechanisms.split(' ').any(|own| own == name) {
            configuration += &format!(
                "{name}:\n  driver = plaintext\n  public_name = {name}\n  server_prompts = {prompts}\n  \
                 server_condition = ${{if eq{{{password}}}{{${{lookup{{{user}}}lsearch{{/etc/passwords}}{{$value}}fail}}}}}}\n  \
                 server_set_id = {user}\n"
            );
        }
    }
    root.directory("etc/exim4", ROOT, 0o755);
    root.file("etc/exim4/exim4.conf", &configuration, ROOT, 0o644);
    root.file("etc/passwords", &format!("{LOGIN}: {PASSWORD}\n"), DAEMON, 0o600);
    root.directory("var/log", DAEMON, 0o755);
    root.directory("var/spool/exim4", DAEMON, 0o750);
}
