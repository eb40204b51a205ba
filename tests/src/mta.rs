// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's postfix and exim, as `ci/mail-servers` has unpacked them. Each runs in a root directory and a process
//! namespace of its own: it finds its files where it expects them, and the machine's own mail system nothing of it.

mod exim;
mod postfix;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    certificates::Authority,
    mail::ParsedMail,
    port::{Port, Service},
    processes::{self, Process},
    story::Inbox,
    wait::{patience, throughout, until_true, within},
};

/// Where they are, as the certificate says it.
const HOST: &str = "127.0.0.1";
/// Local parts of the addresses at example.com that have a mailbox.
const USERS: [&str; 2] = ["ops", "boss"];
/// Who may send mails.
pub const LOGIN: &str = "haproxy";
/// With this password.
pub const PASSWORD: &str = "hunter2 \u{e9} = secret";

// The last of the numbers that Debian has for people: nobody else has them.
const ROOT: u32 = 0;
const DAEMON: u32 = 59998;
const USER: u32 = 59999;

/// What the policy says of those who have to come again.
const GREYLISTED: &str = "450 4.2.0 greylisted, come back later";

/// What these programs put in front of a mail.
const TRACE: [&str; 6] =
    ["return-path", "x-original-to", "delivered-to", "received", "envelope-to", "delivery-date"];

/// Takes the programs and libraries into the root directory, which is the current one, and runs a program there.
const ENTER: &str = r#"
set -e
tree=$1
shift
for path in "$tree"/*; do
    name=${path##*/}
    case $name in etc | var) continue ;; esac
    mkdir -p "$name"
    mount --bind -o ro "$path" "$name"
done
for device in null urandom; do
    : >>dev/$device
    mount --bind /dev/$device dev/$device
done
# Exim must become root again for a delivery; outside of this namespace nobody sees the program that can.
if [ -e usr/sbin/exim4 ]; then
    mkdir -p setuid
    mount -t tmpfs -o mode=755 none setuid
    install -m 4755 usr/sbin/exim4 setuid
    mount --bind setuid/exim4 usr/sbin/exim4
fi
exec chroot . "$@"
"#;

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Postfix, with Cyrus SASL.
    Postfix,
    /// Exim, with GnuTLS.
    Exim,
}

/// How it is configured.
pub struct Manner {
    /// The ways to log in that it offers.
    pub mechanisms: &'static str,
    /// More lines for its configuration.
    pub settings: String,
}

impl Default for Manner {
    fn default() -> Self {
        Manner { mechanisms: "PLAIN LOGIN", settings: String::new() }
    }
}

/// A mail server that delivers to the mailboxes of its users, and wants a login for it.
pub struct Mta {
    product: Product,
    ports: Ports,
    greylists: Arc<AtomicBool>,
    policy: Service,
    root: Root,
    process: Option<Child>,
}

/// As 587, 465 and 25 would be.
struct Ports {
    starttls: Port,
    tls: Port,
    plain: Port,
}

/// The directory that is `/` for a mail server.
struct Root(TempDir);

impl Mta {
    /// One that has a certificate of this authority.
    #[track_caller]
    pub fn start(product: Product, authority: &Authority) -> Self {
        Self::with(product, authority, &Manner::default())
    }

    /// The same with wishes.
    #[track_caller]
    pub fn with(product: Product, authority: &Authority, manner: &Manner) -> Self {
        let ports = Ports { starttls: Port::new(), tls: Port::new(), plain: Port::new() };
        let greylists = Arc::new(AtomicBool::new(false));
        let of_the_moment = greylists.clone();
        let policy = Service::start(move |connection| {
            // The mail server may end at any time.
            let _ = answer(connection, &of_the_moment);
        });
        let mut mta = Mta { product, ports, greylists, policy, root: Root::new(), process: None };
        let identity = authority.identity(HOST);
        // Postfix wants the key first.
        mta.root.file("etc/tls.pem", &(identity.key + &identity.chain.concat()), DAEMON, 0o600);
        match product {
            Product::Postfix => postfix::furnish(&mta, manner),
            Product::Exim => exim::furnish(&mta, manner),
        }
        mta.start_again();
        mta
    }

