//! Agents that are a program.

mod output;
mod process;
#[cfg(feature = "mcp")]
pub(crate) mod serving;
mod shim;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use rustix::io::Errno;
use serde_json::Value;
use tokio::process::Command;

use self::output::{Stderr, Stdout};
use self::process::{Ended, Process};

pub use self::output::{OutputFormat, UnreadableOutput};
pub use self::shim::enter_shim_if_asked;

/// Most bytes of standard output kept, unless told otherwise: far more than a reply should have,
/// far less than what hurts with dozens of agents at a time.
const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// An agent that runs a program once per call.
///
/// The program gets [`Task::input`] as one JSON document and a line feed on its standard input,
/// then the end of the file; it may leave it unread. Its standard output becomes the reply, see
/// [`OutputFormat`]; the lines of its standard error become progress (the first 1000, cut at 500
/// bytes each). It inherits the environment, and finds in it:
///
/// | variable | value |
/// |---|---|
/// | `FUSEBOX_RUN`, `FUSEBOX_STEP` | the run and the step |
/// | `FUSEBOX_ATTEMPT` | the number of the attempt, from 1 |
/// | `FUSEBOX_IDEMPOTENCY_KEY` | the same for every attempt at this step |
/// | `FUSEBOX_DEADLINE_MS` | milliseconds left when it started; unset without a deadline |
/// | `FUSEBOX_ARTIFACTS` | the directory for files; unset if there is none |
///
/// # How it ends
///
/// The program leads a process group of its own. The whole group is killed (SIGKILL) at the
/// deadline, on cancellation, when the future is dropped, when the output grows too large, and
/// after the program itself has ended. Only a process that moved itself into another group gets
/// away, and it does not delay the answer for longer than a second.
///
/// If the process that runs the agent dies, so does the group, provided its `main` begins with
/// [`enter_shim_if_asked`] (or [`with_supervisor`](Self::with_supervisor) names a program whose
/// `main` does). Without, a program survives a process killed with SIGKILL.
///
/// # Errors
///
/// | what happened | kind | may have run | retryable |
/// |---|---|---|---|
/// | program not found or not executable, no such directory | `invalid_input` | no | no |
/// | no process or file handle left to start it | `resource_exhausted` | no | yes |
/// | exit code 64, 65, 66, 77 or 78 (wrong usage, data, input, permission, configuration in `sysexits.h`) | `invalid_input` | yes | no |
/// | any other exit code but 0 | `failed` | yes | yes |
/// | died by a signal, or its supervisor did | `crashed` | yes | yes |
/// | no JSON where JSON was expected, no UTF-8 | `invalid_output` | yes | yes |
/// | too much output | `invalid_output` | yes | no |
/// | deadline, cancellation | `timed_out`, `cancelled` | yes | yes, no |
///
/// The message carries the last lines of standard error.
///
/// # Panics
/// `call` panics outside a Tokio runtime with its I/O and time drivers on.
pub struct CommandAgent {
    description: Description,
    program: OsString,
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
    format: OutputFormat,
    max_output: usize,
    supervisor: Option<PathBuf>,
}

impl CommandAgent {
    /// An agent that runs `program` with `args`. No shell is involved.
    ///
    /// A program without a slash is looked up in `PATH`; a relative path is relative to the
    /// directory set with [`with_dir`](Self::with_dir).
    #[must_use]
    pub fn new<A>(name: impl Into<String>, program: impl Into<OsString>, args: A) -> Self
    where
        A: IntoIterator<Item: Into<OsString>>,
    {
        Self {
            description: Description::new(name, "command"),
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            dir: None,
            env: Vec::new(),
            format: OutputFormat::default(),
            max_output: MAX_OUTPUT,
            supervisor: None,
        }
    }

