// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of directives, in the order of HAProxy's documentation: documentation, keyword, usage and parser of each.
//!
//! The documentation has the style of HAProxy's `doc/configuration.txt`, without the indentation by 2 columns, and at most 78
//! columns. `make documentation` writes it to all places where users read it. The words of a usage that are not in `<>` are the
//! directive's own keywords, which errors suggest.

use super::line::Line;
use super::{relay, route, single};
use crate::settings::Settings;
use std::ffi::CStr;

/// A directive of HAProxy's `global` section.
pub struct Directive {
    /// First word of the line.
    pub keyword: &'static CStr,
    /// Syntax of the words after the keyword, for each of its forms.
    pub usage: &'static [&'static str],
    pub(super) parse: fn(&mut Settings, Line) -> Result<(), String>,
}

macro_rules! directives {
    ($settings:ident, $line:ident: $($(#[doc = $text:literal])* $keyword:literal $($usage:literal)|+ => $parse:expr;)*) => {
        /// All directives.
        pub static DIRECTIVES: &[Directive] = &[$(
            Directive { keyword: $keyword, usage: &[$($usage),+], parse: |$settings, $line| $parse }
        ),*];

        /// Documentation of each of [`DIRECTIVES`]; the lines are indented by one column. A constant: programs that do not
        /// refer to it do not contain it.
        pub const DOCUMENTATION: &[&str] = &[$(concat!($($text, "\n"),*)),*];
    };
}

directives! { settings, line:
    /// Sends a mail to each recipient <to> when the state of a server or of a backend
    /// changes. The mails are prepared and sent by the haproxy-email-alert library in
    /// threads of its own, so that neither the traffic nor the health checks ever
    /// wait for a mail server.
    ///
    /// Arguments :
    ///   <to>      is the mail address of a recipient. Several may be given,
    ///             delimited by commas without spaces. An address without "@" is a
    ///             local name, for example "root", to which "@" and the machine's
    ///             name are appended (see "email_alert.host-name"). A domain may be
    ///             internationalised. Characters outside ASCII before the "@" need a
    ///             relay that offers SMTPUTF8; others refuse that recipient alone.
    ///
    ///   <from>    is the sender's address. It defaults to "haproxy@" followed by the
    ///             machine's name.
    ///
    ///   <kind>    is what to send a mail for, among :
    ///               - down          the server no longer gets any traffic
    ///               - up            the server gets traffic again
    ///               - maint         the server enters maintenance
    ///               - ready         the server leaves maintenance or drain
    ///               - drain         the server only gets persistent traffic
    ///               - nolb          the server is excluded from load balancing by
    ///                               its health check (see "http-check
    ///                               disable-on-404")
    ///               - check         a single check has a result that the proxy's
    ///                               "option log-health-checks" logs
    ///               - backend-down  the last usable server of a backend is gone
    ///               - backend-up    a backend without usable server has one again
    ///             Without "events", mails are sent for down, up, drain, backend-down
    ///             and backend-up.
    ///
    ///   <proxy>   is the name of a backend, which stands for the backend and its
    ///             servers. <proxy>/<server> is a server. A "*" stands for any
    ///             characters. Without "for", mails are sent for all the proxies.
    ///
    ///   <level>   is the severity in the logs from which on a change is sent, among
    ///             emerg, alert, crit, err, warning, notice, info and debug. Without
    ///             "level", the severity does not matter.
    ///
    /// This directive may appear several times. A change is sent to the recipients of
    /// each line that asks for it, and no recipient gets it twice. The first change
    /// is sent at once, and what follows soon is sent together (see
    /// "email_alert.digest"). An incident, from its first change for the worse until
    /// its end, is one thread in mail readers. HAProxy's own "mailers" sections and
    /// "email-alert" proxy keywords have nothing to do with it, unless there is an
    /// "email_alert.native on".
    ///
    /// The first line of the mail's text is the line that HAProxy logs for the
    /// change. With "option log-health-checks", HAProxy logs the reason of the change
    /// in a line of its own; the mail has it in any case.
    ///
    /// A mail that could not be sent is reported once in the logs, with the answer of
    /// the mail server. On a soft stop, HAProxy delivers the waiting mails before it
    /// leaves, for at most 5 seconds and no longer than "hard-stop-after". On
    /// SIGTERM, with an "email_alert.spool" HAProxy writes them to files for the next
    /// process, and waits for at most one second for the end of a mail that is being
    /// sent. Without one it delivers mails for at most one second, and the others are
    /// lost. Without any "email_alert" directive, nothing is started.
    ///
    /// Please note that this option and the other "email_alert" options are only
    /// available when HAProxy has been compiled with USE_EMAIL_ALERT.
    ///
    /// Example :
    ///   global
    ///     email_alert ops@example.com,root lb1@example.com
    ///     email_alert oncall@example.com events backend-down,backend-up
    ///
    /// See also : "email_alert.digest", "email_alert.relay", "email_alert.host-name"
    c"email_alert" "<to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]" =>
        route::route(line).map(|route| settings.routes.push(route));

    /// Sets for how long, after a mail of "email_alert", further changes wait for
    /// each other so that they become one mail, 5 seconds by default (by default in
    /// milliseconds). They are grouped by what they have in common, and each server
    /// is named. A backend without usable server is reported at once, or one second
    /// after the report on another one. With "off", each change is a mail.
    c"email_alert.digest" "<time>|off" =>
        line.set(&mut settings.digest, line.unless_off(|line| line.time("5s", ["100ms", "1h"]))?);

    /// Sets how many changes of a server or backend within <time> are too many, 6 in
    /// 10 minutes by default (by default in milliseconds). A last mail then says so,
    /// and the next one is sent when there was no change for <time>, with the number
    /// of changes. With "off", all the changes are sent.
    ///
    /// Example :
    ///   global
    ///     email_alert.flap 10/30m
    c"email_alert.flap" "<changes>/<time>|off" =>
        line.set(&mut settings.flap, line.unless_off(single::flap)?);

    /// Sets the name of the machine in the mails, in the sender's default address and
    /// when HAProxy introduces itself to a mail server. It defaults to the machine's
    /// own name.
    c"email_alert.host-name" "<name>" =>
        line.set_shown(&mut settings.host_name, single::host_name(line)?, String::clone);

    /// Sets whether "email_alert" serves the proxies that have "email-alert mailers",
    /// "email-alert from" and "email-alert to". With "on", each of them is as one
    /// more "email_alert" line with its recipient, its sender, its "email-alert
    /// level" ("alert" by default, which the end of an incident is not) and "for"
    /// with its name. Without any "email_alert.relay" directive, each "mailer" of the
    /// "mailers" sections that they name is a relay, in the order in which they are
    /// written, with their "timeout mail". They are used without encryption, as they
    /// always were, which is reported as a warning unless it is a loopback address.
    /// HAProxy's own mailers, in the versions that have them, and Lua scripts send
    /// nothing for these proxies then.
    ///
    /// With "off", HAProxy's own mailers send their mails beside those of
    /// "email_alert". Without this directive it is the same, and reported as a
    /// warning.
    ///
    /// See also : "email_alert", "email-alert mailers", "mailers"
    c"email_alert.native" "on|off" => line.set(&mut settings.native, single::native(line)?);

    /// Sets how many state changes may wait at most for the thread that collects them
    /// for the mails of "email_alert", between 64 and 1048576. Those that wait for a
    /// digest count as well. Changes that find the queue full are not mailed; they
    /// are counted, reported in the logs and mentioned in the next mail. The default
    /// is 4096, and 16384 with "email_alert.spool". Each takes 2 kB of memory once it
    /// was used; with a spool, all of the queue is allocated in /dev/shm from the
    /// start.
    c"email_alert.queue" "<events>" => line.set(&mut settings.queue, single::queue(line)?);

    /// Declares a relay for the mails of "email_alert": an SMTP server, a command or
    /// a directory. When the directive appears several times, the relays are tried
    /// in the order in which they are written until one of them accepts the mail.
    /// Without this directive, the mails are sent to port 25 of the local machine,
    /// and, should it not accept them, to the local "sendmail" command.
    ///
    /// When the next result of a server's check may change its status, a session with
    /// the first relay that works is opened, so that it is ready when the mail comes.
    /// It is closed if none does, and then it takes at least one minute, and up to
    /// one hour if that happens again, before the next one is opened in advance.
    ///
    /// Arguments :
    ///   <name>    is a unique name for this relay, which appears in the logs. It is
    ///             made of letters, digits, '-', '_', '.' and ':'.
    ///
    ///   <host>    is the name or the address of a server that speaks SMTP. An IPv6
    ///             address followed by a port is enclosed in square brackets. Names
    ///             are resolved when HAProxy starts, and again, even from within a
    ///             "chroot", when none of the known addresses answers and when a
    ///             session is needed more than 5 minutes after the last resolution.
    ///             An unsuccessful resolution leaves the known addresses as they are.
    ///
    ///   <port>    is the TCP port. It defaults to 587 with "starttls", to 465 with
    ///             "tls", and to 25 otherwise.
    ///
    ///   <path>    is the absolute path of the command. By default it is looked for
    ///             in the usual places. It is executed in the global "user" and
    ///             "group", outside of the "chroot". The mail is passed on its
    ///             standard input; no shell is involved. "insecure-fork-wanted" is
    ///             not needed.
    ///
    ///   <directory>
    ///             is an existing directory, in which each mail is stored in a file
    ///             whose name ends with ".eml". It has to be writable by the global
    ///             "user".
    ///
    ///   tls       makes the sessions encrypted from their first byte on. The relay's
    ///             certificate is verified.
    ///
    ///   starttls  makes the sessions encrypted with the STARTTLS command, before
    ///             anything else is sent. A relay that does not offer it, or refuses
    ///             it, or whose certificate is not valid, is out of order ; nothing
    ///             is ever sent unencrypted to it instead.
    ///
    ///   ca-file <pem>
    ///             is a PEM file with the certificates of the authorities whose
    ///             certificates are accepted. Without it, those of the machine are
    ///             used. It is read when HAProxy starts, as are the other files but
    ///             the token's, so that they may be outside of the "chroot".
    ///
    ///   crt <pem>
    ///             is a PEM file with the certificate that the relay is shown if it
    ///             asks for one, the intermediate ones, and the private key.
    ///
    ///   sni <name>
    ///             is the name that the relay is asked for and that its certificate
    ///             must have, if it is not <host>.
    ///
    ///   insecure-no-verify
    ///             accepts any certificate, which is reported as a warning. Anyone on
    ///             the way may take the relay's place.
    ///
    ///   user <user> password-file <file>
    ///             authenticates <user> with the password in the only line of <file>.
    ///             PLAIN is used if the relay offers it, and LOGIN otherwise.
    ///
    ///   oauth-token-file <file>
    ///             authenticates with XOAUTH2 and the token in the only line of
    ///             <file>. The account is that of "user", or else the sender's
    ///             address. The file is read anew for each session, since some other
    ///             program is expected to replace it when the token is about to
    ///             expire : it must be readable for the global "user". A symbolic
    ///             link has to be a relative one, without "..".
    ///
    ///             A file with a password, a token or a private key is rejected when
    ///             everyone can read it, or a group other than the global "group".
    ///             Without "tls" and "starttls", authentication is only accepted for
    ///             a loopback address, or with "insecure-plaintext".
    ///
    ///   helo <name>
    ///             is the name that HAProxy introduces itself with, instead of the
    ///             machine's one.
    ///
    ///   insecure-plaintext
    ///             permits mails to be sent unencrypted to an address other than a
    ///             loopback address. Anyone on the way may read and change them.
    ///
    ///   timeout <time>
    ///             is the maximum time (by default in milliseconds) to wait for the
    ///             server in each step of a session, 10 seconds by default. The reply
    ///             that accepts a mail is waited for six times as long. For a
    ///             command, it is the time after which it is killed, 30 seconds by
    ///             default.
    ///
    /// Example :
    ///   global
    ///     email_alert ops@example.com
    ///     email_alert.relay mx1 smtp.example.com starttls
    ///     email_alert.relay mx2 [::1]:25 timeout 5s
    ///     email_alert.relay fallback sendmail
    ///
    /// See also : "email_alert", "email_alert.retry"
    c"email_alert.relay"
        "<name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] \
         [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] \
         [timeout <time>] [helo <name>]"
        | "<name> sendmail|mailx [<path>] [timeout <time>]"
        | "<name> file <directory>" =>
        relay::add(settings, line);

    /// Sets how often a mail of "email_alert" says that a server or a backend is
    /// still down, 4 hours by default (by default in milliseconds). With "off", none
    /// does.
    c"email_alert.remind" "<time>|off" =>
        line.set(&mut settings.remind, line.unless_off(|line| line.time("4h", ["1m", "30d"]))?);

    /// Sets how long a mail of "email_alert" that no relay accepts is retried, 3 days
    /// by default (by default in milliseconds, between 1 second and 30 days). Then
    /// it is given up, which is reported in the logs.
    c"email_alert.retry" "<time>" =>
        line.set(&mut settings.retry, line.time("3d", ["1s", "30d"])?);

    /// Keeps the mails of "email_alert" that are not delivered yet in an existing
    /// <directory>, so that they survive the end of the process, however it ends: the
    /// next process that uses the directory delivers them. Several processes may use
    /// it, such as the old and the new one of a reload. Without this directive, mails
    /// wait in memory only.
    ///
    /// Arguments :
    ///   <directory>
    ///             has to be writable by the global "user", and by nobody else that
    ///             must not be able to have mails sent. Relative to no "chroot".
    ///
    ///   max-size <size>
    ///             is the maximum total size of its mails, 256m by default. The
    ///             suffixes "k", "m" and "g" are permitted. Beyond it, the least
    ///             important mails wait in memory only.
    ///
    /// Open incidents are kept there as well: after a reload or a restart, they are
    /// not reported again, and their ends are reported even if they happened
    /// meanwhile. A directory is for the processes of one service.
    ///
    /// Events that were not made into mails yet are in /dev/shm, which takes 32
    /// megabytes. Mails reach the disk within a second.
    ///
    /// See also : "email_alert"
    c"email_alert.spool" "<directory> [max-size <size>]" =>
        line.set_shown(&mut settings.spool, single::spool(line)?, |spool| spool.directory.display().to_string());

    /// Sets the URL of the statistics page that the mails of "email_alert" have a
    /// link to, with "http://" or "https://" and a host. With "off", they have none.
    ///
    /// By default, the page is the first one that is found in the configuration :
    /// that of an enabled frontend or listen section in HTTP mode with statistics
    /// (see "stats uri"), and with a "bind" line that other machines may reach. Those
    /// which are on a loopback or link-local address or a UNIX socket, or which have
    /// "accept-proxy" or "accept-netscaler-cip", do not count. The host is the
    /// address of the "bind" line or, if it is for any address, the name of the
    /// machine (see "email_alert.host-name"). Without such a page, the mails have no
    /// link.
    ///
    /// Example :
    ///   global
    ///     email_alert ops@example.com
    ///     email_alert.stats-uri https://stats.example.com/lb1
    ///
    /// See also : "email_alert", "stats uri"
    c"email_alert.stats-uri" "<url>|off" =>
        line.set(&mut settings.statistics, line.unless_off(single::statistics)?);

    /// Sets the subject of the mails of "email_alert". <format> is made of text and
    /// of variables, each written as "%[<variable>]". A percent sign is written as
    /// "%%". A format with spaces has to be enclosed in quotes. It defaults to
    /// "[%[state]] %[topic] on %[host]".
    ///
    /// In a mail that tells of several changes, the variables are about the worst of
    /// them, unless stated otherwise below.
    ///
    /// Variables :
    ///   active    is the number of active servers that the backend can use.
    ///
    ///   backup    is the number of backup servers that the backend can use.
    ///
    ///   changes   is the number of changes that the mail tells of, such as
    ///             "12 changes".
    ///
    ///   event     is what happened, in the words of the "events" of "email_alert".
    ///
    ///   host      is the name of the machine (see "email_alert.host-name").
    ///
    ///   level     is the severity of the change in the logs, such as "alert".
    ///
    ///   name      is the name of the backend, a slash, and the name of the server,
    ///             or the name of the backend alone for a backend as a whole.
    ///
    ///   proxy     is the name of the backend.
    ///
    ///   reason    is the reason in short, such as "Layer4 timeout". It may be empty.
    ///
    ///   server    is the name of the server. It is empty for a backend as a whole.
    ///
    ///   shorthost is the name of the machine up to its first dot.
    ///
    ///   state     is DOWN, UP, MAINT, READY, DRAIN, NOLB, CHECK or GONE, after
    ///             "BACKEND" for a backend as a whole, after "STILL" in a reminder,
    ///             after "FLAPPING," when a server changes too often, and after
    ///             "STABLE," at the end of that.
    ///
    ///   topic     is what the mail and the answers to it are about : the name of a
    ///             server, or of a backend and the number of its servers, or the
    ///             number of backends and of servers. It is the same in all the mails
    ///             of an incident.
    ///
    /// Most mail readers show the mails of an incident as one thread whatever their
    /// subjects are. Some, such as Gmail, only do so if the subjects are equal apart
    /// from what is between brackets at their beginning.
    ///
    /// Example :
    ///   global
    ///     email_alert ops@example.com
    ///     email_alert.subject "[%[state]] %[topic] on %[shorthost]"
    ///
    /// See also : "email_alert"
    c"email_alert.subject" "<format>" =>
        line.set(&mut settings.subject, single::subject(line)?);
}
