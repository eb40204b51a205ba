// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wrong `email_alert.relay` directives, each with the whole message about it. Of several lines, the last one is wrong.

/// Places, encryption, logins, programs and directories of relays.
pub const RELAY: &[(&str, &str)] = &[
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
];
