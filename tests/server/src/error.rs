//! Why no server runs, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a test server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// There is no server program.
    NoBinary {
        /// What `FUSEBOX_TEST_SERVER` names, if it is set.
        named: Option<PathBuf>,
    },
    /// `FUSEBOX_TEST_SERVERS` does not give what was asked for.
    Named {
        /// The name that is missing, or the entry that is not `NAME=PATH` of a file.
        entry: String,
    },
    /// The server's directory or its log could not be made.
    Dir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The process could not be started.
    Spawn {
        /// The server program.
        binary: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The process ended before it answered.
    Exited {
        /// The server program.
        binary: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// The server was built without TLS, and a port that speaks it was asked for.
    NoTls {
        /// The server program.
        binary: PathBuf,
    },
    /// The process runs and does not answer as it should.
    NotReady {
        /// The server program.
        binary: PathBuf,
        /// How long we asked.
        waited: Duration,
        /// What the last question gave.
        last: String,
        /// The last lines of its log.
        log: String,
    },
}

/// Why a set of servers is not as it should be.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetError {
    /// One of its servers did not start.
    Start(StartError),
    /// A server refused a command, or did not answer it.
    Refused {
        /// The command and whom it was sent to.
        command: String,
        /// The cause.
        source: io::Error,
    },
    /// The servers did not come to agree.
    NotReached {
        /// What was waited for.
        wanted: String,
        /// How long.
        waited: Duration,
        /// What they said last.
        last: String,
    },
    /// What was asked for cannot be had here.
    Unsupported {
        /// Why.
        reason: String,
    },
}

impl SetError {
    /// Adds the servers' own words to what was not reached.
    pub(crate) fn with_logs(mut self, logs: &[String]) -> Self {
        if let Self::NotReached { last, .. } = &mut self {
            for (number, log) in logs.iter().enumerate() {
                *last += &format!("\nthe log of {number} ends with\n{log}");
            }
        }
        self
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(_) => f.write_str("a server of the set did not start"),
            Self::Refused { command, .. } => write!(f, "`{command}` was not done"),
            Self::NotReached {
                wanted,
                waited,
                last,
            } => write!(f, "{wanted}: not reached within {waited:?} (last: {last})"),
            Self::Unsupported { reason } => f.write_str(reason),
        }
    }
}

impl Error for SetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(source) => Some(source),
            Self::Refused { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<StartError> for SetError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinary { named: None } => f.write_str(
                "no valkey-server or redis-server on PATH: run the tests with `cargo xtask test`, which \
                 finds or fetches one, or set FUSEBOX_TEST_SERVER=/path/to/redis-server",
            ),
            Self::NoBinary { named: Some(path) } => write!(
                f,
                "FUSEBOX_TEST_SERVER names no file: `{}`; set it to a redis-server or valkey-server, or \
                 unset it and run `cargo xtask test`, which finds or fetches one",
                path.display()
            ),
            Self::Named { entry } => write!(
                f,
                "FUSEBOX_TEST_SERVERS gives no program for `{entry}`: run the tests with `cargo xtask test`, \
                 take the value from `cargo xtask server --env`, or set it to NAME=/path/to/redis-server,..."
            ),
            Self::Dir { path, .. } => write!(
                f,
                "cannot write the test server's directory `{}`: free it or set TMPDIR",
                path.display()
            ),
            Self::Spawn { binary, .. } => write!(
                f,
                "cannot start `{}` through `sh`: check that both can be run",
                binary.display()
            ),
            Self::Exited { binary, status, log } => write!(
                f,
                "`{}` ended before it answered ({status}): try another server with \
                 FUSEBOX_TEST_SERVER=/path/to/redis-server; its log ends with\n{log}",
                binary.display()
            ),
            Self::NoTls { binary } => write!(
                f,
                "`{}` was built without TLS: give FUSEBOX_TEST_SERVERS an entry \
                 redis-7.0=/path/to/redis-server that has it, as the packages of most systems do; \
                 `cargo xtask server --version redis-7.0` fetches one on Debian 12",
                binary.display()
            ),
            Self::NotReady { binary, waited, last, log } => write!(
                f,
                "`{}` did not answer as itself within {waited:?} (last: {last}): \
                 FUSEBOX_TEST_SERVER must name the server, not a wrapper that forks; its log ends with\n{log}",
                binary.display()
            ),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dir { source, .. } | Self::Spawn { source, .. } => Some(source),
            _ => None,
        }
    }
}
