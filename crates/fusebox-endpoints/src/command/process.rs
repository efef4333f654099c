//! One run of a program: started, fed, watched, killed with its group.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::output::{ReadError, Stderr, Stdout};
use super::shim;

/// How long the ends of the pipes, and of the supervisor, are awaited after the program's end.
/// Both come within a few milliseconds; only a process that left the group keeps a pipe open.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    /// It never ran.
    NotStarted(io::Error),
    /// Unknown, for the supervisor died first.
    SupervisorLost,
}

/// A running program. Dropping it kills the program's whole group.
pub(super) struct Process {
    handle: Handle,
    // After `handle`, so that a drop kills before it closes the lifeline.
    input: Option<Input>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

enum Input {
    /// The lifeline to the supervisor; closing it ends the program.
    Supervised(OwnedWriteHalf),
    /// The program's standard input itself.
    Direct(ChildStdin),
}

impl Process {
    /// Starts `program`, under a supervisor if there is one.
    pub(super) fn start(
        supervisor: Option<PathBuf>,
        program: &OsStr,
        args: &[OsString],
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let (mut command, lifeline) = match supervisor {
            Some(executable) => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                let mut command = shim::command(&executable, program, args);
                command.stdin(OwnedFd::from(theirs));
                (command, Some(UnixStream::from_std(ours)?))
            }
            None => {
                let mut command = Command::new(program);
                command.args(args).stdin(Stdio::piped());
                (command, None)
            }
        };
        prepare(&mut command);
        let (handle, lifeline, pipes) = Handle::start(command, lifeline)?;
        let input = match lifeline {
            Some(lifeline) => Some(Input::Supervised(lifeline)),
            None => pipes.stdin.map(Input::Direct),
        };
        Ok(Self {
            handle,
            input,
            stdout: pipes.stdout,
            stderr: pipes.stderr,
        })
    }

    /// Feeds the input and collects the output until the program and its group have ended.
    ///
    /// All four pipes are served at once: a program may print before it reads, or never read.
    pub(super) async fn run(
        &mut self,
        input: &[u8],
        stdout: &mut Stdout,
        stderr: &mut Stderr<'_>,
    ) -> Result<Ended, ReadError> {
        let (out, err) = (self.stdout.take(), self.stderr.take());
        let collect = async {
            let out = async {
                match out {
                    Some(out) => stdout.fill(out).await,
                    None => Ok(()),
                }
            };
            let err = async {
                match err {
                    Some(err) => stderr.fill(err).await,
                    None => Ok(()),
                }
            };
            tokio::try_join!(out, err).map(|_| ())
        };
        tokio::pin!(collect);
        let mut collected = false;
        let ended = {
            let feed = feed(&mut self.input, input);
            tokio::pin!(feed);
            let mut fed = false;
            loop {
                tokio::select! {
                    result = &mut collect, if !collected => { result?; collected = true; }
                    () = &mut feed, if !fed => fed = true,
                    ended = self.handle.ended() => break ended,
                }
            }
        };
        self.handle.kill_group();
        // The supervisor ends with its lifeline; only then do the pipes it passed on close.
        self.input = None;
        if !collected && let Ok(result) = timeout(GRACE, &mut collect).await {
            result?;
        }
        self.handle.reap().await;
        Ok(ended)
    }

    /// Kills the program's group and waits for the end of the program or its supervisor.
    pub(super) async fn kill(&mut self) {
        self.handle.kill_group();
        self.input = None;
        self.handle.reap().await;
    }
}

/// Writes the whole input. A program that does not read it is none the worse: what counts is how
/// it ends.
async fn feed(to: &mut Option<Input>, input: &[u8]) {
    match to {
        Some(Input::Supervised(lifeline)) => {
            let header = shim::header(input);
            if lifeline.write_all(&header).await.is_ok() {
                let _ = lifeline.write_all(input).await;
            }
            // Left open: it is the lifeline.
        }
        Some(Input::Direct(stdin)) => {
            let _ = stdin.write_all(input).await;
            *to = None;
        }
        None => {}
    }
}

/// The child process and what is needed to kill its group without hitting anybody else.
///
/// A group's number is free again once its last process is gone and its leader reaped. While
/// `group` is `Some`, the leader has not been reaped: by this process if it is the child itself,
/// by the supervisor, which never reaps it, otherwise.
pub(super) struct Handle {
    child: Child,
    group: Option<Pid>,
    watch: Watch,
}

enum Watch {
    Supervised(Lines<BufReader<OwnedReadHalf>>),
    /// Hears when any child of this process ends.
    Direct(tokio::signal::unix::Signal),
}