    /// Where it requires STARTTLS.
    pub fn starttls(&self) -> SocketAddr {
        self.ports.starttls.address()
    }

    /// Where it expects TLS from the first byte on.
    pub fn tls(&self) -> SocketAddr {
        self.ports.tls.address()
    }

    /// Where it has no TLS.
    pub fn plain(&self) -> SocketAddr {
        self.ports.plain.address()
    }

    /// The mailbox of `user@example.com`.
    pub fn mailbox<'a>(&'a self, user: &'a str) -> Mailbox<'a> {
        Mailbox { mta: self, user }
    }

    /// From now on, connections are refused.
    #[track_caller]
    pub fn stop(&mut self) {
        for first in self.first_processes() {
            let _ = kill(Pid::from_raw(first.pid), Signal::SIGTERM);
        }
        until_true("the mail server to end", || self.has_ended());
        self.end();
    }

    /// Runs it again, with everything that it had.
    #[track_caller]
    pub fn start_again(&mut self) {
        let program = match self.product {
            Product::Postfix => postfix::PROGRAM,
            Product::Exim => exim::PROGRAM,
        };
        let output = OpenOptions::new().append(true).create(true).open(self.root.path("output"));
        let output = output.expect("a file");
        let mut command = self.command(program);
        command.stdin(Stdio::null());
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        self.process = Some(command.spawn().expect("run a mail server"));
        for address in [self.starttls(), self.tls(), self.plain()] {
            let listens = || {
                assert!(!self.has_ended(), "{:?} ended at once", self.product);
                TcpStream::connect(address).is_ok()
            };
            until_true("the mail server to listen", listens);
        }
    }

    /// Whether all mails are to be sent again later.
    pub fn greylists(&self, yes: bool) {
        self.greylists.store(yes, Ordering::Relaxed);
    }

    /// Waits until it has noted a session in which somebody greeted it and left.
    #[track_caller]
    pub fn wait_for_greeting_only(&self) {
        let words = match self.product {
            Product::Postfix => postfix::GREETING_ONLY,
            Product::Exim => exim::GREETING_ONLY,
        };
        until_true("a session without mail in the mail server's log", || self.log().contains(words));
    }

    /// What it has noted.
    pub fn log(&self) -> String {
        let entries = fs::read_dir(self.root.path("var/log")).expect("our own directory");
        let read = |entry: fs::DirEntry| fs::read(entry.path()).unwrap_or_default();
        let logs: Vec<u8> = entries.filter_map(Result::ok).flat_map(read).collect();
        String::from_utf8_lossy(&logs).into_owned()
    }

    /// For those who read why a test failed.
    pub fn story(&self) -> String {
        let output = fs::read_to_string(self.root.path("output")).unwrap_or_default();
        format!("{:?}'s output:\n{output}\nIts log:\n{}", self.product, self.log())
    }

    /// A program of this product, in its place.
    fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]);
        command.arg(tree_of(self.product)).args(program).current_dir(self.root.0.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a program to its end.
    #[track_caller]
    fn run(&self, program: &[&str], input: &str) {
        let mut child = self.command(program).stdin(Stdio::piped()).spawn().expect("run a program");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("write to a program");
        let status = child.wait().expect("wait for a program");
        assert!(status.success(), "{program:?}: {status}");
    }

    fn has_ended(&self) -> bool {
        let process = self.process.as_ref().expect("a process");
        !Process::is_running(process.id() as i32)
    }

    /// The first process of the namespace; the kernel ends the others with it.
    fn first_processes(&self) -> Vec<Process> {
        self.process.iter().flat_map(|process| processes::children_of(process.id() as i32)).collect()
    }

    fn end(&mut self) {
        let first = self.first_processes();
        let Some(mut process) = self.process.take() else { return };
        for process in &first {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        if first.is_empty() {
            let _ = process.kill();
        }
        let _ = process.wait();
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
        self.end();
    }
}

/// What a user of a mail server finds.
pub struct Mailbox<'a> {
    mta: &'a Mta,
    user: &'a str,
}

