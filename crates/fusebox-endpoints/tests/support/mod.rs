//! What the tests of commands share.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use fusebox_endpoints::CommandAgent;
use tempfile::TempDir;

/// Long enough for any machine; reached only when a test is about to fail.
const AT_MOST: Duration = Duration::from_secs(60);

/// The example whose `main` begins with `enter_shim_if_asked`; cargo builds it with the tests.
pub(crate) fn run_command() -> PathBuf {
    example("run_command", "command")
}

/// An example of this crate; cargo builds them with the tests.
pub(crate) fn example(name: &str, feature: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test runs from a file");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let example = target.join("examples").join(name);
    assert!(
        example.exists(),
        "{} is missing, build it with `cargo build -p fusebox-endpoints --features {feature} --example {name}`",
        example.display()
    );
    example
}

/// Whether a program runs directly under the test or under a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Direct,
    Supervised,
}

impl Mode {
    pub(crate) fn agent(self, program: &str, args: &[&str]) -> CommandAgent {
        let agent = CommandAgent::new("agent", program, args);
        match self {
            Self::Direct => agent,
            Self::Supervised => agent.with_supervisor(run_command()),
        }
    }

    pub(crate) fn sh(self, script: &str) -> CommandAgent {
        self.agent("sh", &["-c", script])
    }
}

/// Tells when a program is up and when it and all its descendants are gone: they hold the write
/// end of a FIFO, whose end comes when the last of them has died.
pub(crate) struct Witness {
    dir: TempDir,
    lines: Mutex<Receiver<String>>,
}

impl Witness {
    /// What a script begins with, to hold the FIFO under number 9.
    pub(crate) const HOLD: &str = r#"exec 9>"$WITNESS";"#;
    const GONE: &str = "(gone)";

    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let fifo = dir.path().join("witness");
        let status = Command::new("mkfifo").arg(&fifo).status();
        assert!(status.expect("mkfifo is a standard tool").success());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut fifo = BufReader::new(File::open(fifo).expect("the fifo opens"));
            let mut line = String::new();
            fifo.read_line(&mut line).expect("the fifo reads");
            let _ = sender.send(line.trim().to_owned());
            fifo.read_to_end(&mut Vec::new()).expect("the fifo reads");
            let _ = sender.send(Self::GONE.to_owned());
        });
        let lines = Mutex::new(lines);
        Self { dir, lines }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("witness")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Blocks until a script has written its first line to the FIFO, and returns it.
    pub(crate) fn first_line(&self) -> String {
        self.next().expect("the program never came up")
    }

    /// Blocks until nobody holds the FIFO any more.
    pub(crate) fn gone(&self) {
        assert_eq!(self.next().as_deref(), Ok(Self::GONE), "somebody survived");
    }

    fn next(&self) -> Result<String, RecvTimeoutError> {
        let lines = self.lines.lock().expect("no other test shares it");
        lines.recv_timeout(AT_MOST)
    }
}
