//! The process and its lifeline.
//!
//! The server must not outlive the test process, not even one that is killed with SIGKILL and so
//! can clean up nothing. `sh` therefore leaves a watcher beside the server before it becomes the
//! server (`exec`: the child's process id is the server's). The watcher reads a pipe whose other
//! end only the test process holds:
//!
//! - a line means "the server is gone, and I waited for it": the watcher just ends;
//! - the end of the pipe without a line means that the test process died: it kills the server,
//!   removes the temporary directory and ends.
//!
//! The line matters: after we waited for the server its process id may belong to somebody else.
//! The watcher is nobody's child but init's, so the server never sees it; it holds its standard
//! output open for as long as it lives, and that is how we wait for its end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::port::Reserved;
use crate::probe;

const START_LIMIT: Duration = Duration::from_secs(10);
/// Between two questions: nothing tells us that a server is ready but its answer.
const POLL: Duration = Duration::from_millis(5);
const LOG_TAIL: usize = 2048;

/// `$1` is the log, `$2` the directory to remove or nothing, the rest is the server's command.
/// SIGINT and SIGTERM often go to a whole process group; the watcher has to outlive those.
const LIFELINE: &str = r#"
log=$1 dir=$2
shift 2
exec 3<&0
(
  (
    trap '' HUP INT TERM
    exec 2>/dev/null
    read -r _ <&3 && exit 0
    kill -9 $$
    [ -z "$dir" ] || rm -rf "$dir"
  ) &
)
exec "$@" </dev/null >>"$log" 2>&1 3<&-
"#;

/// Everything needed to start the same server again.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) port: Reserved,
    pub(crate) password: Option<String>,
    /// What the server gets after its program's name.
    pub(crate) args: Vec<OsString>,
    pub(crate) remove_dir: bool,
    /// The second port, if there is one, and what speaks on it.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<(Reserved, crate::tls::Tls)>,
}

/// What one try gave; a taken port is worth another one.
pub(crate) enum Outcome {
    Started(Running),
    PortTaken(StartError),
    Failed(StartError),
}

/// The moment after which a start that began now has failed.
pub(crate) fn limit() -> Instant {
    Instant::now() + START_LIMIT
}

impl Launch {
    /// Starts on the port of `self`, waiting for it if another program has it for a moment: see
    /// `port.rs`.
    pub(crate) fn start_on_port(&self) -> Result<Running, StartError> {
        let until = limit();
        loop {
            match self.start_once(until) {
                Outcome::Started(running) => return Ok(running),
                Outcome::PortTaken(_) if Instant::now() < until => thread::sleep(POLL),
                Outcome::PortTaken(error) | Outcome::Failed(error) => return Err(error),
            }
        }
    }

    /// One start: the process, and questions until it answers as itself.
    pub(crate) fn start_once(&self, until: Instant) -> Outcome {
        let began = Instant::now();
        let log_start = fs::metadata(self.log()).map_or(0, |data| data.len());
        let mut running = match self.spawn() {
            Ok(running) => running,
            Err(error) => return Outcome::Failed(error),
        };
        loop {
            match running.exited() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    let log = self.log_tail(log_start);
                    running.kill();
                    let taken = log.contains("ddress already in use");
                    let binary = self.binary.clone();
                    // Newer servers know the option even where they cannot do it, older ones do not.
                    let no_tls =
                        log.contains("Failed finding TLS support") || log.contains(">>> 'tls-port");
                    let error = match no_tls {
                        true => StartError::NoTls { binary },
                        false => StartError::Exited {
                            binary,
                            status,
                            log,
                        },
                    };
                    return if taken {
                        Outcome::PortTaken(error)
                    } else {
                        Outcome::Failed(error)
                    };
                }
                Err(source) => {
                    running.kill();
                    let binary = self.binary.clone();
                    return Outcome::Failed(StartError::Spawn { binary, source });
                }
            }
            let last = match probe::process_id(self.port.port(), self.password.as_deref()) {
                Ok(pid) if pid == running.pid() => return Outcome::Started(running),
                // Somebody else listens there; our own server is about to notice and end.
                Ok(pid) => format!("process {pid} answered"),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= until {
                let log = self.log_tail(log_start);
                running.kill();
                let (binary, waited) = (self.binary.clone(), began.elapsed());
                return Outcome::Failed(StartError::NotReady {
                    binary,
                    waited,
                    last,
                    log,
                });
            }
            thread::sleep(POLL);
        }
    }

    fn spawn(&self) -> Result<Running, StartError> {
        let log = self.log();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|source| StartError::Dir {
                path: self.dir.clone(),
                source,
            })?;
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(LIFELINE)
            .arg("fusebox-test-server")
            .arg(&log);
        command.arg(if self.remove_dir {
            self.dir.as_os_str()
        } else {
            "".as_ref()
        });
        command.arg(&self.binary).args(&self.args);
        // Servers refuse to start under a locale that is not installed.
        command.env("LC_ALL", "C");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| StartError::Spawn {
                binary: self.binary.clone(),
                source,
            })?;
        let lifeline = child.stdin.take();
        Ok(Running { child, lifeline })
    }

    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// The end of what was logged after the first `start` bytes.
    pub(crate) fn log_tail(&self, start: u64) -> String {
        let written = File::open(self.log()).and_then(|mut file| {
            io::copy(&mut (&mut file).take(start), &mut io::sink())?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let bytes = written.unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    }
}

/// The server's process and the pipe that keeps it alive.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lifeline: Option<std::process::ChildStdin>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills the server, waits for it and for its watcher.
    pub(crate) fn kill(mut self) {
        // Fails only for a process that has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(mut lifeline) = self.lifeline.take() {
            let _ = lifeline.write_all(b"\n");
        }
        if let Some(mut watcher) = self.child.stdout.take() {
            let _ = io::copy(&mut watcher, &mut io::sink());
        }
    }
}
