// SPDX-License-Identifier: MIT OR Apache-2.0
//! The shared library as a C program finds it: built for release, put in its place by `make install`, named by
//! pkg-config. And C programs (those of `tests/c`) that are compiled against it.

use crate::header::{self, project};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Where Debian has libraries, and other distributions something like it: not the default of `make install`.
const LIBDIR: &str = "/usr/lib/somewhere";

/// Number of the C ABI, as the header has it for C programs.
pub fn abi() -> u32 {
    let header = std::fs::read_to_string(&header::paths()[0]).expect("include/haproxy_email_alert.h");
    let number = header.lines().find_map(|line| line.strip_prefix("#define HAPROXY_EMAIL_ALERT_ABI "));
    number.and_then(|number| number.parse().ok()).expect("HAPROXY_EMAIL_ALERT_ABI")
}

/// Name of the library where programs ask for it when they start.
pub fn soname() -> String {
    format!("libhaproxy_email_alert.so.{}", abi())
}

/// The library, as users get it.
static RELEASE: LazyLock<PathBuf> = LazyLock::new(|| build(&["--release"], "", "release"));

/// The library with the names that make it panic.
static WITH_FAULTS: LazyLock<PathBuf> =
    LazyLock::new(|| build(&["--features", "fault-injection"], "fault-injection", "debug"));

/// The cargo that runs the tests, without the variables that it sets for them: build scripts that look at these (ring's does) would run
/// again, and with them all that depends on them.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Builds the library below `directory` of the target directory.
fn build(arguments: &[&str], directory: &str, profile: &str) -> PathBuf {
    let target = target_directory().join(directory);
    let mut command = cargo();
    // As build_library in ci/lib.sh does it.
    command.args(["build", "--quiet", "--locked", "--package", "haproxy-email-alert-capi"]);
    command.arg("--target-dir").arg(&target).args(arguments);
    succeed(command.current_dir(project()));
    target.join(profile).join("libhaproxy_email_alert.so")
}

/// The bytes of the library that a plain `cargo build --release` leaves, which builds everything that users get. Cargo unifies the features of
/// dependencies over the packages that it builds at once.
pub fn bytes_of_plain_build() -> Vec<u8> {
    // First, so that a different library of the plain build takes its place.
    LazyLock::force(&RELEASE);
    let mut command = cargo();
    command.args(["build", "--quiet", "--locked", "--release", "--target-dir"]).arg(target_directory());
    succeed(command.current_dir(project()));
    std::fs::read(&*RELEASE).expect("the library of the plain build")
}

/// Where Cargo puts what it builds.
pub fn target_directory() -> PathBuf {
    // A relative one is relative to the project.
    project().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// An installation below a directory of its own, which goes with it.
pub struct Library {
    root: tempfile::TempDir,
}

impl Library {
    /// The library as users get it.
    pub fn release() -> Self {
        Self::install(&RELEASE)
    }

    /// The library that panics when it is asked to.
    pub fn with_faults() -> Self {
        Self::install(&WITH_FAULTS)
    }

    fn install(library: &Path) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let mut make = Command::new("make");
        make.args(["--silent", "--no-print-directory", "install-library", "PREFIX=/usr"])
            .current_dir(project());
        make.arg(format!("LIBDIR={LIBDIR}")).arg(format!("LIBRARY={}", library.display()));
        // A make that runs this test has variables for its own children.
        make.env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .arg(format!("DESTDIR={}", root.path().display()));
        succeed(&mut make);
        Library { root }
    }

    /// The directory that has the installed library and its links.
    pub fn directory(&self) -> PathBuf {
        self.root.path().join(LIBDIR.trim_start_matches('/'))
    }

    /// The installed library, by the name that programs ask for when they start.
    pub fn file(&self) -> PathBuf {
        self.directory().join(soname())
    }

    /// The installed header.
    pub fn header(&self) -> PathBuf {
        self.root.path().join("usr/include/haproxy_email_alert.h")
    }

    /// An empty directory for the mails of one process. It goes with the library.
    pub fn mail_directory(&self) -> PathBuf {
        tempfile::tempdir_in(self.root.path()).expect("a directory").keep()
    }

    /// What pkg-config says of the installed library.
    pub fn pkg_config(&self, question: &str) -> Vec<String> {
        let output = succeed(
            Command::new("pkg-config")
                .args([question, "haproxy-email-alert"])
                .env("PKG_CONFIG_SYSROOT_DIR", self.root.path())
                .env("PKG_CONFIG_LIBDIR", self.directory().join("pkgconfig")),
        );
        let words = String::from_utf8(output.stdout).expect("UTF-8");
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// Compiles `<program>.c` of `tests/c`, with `<program>_*.c` and `common.c`.
    pub fn compile(&self, program: &str, flags: &[&str]) -> PathBuf {
        let sources = project().join("tests/c");
        let made = tempfile::Builder::new().prefix(program).tempfile_in(self.root.path()).expect("a file");
        // The compiler makes a file of its own, that can be executed.
        let made = made.into_temp_path().to_path_buf();
        let mut cc = Command::new("cc");
        cc.args(["-g", "-pthread", "-Wall", "-Wextra", "-Werror"]).args(flags);
        cc.args([sources.join(format!("{program}.c")), sources.join("common.c")]);
        let files = std::fs::read_dir(&sources).expect("tests/c").map(|file| file.expect("a file").path());
        cc.args(files.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{program}_")) && name.ends_with(".c")
        }));
        cc.arg("-o").arg(&made);
        succeed(cc.args(self.pkg_config("--cflags")).args(self.pkg_config("--libs")));
        made
    }

    /// The command that runs `program` with this library, under `tool` (which may be empty).
    pub fn run(&self, tool: &[&str], program: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Command {
        let words: Vec<&OsStr> = tool.iter().map(OsStr::new).chain([program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments).env("LD_LIBRARY_PATH", self.directory());
        command
    }
}

/// Runs a command that must exit with 0.
#[track_caller]
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{:?}: {error}; you probably forgot to run: ci/setup test", command.get_program())
    });
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a program of `tests/c` printed: `<word> <value>` in each line.
pub struct Facts(Vec<(String, String)>);

impl Facts {
    /// Those of an output.
    pub fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let facts = text.lines().filter_map(|line| line.split_once(' '));
        Facts(facts.map(|(word, value)| (word.to_owned(), value.to_owned())).collect())
    }

    /// All values of that word.
    pub fn all<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == word).map(|(_, value)| value.as_str())
    }

    /// The only value of that word, a number.
    #[track_caller]
    pub fn number(&self, word: &str) -> u64 {
        let values: Vec<&str> = self.all(word).collect();
        match values.as_slice() {
            [value] => value.parse().unwrap_or_else(|_| panic!("{word} {value} is no number")),
            _ => panic!("{word} is there {} times in {:?}", values.len(), self.0),
        }
    }
}
