//! A server that is a program, spoken to over its standard input and output.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::timeout;

use super::connection::{End, Fate};
use super::lines::{Lines, Unreadable};
use crate::command::serving::{Pipes, Serving, own_supervisor};
use crate::web::Secret;

/// How long the program's end is awaited after that of its output, and the other way round.
const GRACE: Duration = Duration::from_secs(1);
/// Values of the environment that are shorter are words like `true`, which errors may need.
const SHORTEST_SECRET: usize = 8;
/// Lines of standard error that an error message carries, and the bytes of each.
const LAST_LINES: usize = 4;
const LINE_BYTES: usize = 200;

/// A server that is a program: it reads messages from its standard input, one per line, and
/// writes them to its standard output.
///
/// The program starts with the first call that needs it, leads a process group of its own, and is
/// killed with it when the last handle of its server is dropped. It also dies with the process
/// that runs the agent, whatever kills that, provided its `main` begins with
/// [`enter_shim_if_asked`](crate::enter_shim_if_asked), or
/// [`with_supervisor`](Self::with_supervisor) names a program whose `main` does.
///
/// Up to 64 KiB between two messages that are none are overlooked, since programs greet; more is
/// not the protocol. The last lines of its standard error are part of the errors it causes.
#[derive(Clone)]
pub struct McpStdio {
    program: OsString,
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    supervisor: Option<PathBuf>,
}

impl McpStdio {
    /// A server that `program` is, run with `args`. No shell is involved.
    ///
    /// A program without a slash is looked up in `PATH`; a relative path is relative to the
    /// directory set with [`with_dir`](Self::with_dir).
    #[must_use]
    pub fn new<A>(program: impl Into<OsString>, args: A) -> Self
    where
        A: IntoIterator<Item: Into<OsString>>,
    {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            dir: None,
            env: Vec::new(),
            supervisor: None,
        }
    }

    /// Sets the directory the program starts in; default: that of this process.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds a variable to the environment of the program, which inherits that of this process.
    /// Values never show in `Debug` output, and those of 8 bytes and more in no error, even if the
    /// program prints them.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets the executable that supervises the program; its `main` must begin with
    /// [`enter_shim_if_asked`](crate::enter_shim_if_asked). Default: this executable, if its
    /// `main` does, else none.
    #[must_use]
    pub fn with_supervisor(mut self, executable: impl Into<PathBuf>) -> Self {
        self.supervisor = Some(executable.into());
        self
    }

    /// What the program may repeat, and nobody should see.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = self.env.iter().filter_map(|(_, value)| value.to_str());
        values.filter(|value| value.len() >= SHORTEST_SECRET)
    }

    /// Starts the program.
    pub(super) fn start(&self, message_bytes: usize, fate: Fate) -> io::Result<StdioTransport> {
        let supervisor = self.supervisor.clone().or_else(own_supervisor);
        let (program, pipes) = Serving::start(
            supervisor.as_deref(),
            &self.program,
            &self.args,
            |command| {
                if let Some(dir) = &self.dir {
                    command.current_dir(dir);
                }
                command.envs(self.env.iter().map(|(key, value)| (key, value)));
            },
        )?;
        Ok(StdioTransport::new(program, pipes, message_bytes, fate))
    }
}

impl fmt::Debug for McpStdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self
            .env
            .iter()
            .map(|(key, _)| (key, Secret::new("")))
            .collect();
        f.debug_struct("McpStdio")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("dir", &self.dir)
            .field("env", &env)
            .field("supervisor", &self.supervisor)
            .finish()
    }
}

/// The conversation with a running program, which is killed when it is dropped.
pub(super) struct StdioTransport {
    program: Serving,
    messages: Lines<ChildStdout>,
    /// Taken when it is closed.
    stdin: Arc<tokio::sync::Mutex<Option<pipe::Sender>>>,
    said: LastLines,
    /// How the program ended, once it has.
    ended: Option<String>,
    fate: Fate,
}

impl StdioTransport {
    fn new(program: Serving, pipes: Pipes, message_bytes: usize, fate: Fate) -> Self {
        let said = LastLines::default();
        tokio::spawn(said.clone().collect(pipes.stderr));
        Self {
            program,
            messages: Lines::new(pipes.stdout, message_bytes),
            stdin: Arc::new(tokio::sync::Mutex::new(Some(pipes.stdin))),
            said,
            ended: None,
            fate,
        }
    }

    /// The next message; an end that says why there is none.
    async fn next(&mut self) -> Result<RxJsonRpcMessage<RoleClient>, End> {
        let line = loop {
            if self.ended.is_some() {
                // What it wrote before its end is still in the pipe.
                let rest = timeout(GRACE, self.messages.next()).await;
                break rest.unwrap_or(Ok(None));
            }
            tokio::select! {
                biased;
                line = self.messages.next() => break line,
                how = self.program.ended() => self.ended = Some(how),
            }
        };
        match line {
            Ok(Some(line)) => serde_json::from_slice(&line)
                .map_err(|error| End::Spoiled(format!("a line is no message, {error}"))),
            Ok(None) => Err(self.gone().await),
            Err(Unreadable::TooLong(limit)) => Err(End::TooLong(limit)),
            Err(Unreadable::Noise) => {
                let what = "it prints what are no messages on its standard output";
                Err(End::Spoiled(what.to_owned()))
            }
            Err(Unreadable::Io(error)) => Err(End::Program(format!("cannot be read: {error}"))),
        }
    }

    async fn gone(&mut self) -> End {
        if self.ended.is_none() {
            self.ended = timeout(GRACE, self.program.ended()).await.ok();
        }
        let how = self.ended.as_deref();
        let how = how.unwrap_or("closed its standard output");
        End::Program(format!("{how}{}", self.said.as_text()))
    }
}

impl Transport<RoleClient> for StdioTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let stdin = Arc::clone(&self.stdin);
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            match stdin.lock().await.as_mut() {
                Some(stdin) => stdin.write_all(&line).await,
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        match self.next().await {
            Ok(message) => Some(message),
            Err(end) => {
                self.fate.seal(end);
                None
            }
        }
    }

    /// After a conversation that ended well the program may end by itself, as the protocol has it.
    async fn close(&mut self) -> io::Result<()> {
        if self.fate.end().is_some() {
            self.program.kill().await;
            return Ok(());
        }
        // A write that hangs holds the lock; then the program is not reading, either.
        if let Ok(mut stdin) = self.stdin.try_lock() {
            stdin.take();
        }
        match self.ended {
            Some(_) => self.program.kill().await,
            None => self.program.finish().await,
        }
        Ok(())
    }
}

/// The last lines of a program's standard error.
#[derive(Debug, Clone, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    async fn collect(self, mut from: ChildStderr) {
        let (mut chunk, mut line) = ([0; 1024], Vec::new());
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            for &byte in &chunk[..length] {
                match byte {
                    b'\n' => self.add(&std::mem::take(&mut line)),
                    _ if line.len() < LINE_BYTES => line.push(byte),
                    _ => {}
                }
            }
        }
        self.add(&line);
    }

    fn add(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim().to_owned();
        if line.is_empty() {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The end of an error message; empty if there are none.
    fn as_text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; last on standard error: {}", lines.join(" | "))
    }
}
