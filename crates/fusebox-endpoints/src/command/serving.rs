//! A program that is asked many times over: its standard input and output stay open.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::process::{Ended, GRACE, Handle, signal_name};
use super::shim;

/// A running program. Dropping it kills the program's whole group; it also dies with this process
/// if it has a supervisor.
pub(crate) struct Serving {
    handle: Handle,
    // After `handle`, so that a drop kills before it closes the lifeline.
    lifeline: Option<OwnedWriteHalf>,
}

/// The program's side of a conversation.
pub(crate) struct Pipes {
    pub(crate) stdin: pipe::Sender,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Serving {
    /// Starts `program`, under a supervisor if there is one.
    pub(crate) fn start(
        supervisor: Option<&Path>,
        program: &OsStr,
        args: &[OsString],
        prepare: impl FnOnce(&mut Command),
    ) -> io::Result<(Self, Pipes)> {
        let (theirs, ours) = io::pipe()?;
        let (mut command, lifeline) = match supervisor {
            Some(executable) => {
                let (near, far) = std::os::unix::net::UnixStream::pair()?;
                shim::send_file(&near, theirs.as_fd())?;
                near.set_nonblocking(true)?;
                let mut command = shim::serving_command(executable, program, args);
                command.stdin(OwnedFd::from(far));
                (command, Some(UnixStream::from_std(near)?))
            }
            None => {
                let mut command = Command::new(program);
                command.args(args).stdin(OwnedFd::from(theirs));
                (command, None)
            }
        };
        prepare(&mut command);
        let (handle, lifeline, pipes) = Handle::start(command, lifeline)?;
        let stdin = pipe::Sender::from_owned_fd(ours.into())?;
        let missing = || io::Error::other("the program has no pipe");
        let pipes = Pipes {
            stdin,
            stdout: pipes.stdout.ok_or_else(missing)?,
            stderr: pipes.stderr.ok_or_else(missing)?,
        };
        let serving = Self { handle, lifeline };
        Ok((serving, pipes))
    }

    /// Waits for the program's end and says how it ended, to go on after "the program". Dropping
    /// the future loses nothing; it must not be asked again once it has answered.
    pub(crate) async fn ended(&mut self) -> String {
        match self.handle.ended().await {
            Ended::Code(code) => format!("exited with code {code}"),
            Ended::Signal(number) => format!("was killed by signal {}", signal_name(number)),
            Ended::NotStarted(error) => format!("cannot be started: {error}"),
            Ended::SupervisorLost => "died with its supervisor".to_owned(),
        }
    }

    /// Kills the program's group and waits for its end.
    pub(crate) async fn kill(&mut self) {
        self.handle.kill_group();
        drop(self.lifeline.take());
        self.handle.reap().await;
    }

    /// Gives a program whose standard input has been closed a second to end, then kills its group.
    pub(crate) async fn finish(&mut self) {
        let _ = timeout(GRACE, self.handle.ended()).await;
        self.kill().await;
    }
}

/// This executable, if its `main` made it a supervisor.
pub(crate) fn own_supervisor() -> Option<PathBuf> {
    shim::own_executable()
}
