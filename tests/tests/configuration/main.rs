// SPDX-License-Identifier: MIT OR Apache-2.0
//! `haproxy -c` says of each wrong line where it is, which word is wrong and what was expected, and does nothing else.

use end_to_end::{
    Authority, Backend, FakeProgram, Files, Judgement, Relay, Setup, Spool, setup::UNPRIVILEGED,
};

/// A wrong directive in `global`, and the whole message about it. Of several lines, the last one is wrong.
const WRONG: &[(&str, &str)] = &[
    (
        "email_alert",
        "'email_alert' expects at least one recipient: email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert \"\"",
        "'email_alert' expects at least one recipient: email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com,",
        "'email_alert' recipient '' is empty; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ,ops@example.com",
        "'email_alert' recipient '' is empty; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@",
        "'email_alert' recipient 'ops@' has nothing behind the '@'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert @example.com",
        "'email_alert' recipient '@example.com' has nothing before the '@'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@example..com",
        "'email_alert' recipient 'ops@example..com' is not a mail address; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert \"ops @example.com\"",
        "'email_alert' recipient 'ops @example.com' has the character ' '; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert <ops@example.com>",
        "'email_alert' recipient '<ops@example.com>' has the character '<'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert -oQ/tmp@example.com",
        "'email_alert' recipient '-oQ/tmp@example.com' begins with a character that mail programs take for something else; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert |/bin/sh",
        "'email_alert' recipient '|/bin/sh' begins with a character that mail programs take for something else; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops;rm",
        "'email_alert' recipient 'ops;rm' has the character ';'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@example.com from@",
        "'email_alert' sender 'from@' has nothing behind the '@'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@example.com a@example.com b@example.com",
        "'email_alert' unknown word 'b@example.com'; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com a@example.com,b@example.com",
        "'email_alert' sender 'a@example.com,b@example.com' has the character ','; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@example.com events",
        "'email_alert' 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events \"\"",
        "'email_alert' 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events down,upp",
        "'email_alert' unknown kind 'upp', did you mean 'up'?; 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events down,",
        "'email_alert' unknown kind ''; 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events DOWN",
        "'email_alert' unknown kind 'DOWN'; 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events backend_down",
        "'email_alert' unknown kind 'backend_down', did you mean 'backend-down'?; 'events' expects a list of kinds: down,up,maint,ready,drain,nolb,check,backend-down,backend-up",
    ),
    (
        "email_alert ops@example.com events down events up",
        "'email_alert' 'events' is given twice; expected one list",
    ),
    (
        "email_alert ops@example.com event down",
        "'email_alert' unknown word 'event', did you mean 'events'?; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com evnets down",
        "'email_alert' unknown word 'evnets', did you mean 'events'?; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com lb@example.com evens down",
        "'email_alert' unknown word 'evens', did you mean 'events'?; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    ("email_alert ops@example.com for", "'email_alert' 'for' expects a list such as web,api/server1"),
    (
        "email_alert ops@example.com for web,",
        "'email_alert' '' is not <proxy> or <proxy>/<server>, with letters, digits, '-', '_', '.', ':' and '*'; 'for' expects a list such as web,api/server1",
    ),
    (
        "email_alert ops@example.com fro web",
        "'email_alert' unknown word 'fro', did you mean 'for'?; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com level notcie",
        "'email_alert' unknown level 'notcie', did you mean 'notice'?; 'level' expects one of emerg alert crit err warning notice info debug",
    ),
    (
        "email_alert ops@example.com lb@example.com nonsense",
        "'email_alert' unknown word 'nonsense'; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alert ops@example.com events down nonsense",
        "'email_alert' unknown word 'nonsense'; expected email_alert <to>[,<to>...] [<from>] [for <proxy>[/<server>],...] [events <kind>,...] [level <level>]",
    ),
    (
        "email_alerts ops@example.com",
        "unknown keyword 'email_alerts' in 'global' section; did you mean 'email_alert' maybe ?",
    ),
    (
        "email_alert.rely mx1 localhost",
        "unknown keyword 'email_alert.rely' in 'global' section; did you mean 'email_alert.relay' maybe ?",
    ),
    (
        "email_alert.hostname lb1",
        "unknown keyword 'email_alert.hostname' in 'global' section; did you mean 'email_alert.host-name' maybe ?",
    ),
    ("email_alert.digest", "'email_alert.digest' expects a time: email_alert.digest <time>|off"),
    (
        "email_alert.digest on",
        "'email_alert.digest' 'on' does not begin with a number; expected a time, such as 5s",
    ),
    ("email_alert.digest 2h", "'email_alert.digest' '2h' is out of range; expected 100ms to 1h"),
    (
        "email_alert.digest 5s 6s",
        "'email_alert.digest' unknown word '6s'; expected email_alert.digest <time>|off",
    ),
    (
        "email_alert.flap 6",
        "'email_alert.flap' '6' has no '/'; expected email_alert.flap <changes>/<time>|off, such as 6/10m",
    ),
    ("email_alert.flap 1/10m", "'email_alert.flap' '1' changes is out of range; expected 3 to 100"),
    ("email_alert.remind 5s", "'email_alert.remind' '5s' is out of range; expected 1m to 30d"),
    ("email_alert.queue", "'email_alert.queue' expects a number of events: email_alert.queue <events>"),
    ("email_alert.queue 4k", "'email_alert.queue' '4k' is not a number of events; expected 64 to 1048576"),
    ("email_alert.queue 63", "'email_alert.queue' '63' is out of range; expected 64 to 1048576"),
    ("email_alert.queue 64 65", "'email_alert.queue' unknown word '65'; expected email_alert.queue <events>"),
    (
        "email_alert.queue 64\n    email_alert.queue 64",
        "'email_alert.queue' was set already; expected only once",
    ),
    (
        "email_alert.subject",
        "'email_alert.subject' expects a format, such as \"[%[state]] %[topic] on %[host]\": email_alert.subject <format>",
    ),
    (
        "email_alert.subject \" \"",
        "'email_alert.subject' ' ' is empty; expected a format, such as \"[%[state]] %[topic] on %[host]\"",
    ),
    (
        "email_alert.subject %[state] %[name]",
        "'email_alert.subject' unknown word '%[name]'; expected email_alert.subject <format>, in quotes if it has spaces, such as \"[%[state]] %[topic] on %[host]\"",
    ),
    (
        "email_alert.subject %[status]",
        "'email_alert.subject' unknown variable 'status', did you mean 'state'?; expected one of state topic host shorthost name proxy server reason event level changes active backup",
    ),
    (
        "email_alert.subject %[state",
        "'email_alert.subject' '%[state' has no ']' behind its last '%['; expected a format, such as \"[%[state]] %[topic] on %[host]\"",
    ),
    (
        "email_alert.subject \"100% %[state]\"",
        "'email_alert.subject' '100% %[state]' has a '%' that is neither '%[<variable>]' nor '%%'; expected a format, such as \"[%[state]] %[topic] on %[host]\"",
    ),
    (
        "email_alert.subject \"x\\r\\nBcc: x@example.com\"",
        "'email_alert.subject' 'x<U+000D><U+000A>Bcc: x@example.com' has a character that cannot be seen; expected a format, such as \"[%[state]] %[topic] on %[host]\"",
    ),
    (
        "email_alert.subject x\n    email_alert.subject x",
        "'email_alert.subject' was set already; expected only once",
    ),
    ("email_alert.native", "'email_alert.native' expects 'on' or 'off': email_alert.native on|off"),
    (
        "email_alert.native no",
        "'email_alert.native' unknown word 'no', did you mean 'on'?; expected email_alert.native on|off",
    ),
    (
        "email_alert.native on\n    email_alert.native on",
        "'email_alert.native' was set already; expected only once",
    ),
    (
        "email_alert.spool",
        "'email_alert.spool' expects a directory: email_alert.spool <directory> [max-size <size>]",
    ),
    (
        "email_alert.spool \"\"",
        "'email_alert.spool' expects a directory: email_alert.spool <directory> [max-size <size>]",
    ),
    (
        "email_alert.spool /nonexistent/spool",
        "'email_alert.spool' '/nonexistent/spool' is not a directory; expected email_alert.spool <directory> [max-size <size>]",
    ),
    (
        "email_alert.spool /etc/passwd",
        "'email_alert.spool' '/etc/passwd' is not a directory; expected email_alert.spool <directory> [max-size <size>]",
    ),
    ("email_alert.spool / max-size", "'email_alert.spool' 'max-size' expects a size, such as 64m"),
    (
        "email_alert.spool / max-size lots",
        "'email_alert.spool' 'max-size' value 'lots' does not begin with a number; expected a size, such as 64m",
    ),
    (
        "email_alert.spool / max-size -1",
        "'email_alert.spool' 'max-size' value '-1' does not begin with a number; expected a size, such as 64m",
    ),
    (
        "email_alert.spool / max-size 64mb",
        "'email_alert.spool' 'max-size' value '64mb' has a unit other than k, m and g; expected a size, such as 64m",
    ),
    (
        "email_alert.spool / max-size 99999999999g",
        "'email_alert.spool' 'max-size' value '99999999999g' is too large; expected a size, such as 64m",
    ),
    (
        "email_alert.spool / max-size 65535",
        "'email_alert.spool' 'max-size' value '65535' is too small; expected 64k or more",
    ),
    ("email_alert.spool / max-size 1g max-size 2g", "'email_alert.spool' 'max-size' is given twice"),
    (
        "email_alert.spool / max-siz 1g",
        "'email_alert.spool' unknown word 'max-siz', did you mean 'max-size'?; expected email_alert.spool <directory> [max-size <size>]",
    ),
    (
        "email_alert.spool / 1g",
        "'email_alert.spool' unknown word '1g'; expected email_alert.spool <directory> [max-size <size>]",
    ),
    (
        "email_alert.spool /\n    email_alert.spool /",
        "'email_alert.spool' was set to '/' already; expected only once",
    ),
    ("email_alert.retry", "'email_alert.retry' expects a time: email_alert.retry <time>"),
    ("email_alert.retry \"\"", "'email_alert.retry' expects a time: email_alert.retry <time>"),
    (
        "email_alert.retry never",
        "'email_alert.retry' 'never' does not begin with a number; expected a time, such as 3d",
    ),
    (
        "email_alert.retry 3w",
        "'email_alert.retry' '3w' has a unit other than us, ms, s, m, h and d; expected a time, such as 3d",
    ),
    ("email_alert.retry 0", "'email_alert.retry' '0' is out of range; expected 1s to 30d"),
    ("email_alert.retry 999ms", "'email_alert.retry' '999ms' is out of range; expected 1s to 30d"),
    ("email_alert.retry 31d", "'email_alert.retry' '31d' is out of range; expected 1s to 30d"),
    ("email_alert.retry 3d 4d", "'email_alert.retry' unknown word '4d'; expected email_alert.retry <time>"),
    (
        "email_alert.retry 3d\n    email_alert.retry 3d",
        "'email_alert.retry' was set already; expected only once",
    ),
    (
        "email_alert.relay",
        "'email_alert.relay' expects a name and a place: email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] [helo <name>]",
    ),
    (
        "email_alert.relay mx1",
        "'email_alert.relay' relay 'mx1' has no place; expected email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] [helo <name>], or sendmail, mailx or file",
    ),
    (
        "email_alert.relay \"mx 1\" localhost",
        "'email_alert.relay' relay name 'mx 1' may have letters, digits, '-', '_', '.' and ':' only",
    ),
    (
        "email_alert.relay mx1 localhost:0",
        "'email_alert.relay' 'localhost:0' has the port '0', which is not a number from 1 to 65535; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 localhost:99999",
        "'email_alert.relay' 'localhost:99999' has the port '99999', which is not a number from 1 to 65535; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 localhost:smtp",
        "'email_alert.relay' 'localhost:smtp' has the port 'smtp', which is not a number from 1 to 65535; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 localhost:",
        "'email_alert.relay' 'localhost:' has the port '', which is not a number from 1 to 65535; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 :25",
        "'email_alert.relay' ':25' has no host; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 [::1",
        "'email_alert.relay' '[::1' has no ']' behind its address; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 [::1]25",
        "'email_alert.relay' '[::1]25' has something other than ':<port>' behind its ']'; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 [localhost]:25",
        "'email_alert.relay' '[localhost]:25' has no IPv6 address between its brackets; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 ex!ample",
        "'email_alert.relay' 'ex!ample' is not a host name or address; expected <host>[:<port>], such as localhost:25 or [::1]:25",
    ),
    (
        "email_alert.relay mx1 mail.example.com",
        "'email_alert.relay' relay 'mx1': mails to 'mail.example.com' would cross the network unencrypted; expected 'tls' or 'starttls', a loopback address, or 'insecure-plaintext' if everyone on the way may read and change them",
    ),
    (
        "email_alert.relay mx1 192.0.2.1:587",
        "'email_alert.relay' relay 'mx1': mails to '192.0.2.1' would cross the network unencrypted; expected 'tls' or 'starttls', a loopback address, or 'insecure-plaintext' if everyone on the way may read and change them",
    ),
    (
        "email_alert ops@example.com opß@example.com",
        "'email_alert' sender 'opß@example.com' has a character outside ASCII before the '@'; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert opß",
        "'email_alert' recipient 'opß' is not a mail address; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert ops@mü..example",
        "'email_alert' recipient 'ops@mü..example' is not a mail address; expected an address such as ops@example.com, or a local name",
    ),
    (
        "email_alert.relay mx1 localhost tls starttls",
        "'email_alert.relay' 'tls' and 'starttls' exclude each other; expected one of them",
    ),
    (
        "email_alert.relay mx1 localhost starttls insecure-plaintext",
        "'email_alert.relay' 'starttls' and 'insecure-plaintext' exclude each other; expected one of them",
    ),
    (
        "email_alert.relay mx1 localhost insecure-plaintext tls",
        "'email_alert.relay' 'tls' and 'insecure-plaintext' exclude each other; expected one of them",
    ),
    (
        "email_alert.relay mx1 localhost tls insecure-no-verify ca-file /x",
        "'email_alert.relay' 'insecure-no-verify' and 'ca-file' exclude each other; expected one of them",
    ),
    (
        "email_alert.relay mx1 localhost user bob password-file /x oauth-token-file /y",
        "'email_alert.relay' 'password-file' and 'oauth-token-file' exclude each other; expected one of them",
    ),
    (
        "email_alert.relay mx1 localhost user bob",
        "'email_alert.relay' 'user' needs 'password-file <file>' or 'oauth-token-file <file>'",
    ),
    (
        "email_alert.relay mx1 localhost password-file /x",
        "'email_alert.relay' 'password-file' needs 'user <user>'",
    ),
    (
        "email_alert.relay mx1 localhost ca-file /x",
        "'email_alert.relay' 'ca-file' has no meaning without encryption; expected 'tls' or 'starttls'",
    ),
    (
        "email_alert.relay mx1 localhost crt /x",
        "'email_alert.relay' 'crt' has no meaning without encryption; expected 'tls' or 'starttls'",
    ),
    (
        "email_alert.relay mx1 localhost sni mx1",
        "'email_alert.relay' 'sni' has no meaning without encryption; expected 'tls' or 'starttls'",
    ),
    (
        "email_alert.relay mx1 localhost insecure-no-verify",
        "'email_alert.relay' 'insecure-no-verify' has no meaning without encryption; expected 'tls' or 'starttls'",
    ),
    ("email_alert.relay mx1 localhost tls ca-file", "'email_alert.relay' 'ca-file' expects a PEM file"),
    ("email_alert.relay mx1 localhost tls crt", "'email_alert.relay' 'crt' expects a PEM file"),
    ("email_alert.relay mx1 localhost tls sni", "'email_alert.relay' 'sni' expects a name"),
    ("email_alert.relay mx1 localhost user", "'email_alert.relay' 'user' expects a user"),
    (
        "email_alert.relay mx1 localhost user bob password-file",
        "'email_alert.relay' 'password-file' expects a file",
    ),
    (
        "email_alert.relay mx1 localhost oauth-token-file",
        "'email_alert.relay' 'oauth-token-file' expects a file",
    ),
    ("email_alert.relay mx1 localhost helo", "'email_alert.relay' 'helo' expects a name"),
    ("email_alert.relay mx1 localhost tls sni a sni b", "'email_alert.relay' 'sni' is given twice"),
    (
        "email_alert.relay mx1 localhost tls sni a!b",
        "'email_alert.relay' relay 'mx1': 'sni' value 'a!b' is not a host name or address",
    ),
    (
        "email_alert.relay mx1 localhost helo -lb1",
        "'email_alert.relay' relay 'mx1': 'helo' value '-lb1' is not a host name or address",
    ),
    (
        "email_alert.relay mx1 localhost tls ca-file /nonexistent.pem",
        "'email_alert.relay' relay 'mx1': 'ca-file' file '/nonexistent.pem' does not exist",
    ),
    (
        "email_alert.relay mx1 localhost tls crt /nonexistent.pem",
        "'email_alert.relay' relay 'mx1': 'crt' file '/nonexistent.pem' does not exist",
    ),
    (
        "email_alert.relay mx1 localhost tls ca-file /tmp",
        "'email_alert.relay' relay 'mx1': 'ca-file' file '/tmp' is not a file",
    ),
    (
        "email_alert.relay mx1 localhost tls ca-file /etc/passwd",
        "'email_alert.relay' relay 'mx1': 'ca-file' file '/etc/passwd' is not PEM",
    ),
    (
        "email_alert.relay mx1 localhost user bob password-file /nonexistent",
        "'email_alert.relay' relay 'mx1': 'password-file' file '/nonexistent' does not exist",
    ),
    (
        "email_alert.relay mx1 localhost oauth-token-file /nonexistent",
        "'email_alert.relay' relay 'mx1': 'oauth-token-file' file '/nonexistent' does not exist",
    ),
    (
        "email_alert.relay mx1 mail.example.com user bob password-file /nonexistent",
        "'email_alert.relay' relay 'mx1': mails and the secret of 'user' to 'mail.example.com' would cross the network unencrypted; expected 'tls' or 'starttls', a loopback address, or 'insecure-plaintext' if everyone on the way may read and change them",
    ),
    (
        "email_alert.relay mx1 localhost tsl",
        "'email_alert.relay' unknown word 'tsl', did you mean 'tls'?; expected email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] [helo <name>]",
    ),
    ("email_alert.relay mx1 localhost timeout", "'email_alert.relay' 'timeout' expects a time, such as 10s"),
    (
        "email_alert.relay mx1 localhost timeout abc",
        "'email_alert.relay' 'timeout' value 'abc' does not begin with a number; expected a time, such as 10s",
    ),
    (
        "email_alert.relay mx1 localhost timeout 0",
        "'email_alert.relay' 'timeout' value '0' is out of range; expected 100ms to 1h",
    ),
    (
        "email_alert.relay mx1 localhost timeout 1ms",
        "'email_alert.relay' 'timeout' value '1ms' is out of range; expected 100ms to 1h",
    ),
    (
        "email_alert.relay mx1 localhost timeout 2h",
        "'email_alert.relay' 'timeout' value '2h' is out of range; expected 100ms to 1h",
    ),
    ("email_alert.relay mx1 localhost timeout 1s timeout 2s", "'email_alert.relay' 'timeout' is given twice"),
    (
        "email_alert.relay mx1 localhost timout 1s",
        "'email_alert.relay' unknown word 'timout', did you mean 'timeout'?; expected email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] [helo <name>]",
    ),
    (
        "email_alert.relay mx1 localhost insecure-plaintxt",
        "'email_alert.relay' unknown word 'insecure-plaintxt', did you mean 'insecure-plaintext'?; expected email_alert.relay <name> <host>[:<port>] [tls | starttls | insecure-plaintext] [ca-file <pem>] [crt <pem>] [sni <name>] [insecure-no-verify] [user <user> password-file <file>] [oauth-token-file <file>] [timeout <time>] [helo <name>]",
    ),
    (
        "email_alert.relay mx1 localhost\n    email_alert.relay mx1 localhost:26",
        "'email_alert.relay' there is a relay 'mx1' already; expected another name",
    ),
    (
        "email_alert.relay local sendmail relative/path",
        "'email_alert.relay' 'relative/path' is not an absolute path; expected email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]",
    ),
    (
        "email_alert.relay local sendmail /nonexistent/sendmail",
        "'email_alert.relay' relay 'local': '/nonexistent/sendmail' is not a program; expected the path of a sendmail",
    ),
    (
        "email_alert.relay local sendmail /bin/true /bin/true",
        "'email_alert.relay' unknown word '/bin/true'; expected email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]",
    ),
    (
        "email_alert.relay local sendmail /bin/true tls",
        "'email_alert.relay' 'tls' has no meaning for sendmail; expected email_alert.relay <name> sendmail|mailx [<path>] [timeout <time>]",
    ),
    (
        "email_alert.relay files file",
        "'email_alert.relay' relay 'files': 'file' expects a directory: email_alert.relay <name> file <directory>",
    ),
    (
        "email_alert.relay files file /nonexistent",
        "'email_alert.relay' relay 'files': '/nonexistent' is not a directory; expected email_alert.relay <name> file <directory>",
    ),
    (
        "email_alert.relay files file /tmp timeout 1s",
        "'email_alert.relay' unknown word 'timeout'; expected email_alert.relay <name> file <directory>",
    ),
    ("email_alert.host-name", "'email_alert.host-name' expects a name: email_alert.host-name <name>"),
    (
        "email_alert.host-name bad_name!",
        "'email_alert.host-name' 'bad_name!' is not a host name; expected letters, digits, '-' and '.'",
    ),
    (
        "email_alert.host-name -lb1",
        "'email_alert.host-name' '-lb1' is not a host name; expected letters, digits, '-' and '.'",
    ),
    (
        "email_alert.host-name lb1 lb2",
        "'email_alert.host-name' unknown word 'lb2'; expected email_alert.host-name <name>",
    ),
    (
        "email_alert.host-name lb1\n    email_alert.host-name lb2",
        "'email_alert.host-name' was set to 'lb1' already; expected only once",
    ),
    (
        "email_alert.host-name lb..example.com",
        "'email_alert.host-name' 'lb..example.com' is not a host name; expected letters, digits, '-' and '.'",
    ),
    ("email_alert.stats-uri", "'email_alert.stats-uri' expects a URL: email_alert.stats-uri <url>|off"),
    (
        "email_alert.stats-uri /stats",
        "'email_alert.stats-uri' '/stats' does not begin with http:// or https://; expected a URL, such as http://lb1.example.com:8404/stats, or 'off'",
    ),
    (
        "email_alert.stats-uri http://:8404/stats",
        "'email_alert.stats-uri' 'http://:8404/stats' has no host; expected a URL, such as http://lb1.example.com:8404/stats, or 'off'",
    ),
    (
        "email_alert.stats-uri off\n    email_alert.stats-uri http://lb1/",
        "'email_alert.stats-uri' was set already; expected only once",
    ),
];

/// Slips of one delivery or word, and the word that was meant.
const SLIPS: &[(&str, &str)] = &[
    ("email_alrt ops@example.com", "email_alert"),
    ("email_alert.rely mx1 localhost", "email_alert.relay"),
    ("email_alert.hostname lb1", "email_alert.host-name"),
    ("email_alert ops@example.com event down", "events"),
    ("email_alert ops@example.com lb1@example.com eventss down", "events"),
    ("email_alert ops@example.com events dwn", "down"),
    ("email_alert ops@example.com events down,maintt", "maint"),
    ("email_alert ops@example.com events backend_down", "backend-down"),
    ("email_alert.relay mx1 localhost timeuot 1s", "timeout"),
    ("email_alert.relay mx1 mx.example.com insecure-plaintex", "insecure-plaintext"),
    ("email_alert.relay mx1 localhost startls", "starttls"),
    ("email_alert.relay mx1 localhost tls cafile /x", "ca-file"),
    ("email_alert.relay mx1 localhost pasword-file /x", "password-file"),
    ("email_alert.relay mx1 localhost oauth-tokenfile /x", "oauth-token-file"),
    ("email_alert.relay local sendmial", "sendmail"),
    ("email_alert.relay local sendmail /bin/true timeot 1s", "timeout"),
    ("email_alert.spol /", "email_alert.spool"),
    ("email_alert.rety 3d", "email_alert.retry"),
    ("email_alert.quue 64", "email_alert.queue"),
    ("email_alert.subjet x", "email_alert.subject"),
    ("email_alert.subject %[hots]", "host"),
    ("email_alert.stat-uri off", "email_alert.stats-uri"),
    ("email_alert.spool / maxsize 64m", "max-size"),
];

/// Lines that HAProxy takes.
const RIGHT: &[&str] = &[
    "email_alert ops@example.com",
    "email_alert root",
    "email_alert ops@example.com lb1@example.com",
    "email_alert ops@example.com,boss@example.org,root lb1@example.com events down,up",
    "email_alert ops@example.com events down,up,maint,ready,drain,nolb,backend-down,backend-up",
    "email_alert ops+haproxy@mail-1.example.com",
    "email_alert ops@example.com\n    email_alert.relay mx1 localhost",
    "email_alert ops@example.com\n    email_alert.relay mx1 127.0.0.1:2525 timeout 500ms",
    "email_alert ops@example.com\n    email_alert.relay mx1 [::1]:2525",
    "email_alert ops@example.com\n    email_alert.relay mx1 192.0.2.25 insecure-plaintext",
    "email_alert ops@example.com\n    email_alert.relay mx1 mail.example.com starttls",
    "email_alert ops@example.com\n    email_alert.relay mx1 mail.example.com tls sni mx.example.com helo lb1.example.com",
    "email_alert ops@example.com\n    email_alert.relay mx1 m\u{fc}ller.example tls",
    "email_alert j\u{f6}rg@example.com,ops@m\u{fc}ller.example bot@m\u{fc}ller.example",
    "email_alert ops@example.com\n    email_alert.relay mx1 localhost\n    email_alert.relay mx2 localhost:26",
    "email_alert ops@example.com\n    email_alert.host-name lb1.example.com",
    "email_alert ops@example.com\n    email_alert.relay files file \"${TEST_DIRECTORY}/jail\"",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\"",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 64k",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 65536",
    "email_alert ops@example.com\n    email_alert.spool \"${TEST_DIRECTORY}/jail\" max-size 2G",
    "email_alert ops@example.com\n    email_alert.retry 1s",
    "email_alert ops@example.com\n    email_alert.queue 64",
    "email_alert ops@example.com\n    email_alert.queue 1048576",
    "email_alert ops@example.com\n    email_alert.subject \"[%[state]] %[topic] on %[host]\"",
    "email_alert ops@example.com\n    email_alert.subject 100%%:%[changes]",
    "email_alert ops@example.com\n    email_alert.retry 30d",
    "email_alert ops@example.com\n    email_alert.stats-uri off",
    "email_alert ops@example.com\n    email_alert.stats-uri https://[2001:db8::1]/haproxy?stats;norefresh",
    "email_alert ops@example.com\n    email_alert.retry 10m\n    email_alert.spool \"${TEST_DIRECTORY}/jail\"",
];

fn judge(line: &str) -> Judgement {
    Setup::without_alerts().frontend("servers").global(line).backend("servers", &[]).judge()
}

/// What a wrong configuration must not do, or `None`.
fn side_effect_of(judgement: &Judgement) -> Option<String> {
    if !judgement.files_made.is_empty() {
        return Some(format!("files were made: {:?}", judgement.files_made));
    }
    (!judgement.processes_left.is_empty())
        .then(|| format!("processes are left: {:?}", judgement.processes_left))
}

#[test]
fn each_wrong_configuration_is_refused_with_its_message() {
    let mut faults = String::new();
    for (directive, message) in WRONG {
        let judgement = judge(directive);
        let last_line = directive.lines().last().expect("a line");
        let expected =
            format!("parsing [{}:{}] : {message}\n", judgement.file, judgement.line_number_of(last_line));
        let fault = match side_effect_of(&judgement) {
            Some(effect) => effect,
            // From 3.3 on, HAProxy itself refuses an empty word.
            None if directive.contains("\"\"")
                && judgement.output.contains(" is empty and marks the end of ") =>
            {
                continue;
            }
            None if judgement.status != Some(1) => format!("the exit status is {:?}", judgement.status),
            None if !judgement.output.contains(&expected) => {
                format!("expected {expected}  got {}", judgement.output)
            }
            None => continue,
        };
        faults += &format!("{directive:?}: {fault}\n");
    }
    assert!(WRONG.len() >= 40);
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_slip_gets_the_word_that_was_meant() {
    let mut faults = String::new();
    for (directive, meant) in SLIPS {
        let judgement = judge(directive);
        let is_suggested = judgement.output.contains(&format!("did you mean '{meant}'"));
        if judgement.status != Some(1) || !is_suggested {
            faults += &format!("{directive:?}: {}\n", judgement.output);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_kind_without_the_word_events_is_not_taken_for_a_sender() {
    for kind in ["down", "up", "down,up", "backend-down"] {
        let judgement = judge(&format!("email_alert ops@example.com {kind}"));
        assert_eq!(judgement.status, Some(1), "{kind}: {}", judgement.output);
        assert!(judgement.output.contains("'events'"), "{kind}: {}", judgement.output);
    }
}

/// A relay's words about files; `{files}` is where these are: `ca`, `client` (certificate and key), `other` (a key of somebody
/// else behind a certificate), `bare` (no key), `empty`, `text`, `large`; `password`, `open` (to everybody), `group` (to a
/// group), `lines`.
const WRONG_FILES: &[(&str, &str)] = &[
    ("tls ca-file {files}/text", "'ca-file' file '{files}/text' is not PEM"),
    ("tls ca-file {files}/empty", "'ca-file' file '{files}/empty' is empty"),
    ("tls ca-file {files}/large", "'ca-file' file '{files}/large' is larger than 1 MiB"),
    ("tls ca-file {files}/key", "'ca-file' file '{files}/key' has no certificate"),
    (
        "tls crt {files}/bare",
        "'crt' file '{files}/bare' has no private key; expected one beside the certificate",
    ),
    ("tls crt {files}/key", "'crt' file '{files}/key' has no certificate"),
    (
        "tls crt {files}/other",
        "'crt' file '{files}/other' has a private key that is not that of its first certificate",
    ),
    (
        "tls crt {files}/open-client",
        "'crt' file '{files}/open-client' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open-client",
    ),
    ("user bob password-file {files}/empty", "'password-file' file '{files}/empty' is empty"),
    (
        "user bob password-file {files}/lines",
        "'password-file' file '{files}/lines' has more than one line, or a NUL byte",
    ),
    (
        "user bob password-file {files}/open",
        "'password-file' file '{files}/open' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open",
    ),
    (
        "oauth-token-file {files}/open",
        "'oauth-token-file' file '{files}/open' is open to everybody; expected a file for its owner alone: chmod 600 {files}/open",
    ),
];

fn judge_with_files(words: &str, files: &Files) -> (Judgement, String) {
    let directive = format!("email_alert.relay mx1 localhost {words}").replace("{files}", &path_of(files));
    let setup = Setup::with_alerts().frontend("servers").backend("servers", &[]).jailed();
    (setup.global(&directive).judge(), directive)
}

fn path_of(files: &Files) -> String {
    files.path().display().to_string()
}

fn files() -> Files {
    let (files, authority) = (Files::default(), Authority::new("test"));
    let (client, other) = (authority.client(), authority.client());
    files.public("ca", &authority.pem());
    files.secret("client", &client.pem());
    files.public("open-client", &client.pem());
    files.secret("bare", &client.chain.concat());
    files.secret("key", &client.key);
    files.secret("other", &(client.chain.concat() + &other.key));
    files.secret("empty", "");
    files.secret("text", "-- this is not PEM --\n");
    files.secret("large", &"x".repeat((1 << 20) + 1));
    files.secret("password", "hunter2\n");
    files.secret("lines", "hunter2\nhunter3\n");
    files.public("open", "hunter2\n");
    files.file("group", "hunter2\n", 0o640);
    files
}

#[test]
fn each_file_that_is_of_no_use_is_refused_with_its_message() {
    let files = files();
    let mut faults = String::new();
    for (words, message) in WRONG_FILES {
        let (judgement, directive) = judge_with_files(words, &files);
        let (file, line) = (&judgement.file, judgement.line_number_of(&directive));
        let message = message.replace("{files}", &path_of(&files));
        let expected = format!("parsing [{file}:{line}] : 'email_alert.relay' relay 'mx1': {message}\n");
        if judgement.status != Some(1) || !judgement.output.contains(&expected) {
            faults += &format!("{words:?}: expected {expected}  got {}", judgement.output);
        }
        if judgement.output.contains("hunter") {
            faults += &format!("{words:?}: the password is told: {}", judgement.output);
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn files_that_the_worker_and_nobody_else_may_read_are_taken() {
    let files = files();
    files.secret_of(UNPRIVILEGED, "token", "secret");
    for words in [
        "tls ca-file {files}/ca crt {files}/client",
        "starttls ca-file {files}/ca user bob password-file {files}/password",
        "starttls ca-file {files}/ca oauth-token-file {files}/token",
        "user bob password-file {files}/password",
    ] {
        let (judgement, _) = judge_with_files(words, &files);
        assert!(judgement.is_silent(), "{words}: {}", judgement.output);
        assert_eq!(judgement.status, Some(0), "{words}");
        assert_eq!(side_effect_of(&judgement), None, "{words}");
    }
    for (words, message) in [
        (
            "user bob password-file {files}/group",
            "is open to group id 0, which is not HAProxy's; expected a file for its owner",
        ),
        ("oauth-token-file {files}/password", "is not readable for HAProxy's user id 65534, group id 65534"),
    ] {
        let (judgement, _) = judge_with_files(words, &files);
        assert_eq!(judgement.status, Some(1), "{words}: {}", judgement.output);
        let begins = "email_alert: relay 'mx1': '";
        assert!(
            judgement.output.contains(begins) && judgement.output.contains(message),
            "{}",
            judgement.output
        );
    }
}

#[test]
fn an_option_that_weakens_tls_is_warned_about() {
    let (judgement, _) = judge_with_files("starttls insecure-no-verify", &files());
    assert_eq!(judgement.status, Some(0), "{}", judgement.output);
    let words =
        "email_alert: relay 'mx1': 'insecure-no-verify': whoever is in between can take the relay's place";
    assert!(
        judgement.output.contains("[WARNING]") && judgement.output.contains(words),
        "{}",
        judgement.output
    );
}

#[test]
fn relays_without_a_recipient_are_an_error() {
    let judgement = judge("email_alert.relay mx1 localhost");
    assert_eq!(judgement.status, Some(1), "{}", judgement.output);
    let message = "email_alert: there are 'email_alert.*' lines but no 'email_alert <to>' line: nobody would get a mail; \
                   add one, such as: email_alert ops@example.com\n";
    assert!(judgement.output.contains(message), "{}", judgement.output);
}

#[test]
fn all_errors_are_told_at_once() {
    let judgement = judge("email_alert\n    email_alert.relay mx1\n    email_alert.host-name");
    assert_eq!(judgement.status, Some(1));
    assert_eq!(judgement.output.matches("] : 'email_alert").count(), 3, "{}", judgement.output);
}

#[test]
fn single_checks_are_not_to_be_had_without_the_option_that_logs_them() {
    let setup = || Setup::without_alerts().global("email_alert ops@example.com events check");
    let with = setup().backend("servers", &["option log-health-checks"]).judge();
    assert_eq!((with.status, with.is_silent()), (Some(0), true), "{}", with.output);
    let without = setup().backend("servers", &[]).judge();
    assert_eq!(without.status, Some(0), "{}", without.output);
    let warning = "email_alert: no proxy has \"option log-health-checks\", which kind 'check' needs.";
    assert!(without.output.contains(warning), "{}", without.output);
}

#[test]
fn right_configurations_are_taken_in_silence_and_do_nothing() {
    for directive in RIGHT {
        let judgement = judge(directive);
        assert_eq!(judgement.status, Some(0), "{directive}: {}", judgement.output);
        assert!(judgement.is_silent(), "{directive}: {}", judgement.output);
        assert_eq!(side_effect_of(&judgement), None, "{directive}");
    }
}

#[test]
fn a_spool_that_others_can_write_or_haproxy_cannot_is_an_error() {
    let spool = Spool::new();
    let directory = spool.path().display();
    let judge = |setup: Setup| spool.of(setup).frontend("servers").backend("servers", &[]).judge();
    let alerts = || Setup::with_alerts().relay("mx1", ([127, 0, 0, 1], 25).into());
    let expect = |setup: Setup, words: String| {
        let judgement = judge(setup);
        assert_eq!(judgement.status, Some(1), "{}", judgement.output);
        assert!(judgement.output.contains(&format!("email_alert: spool: {words}\n")), "{}", judgement.output);
        assert_eq!(side_effect_of(&judgement), None);
        assert_eq!(spool.names(), [""; 0]);
    };
    let by_everybody = format!(
        "directory '{directory}' can be written by everybody, and what is in it is mailed; expected: chmod o-w {directory}"
    );
    for mode in [0o777, 0o1777, 0o702] {
        spool.has_mode(mode);
        expect(alerts().jailed(), by_everybody.clone());
        expect(alerts(), by_everybody.clone());
    }
    let (id, not_by_us) = (UNPRIVILEGED, "is not writable for user id");
    let not_by_us = format!(
        "directory '{directory}' {not_by_us} {id}, group id {id}; expected: chown {id}:{id} {directory}"
    );
    for mode in [0o500, 0o600, 0o070] {
        spool.has_mode(mode);
        expect(alerts().jailed(), not_by_us.clone());
    }
    spool.has_mode(0o755);
    std::os::unix::fs::chown(spool.path(), Some(0), Some(0)).expect("chown");
    expect(alerts().jailed(), not_by_us);
    // Root may.
    assert_eq!(judge(alerts()).status, Some(0));
    // So may the group.
    std::os::unix::fs::chown(spool.path(), Some(0), Some(UNPRIVILEGED)).expect("chown");
    spool.has_mode(0o770);
    let judgement = judge(alerts().jailed());
    assert_eq!((judgement.status, judgement.is_silent()), (Some(0), true), "{}", judgement.output);
    assert_eq!(spool.names(), [""; 0], "with -c nothing is written");
}

#[test]
fn checking_a_configuration_sends_nothing_and_starts_nothing() {
    let (relay, program, backend) = (Relay::start(), FakeProgram::that_succeeds("sendmail"), Backend::tcp());
    backend.goes_down();
    let judgement = Setup::mailing_through(&relay)
        .global(&format!("email_alert.relay local sendmail {}", program.path().display()))
        .frontend("servers")
        .backend("servers", &[&format!("server server1 {} check", backend.address())])
        .jailed()
        .judge();
    assert_eq!(judgement.status, Some(0), "{}", judgement.output);
    assert_eq!(side_effect_of(&judgement), None);
    assert!(relay.sessions().is_empty());
    assert!(program.calls().is_empty());
}

#[test]
fn a_directive_outside_global_is_refused() {
    for section in ["defaults", "frontend other", "backend other"] {
        let directive = "email_alert ops@example.com";
        let setup = Setup::without_alerts().frontend("servers").backend("servers", &[]);
        let judgement = setup.section(section, &[directive]).judge();
        assert_eq!(judgement.status, Some(1), "{section}: {}", judgement.output);
        let place = format!("parsing [{}:{}]", judgement.file, judgement.line_number_of(directive));
        assert!(judgement.output.contains(&place), "{}", judgement.output);
    }
}