/// The ends of a started program's pipes that are on this side.
pub(super) struct Pipes {
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Handle {
    /// Starts a program, or its supervisor at the other end of `lifeline`, of which the half to
    /// write is given back.
    pub(super) fn start(
        mut command: Command,
        lifeline: Option<UnixStream>,
    ) -> io::Result<(Self, Option<OwnedWriteHalf>, Pipes)> {
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // Before the start, so that the end of the quickest program is heard.
        let children = signal(SignalKind::child())?;
        let mut child = command.spawn()?;
        // Together with the command goes this side's copy of the supervisor's end of the lifeline.
        drop(command);
        let pipes = Pipes {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        let (watch, group, lifeline) = match lifeline {
            Some(lifeline) => {
                let (reports, lifeline) = lifeline.into_split();
                let reports = BufReader::new(reports).lines();
                (Watch::Supervised(reports), None, Some(lifeline))
            }
            None => (Watch::Direct(children), child.id().and_then(pid), None),
        };
        let handle = Self {
            child,
            group,
            watch,
        };
        Ok((handle, lifeline, pipes))
    }

    /// Waits for the end of the program, without reaping it. Dropping the future loses nothing.
    pub(super) async fn ended(&mut self) -> Ended {
        match &mut self.watch {
            Watch::Supervised(reports) => loop {
                let report = match reports.next_line().await {
                    Ok(Some(line)) => shim::Report::parse(&line),
                    Ok(None) | Err(_) => None,
                };
                match report {
                    Some(shim::Report::Started(number)) => self.group = Pid::from_raw(number),
                    Some(shim::Report::NotStarted(number)) => {
                        return Ended::NotStarted(io::Error::from_raw_os_error(number));
                    }
                    Some(shim::Report::Exited(code)) => return Ended::Code(code),
                    Some(shim::Report::Signaled(number)) => return Ended::Signal(number),
                    // Its death also kills the program (on Linux) but not the rest of the group,
                    // so that is done here. The number cannot be reused that soon: numbers are
                    // given out in turn, and the rest of the group, if any, still holds it.
                    None => return Ended::SupervisorLost,
                }
            },
            Watch::Direct(children) => {
                if let Some(leader) = self.group {
                    loop {
                        match look(leader) {
                            Ok(Some(ended)) => return ended,
                            Ok(None) => {}
                            // Somebody else reaped it.
                            Err(_) => break,
                        }
                        if children.recv().await.is_none() {
                            break;
                        }
                    }
                }
                self.group = None;
                match self.child.wait().await {
                    Ok(status) => from_status(status),
                    Err(error) => Ended::NotStarted(error),
                }
            }
        }
    }

    pub(super) fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // An error means that nobody is left.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits a while for the end of the child. What takes longer is reaped by the runtime; a
    /// supervisor is not killed, for it may still have its program to kill.
    pub(super) async fn reap(&mut self) {
        let _ = timeout(GRACE, self.child.wait()).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A supervisor that has not yet said which group it started is left to end it itself, as
        // it does once the lifeline is closed.
        self.kill_group();
    }
}

fn look(leader: Pid) -> rustix::io::Result<Option<Ended>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = rustix::process::waitid(WaitId::Pid(leader), options)?;
    Ok(status.and_then(|status| {
        let code = status.exit_status().map(Ended::Code);
        code.or_else(|| status.terminating_signal().map(Ended::Signal))
    }))
}

fn from_status(status: std::process::ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, Some(number)) => Ended::Signal(number),
        (None, None) => Ended::SupervisorLost,
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// `9 (SIGKILL)`, or the number alone for the rarer ones.
pub(super) fn signal_name(number: i32) -> String {
    let name = match Signal::from_named_raw(number) {
        Some(Signal::HUP) => "SIGHUP",
        Some(Signal::INT) => "SIGINT",
        Some(Signal::QUIT) => "SIGQUIT",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::TRAP) => "SIGTRAP",
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::KILL) => "SIGKILL",
        Some(Signal::USR1) => "SIGUSR1",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::USR2) => "SIGUSR2",
        Some(Signal::PIPE) => "SIGPIPE",
        Some(Signal::ALARM) => "SIGALRM",
        Some(Signal::TERM) => "SIGTERM",
        Some(Signal::XCPU) => "SIGXCPU",
        Some(Signal::XFSZ) => "SIGXFSZ",
        Some(Signal::SYS) => "SIGSYS",
        _ => return number.to_string(),
    };
    format!("{number} ({name})")
}
