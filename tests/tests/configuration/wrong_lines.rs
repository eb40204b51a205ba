// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wrong directives in `global`, each with the whole message about it. Of several lines, the last one is wrong.

/// Recipients, senders, and what they are mailed.
pub const ALERT: &[(&str, &str)] = &[
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
];

/// All directives but `email_alert` and `email_alert.relay`.
pub const OTHERS: &[(&str, &str)] = &[
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