impl Mailbox<'_> {
    /// The mails as they are in the mailbox, the oldest first.
    pub fn files(&self) -> Vec<String> {
        let directory = self.mta.root.path(&format!("home/{}/Maildir/new", self.user));
        // It is made for the first mail.
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).expect("a mail in ASCII")).collect()
    }

    /// During this time there are never more than `count` mails.
    #[track_caller]
    pub fn expect_no_more_than(&self, count: usize, time: Duration) {
        throughout(time, || {
            let now = self.files().len();
            (now > count).then(|| format!("{now} mails for {}", self.user))
        });
    }
}

impl Inbox for Mailbox<'_> {
    /// Each came encrypted and after a login.
    #[track_caller]
    fn wait_for_mails(&self, count: usize) -> Vec<ParsedMail> {
        within(patience(), || (self.files().len() >= count).then_some(()));
        let files = self.files();
        assert!(files.len() == count, "expected {count} mails for {}, but {files:#?}", self.user);
        let mail = |file: &String| {
            let (trace, mail) = without_trace(file);
            assert!(trace.to_ascii_lowercase().contains(" with esmtpsa "), "not encrypted: {trace}");
            ParsedMail::of(mail.replace('\n', "\r\n").as_bytes())
        };
        files.iter().map(mail).collect()
    }
}

/// Postfix's protocol for policies, which exim is made to speak: lines up to an empty one, and a decision.
fn answer(mut connection: TcpStream, greylists: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            let decision = if greylists.load(Ordering::Relaxed) { GREYLISTED } else { "dunno" };
            connection.write_all(format!("action={decision}\n\n").as_bytes())?;
        }
    }
    Ok(())
}

/// What was added on the way, and the mail as it was sent.
fn without_trace(mail: &str) -> (&str, &str) {
    let mut length = 0;
    for line in mail.split_inclusive('\n') {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !line.starts_with([' ', '\t']) && !TRACE.contains(&&*name) {
            break;
        }
        length += line.len();
    }
    mail.split_at(length)
}

impl Root {
    fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("haproxy-email-alert-").tempdir().expect("a directory");
        let root = Root(directory);
        root.directory("", ROOT, 0o755);
        for name in ["dev", "etc", "home", "var/log", "var/spool"] {
            root.directory(name, ROOT, 0o755);
        }
        root.directory("tmp", ROOT, 0o1777);
        let mut passwd = format!("root:x:{ROOT}:{ROOT}::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n");
        for name in ["postfix", "Debian-exim"] {
            passwd += &format!("{name}:x:{DAEMON}:{DAEMON}::/:/bin/false\n");
        }
        for user in USERS {
            passwd += &format!("{user}:x:{USER}:{USER}::/home/{user}:/bin/false\n");
            root.directory(&format!("home/{user}"), USER, 0o700);
        }
        root.file("etc/passwd", &passwd, ROOT, 0o644);
        let group =
            format!("root:x:{ROOT}:\npostfix:x:{DAEMON}:\nDebian-exim:x:{DAEMON}:\npostdrop:x:{USER}:\n");
        root.file("etc/group", &group, ROOT, 0o644);
        // Nobody is asked for a name.
        let sources = "passwd: files\ngroup: files\nhosts: files\n";
        root.file("etc/nsswitch.conf", sources, ROOT, 0o644);
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn directory(&self, name: &str, owner: u32, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a directory");
        self.give(&path, owner, mode);
    }

    #[track_caller]
    fn file(&self, name: &str, content: &str, owner: u32, mode: u32) {
        let path = self.path(name);
        let mut file = File::create(&path).expect("a file");
        self.give(&path, owner, mode);
        file.write_all(content.as_bytes()).expect("write a file");
        // Postfix waits for a configuration that is still being written, by its age.
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("another time");
    }

    #[track_caller]
    fn give(&self, path: &Path, owner: u32, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
        chown(path, Some(owner), Some(owner)).expect("mail servers need root");
    }
}

/// The programs and their libraries.
#[track_caller]
fn tree_of(product: Product) -> PathBuf {
    let name = match product {
        Product::Postfix => "postfix",
        Product::Exim => "exim",
    };
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/mail-servers");
    let tree = servers.join(name).join("root");
    tree.canonicalize()
        .unwrap_or_else(|_| panic!("there is no {}: run `ci/mail-servers` first", tree.display()))
}
