//! One test's own place: a directory, a mark on its processes, a store.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::binary::binary;
use crate::invocation::{Outcome, Running};
use crate::processes::{MARK, Process, marked, signal};
use crate::wait::within_limit;
use crate::witness::Call;
use crate::workspace::isolate;

/// One test's own place. The command runs in its directory, with its state directory there.
///
/// Dropping it ends whatever the test has left running and removes the directory.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
    mark: String,
    state: Option<String>,
    env: BTreeMap<OsString, OsString>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// A place whose runs are kept in an embedded store.
    ///
    /// # Panics
    /// No directory can be made.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let mark = dir.path().display().to_string();
        Self {
            dir,
            mark,
            state: None,
            env: BTreeMap::new(),
        }
    }

    /// Keeps the runs in the store at `url` instead.
    #[must_use]
    pub fn with_store(mut self, url: &str) -> Self {
        self.state = Some(url.to_owned());
        self
    }

    /// Gives every `fusebox` a variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What `--state-dir` says; not there before the first run.
    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a file, and says where.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("the test's directory can be written");
        path
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// It does not end within a minute.
    #[must_use = "an exit code is worth a look"]
    pub fn fusebox(&self, args: &[&str]) -> Outcome {
        self.start(args).wait()
    }

    /// Starts the command.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut all: Vec<_> = args.iter().map(OsString::from).collect();
        // The other verbs have no state, and a graph has one only where a run is drawn.
        let is_of_run = args.contains(&"--run");
        let has_state = matches!(
            args.first(),
            Some(
                &("run"
                    | "resume"
                    | "approve"
                    | "cancel"
                    | "breakers"
                    | "show"
                    | "runs"
                    | "serve"
                    | "state")
            )
        );
        if has_state || is_of_run {
            all.extend(["--state-dir".into(), self.state_dir().into()]);
            if let Some(url) = &self.state {
                all.extend(["--state".into(), url.into()]);
            }
        }
        self.start_with(&all)
    }

    /// Starts the command with no other arguments than these, wherever they say that runs are kept.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start_as_is(&self, args: &[&str]) -> Running {
        let all: Vec<_> = args.iter().map(OsString::from).collect();
        self.start_with(&all)
    }

    /// Starts the command in a terminal of so many columns and rows, with no other arguments than these.
    ///
    /// # Panics
    /// It cannot be started.
    #[cfg(unix)]
    pub fn start_in_terminal(&self, args: &[&str], columns: u16, rows: u16) -> crate::Terminal {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let mut command = self.command(&args);
        // The caller's, not the test's.
        if !self.env.contains_key(OsStr::new("NO_COLOR")) {
            command.env_remove("NO_COLOR");
        }
        crate::Terminal::start(command, columns, rows)
    }

    fn start_with(&self, args: &[OsString]) -> Running {
        Running::start(self.command(args))
    }

    fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.path());
        isolate(&mut command);
        command.env(MARK, &self.mark).envs(&self.env);
        command
    }

    /// Where [`calls`](Self::calls) looks; to be given to `--execution-log`.
    pub fn execution_log(&self) -> String {
        let path = self.path().join("executions.log");
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// The calls of agents so far, from the execution log.
    ///
    /// # Panics
    /// A line is not as documented.
    pub fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.execution_log()).unwrap_or_default();
        text.lines()
            .map(|line| Call::parse(line).unwrap_or_else(|| panic!("execution log: {line}")))
            .collect()
    }

    /// The processes that live here now: each `fusebox`, and whatever those have started.
    pub fn processes(&self) -> Vec<Process> {
        marked(&self.mark)
    }

    /// Waits until no process that was started from here is left.
    ///
    /// # Panics
    /// One is still there after a minute.
    pub fn assert_nobody_left(&self) {
        let gone = within_limit(|| self.processes().is_empty().then_some(()));
        let left: Vec<_> = self.processes().iter().map(ToString::to_string).collect();
        assert!(gone.is_some(), "left behind: {}", left.join(", "));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Only a test that failed leaves any.
        for process in self.processes() {
            signal("KILL", process.pid);
        }
    }
}