    /// Sets the directory the program starts in; default: that of this process.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds a variable to the environment of the program. Values never show in `Debug` output or
    /// errors.
    #[must_use]
    pub fn with_env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets how standard output is read; default [`OutputFormat::Json`].
    #[must_use]
    pub fn with_output(mut self, format: OutputFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the most bytes of standard output that are taken; default 8 MiB. One byte more, and
    /// the program is killed.
    #[must_use]
    pub fn with_max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// Describes the input with a JSON Schema, for the guard to check.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Describes the reply with a JSON Schema, for the guard to check.
    #[must_use]
    pub fn with_output_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// Sets the executable that supervises the program; its `main` must begin with
    /// [`enter_shim_if_asked`]. Default: this executable, if its `main` does, else none.
    #[must_use]
    pub fn with_supervisor(mut self, executable: impl Into<PathBuf>) -> Self {
        self.supervisor = Some(executable.into());
        self
    }

    fn start(&self, cx: &Context) -> Result<Process, AgentError> {
        if let Some(dir) = self.dir.as_ref().filter(|dir| !dir.is_dir()) {
            let message = format!("program `{self}`: no such directory `{}`", dir.display());
            return Err(AgentError::invalid_input(message));
        }
        let supervisor = self.supervisor.clone().or_else(shim::own_executable);
        let under = match &supervisor {
            Some(executable) => format!(" under supervisor `{}`", executable.display()),
            None => String::new(),
        };
        let started = Process::start(supervisor, &self.program, &self.args, |command| {
            self.prepare(command, cx);
        });
        started.map_err(|error| self.not_started(error, &under))
    }

    fn prepare(&self, command: &mut Command, cx: &Context) {
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.env("FUSEBOX_RUN", cx.run_id());
        command.env("FUSEBOX_STEP", cx.step());
        command.env("FUSEBOX_ATTEMPT", cx.attempt().to_string());
        command.env("FUSEBOX_IDEMPOTENCY_KEY", cx.idempotency_key());
        // Taken away when absent, or an agent within an agent would see the values of the outer.
        match cx.remaining() {
            Some(left) => command.env("FUSEBOX_DEADLINE_MS", left.as_millis().to_string()),
            None => command.env_remove("FUSEBOX_DEADLINE_MS"),
        };
        match cx.artifacts() {
            Some(directory) => command.env("FUSEBOX_ARTIFACTS", directory),
            None => command.env_remove("FUSEBOX_ARTIFACTS"),
        };
    }

    /// Judges how the program ended, and reads what it printed if it ended well.
    fn judge(&self, ended: Ended, stdout: Stdout, stderr: &Stderr) -> Result<Reply, AgentError> {
        let last = stderr.last_lines();
        match ended {
            Ended::Code(0) => match self.format.read(stdout.into_bytes()) {
                Ok(output) => Ok(Reply::new(output)),
                Err(why) => Err(AgentError::invalid_output(format!(
                    "program `{self}` {why}{last}"
                ))),
            },
            Ended::Code(code) => {
                let message = format!("program `{self}` exited with code {code}{last}");
                Err(match code {
                    64..=66 | 77 | 78 => AgentError::invalid_input(message).may_have_run(true),
                    _ => AgentError::failed(message),
                })
            }
            Ended::Signal(number) => Err(AgentError::crashed(format!(
                "program `{self}` was killed by signal {}{last}",
                process::signal_name(number)
            ))),
            Ended::NotStarted(error) => Err(self.not_started(error, "")),
            Ended::SupervisorLost => Err(AgentError::crashed(format!(
                "the supervisor of program `{self}` died, and the program with it{last}"
            ))),
        }
    }

    fn not_started(&self, error: std::io::Error, under: &str) -> AgentError {
        let message = format!("program `{self}` cannot be started{under}: {error}");
        // What passes by itself: no more processes, file handles or memory just now.
        let error = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                AgentError::resource_exhausted(message).with_source(error)
            }
            _ => AgentError::invalid_input(message).with_source(error),
        };
        error.may_have_run(false)
    }
}

#[async_trait]
impl Agent for CommandAgent {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.check()?;
        let mut input = serde_json::to_vec(&task.input).map_err(|error| {
            AgentError::invalid_input("input cannot be written as json").with_source(error)
        })?;
        input.push(b'\n'); // so that a shell's `read` takes it
        let mut process = self.start(cx)?;
        let mut stdout = Stdout::new(self.max_output);
        let mut stderr = Stderr::new(cx);
        let result = tokio::select! {
            biased;
            result = process.run(&input, &mut stdout, &mut stderr) => result,
            interrupted = cx.interrupted() => {
                process.kill().await;
                let message = format!("program `{self}` was killed: {interrupted}{}", stderr.last_lines());
                return Err(interrupted.with_message(message));
            }
        };
        match result {
            Ok(ended) => self.judge(ended, stdout, &stderr),
            Err(error) => {
                process.kill().await;
                Err(error.into_agent_error(self, &stderr.last_lines()))
            }
        }
    }
}

/// The program's name, as errors show it: without arguments, which may be long or secret.
impl fmt::Display for CommandAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())
    }
}

impl fmt::Debug for CommandAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Redacted;
        impl fmt::Debug for Redacted {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[redacted]")
            }
        }
        let env: Vec<_> = self.env.iter().map(|(key, _)| (key, Redacted)).collect();
        f.debug_struct("CommandAgent")
            .field("description", &self.description)
            .field("program", &self.program)
            .field("args", &self.args)
            .field("dir", &self.dir)
            .field("env", &env)
            .field("format", &self.format)
            .field("max_output", &self.max_output)
            .field("supervisor", &self.supervisor)
            .finish()
    }
}
