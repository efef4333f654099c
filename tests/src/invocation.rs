//! The command while it runs, and what it has said in the end.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use serde_json::Value;

use crate::processes::signal;
use crate::wait::{AT_MOST, eventually};

/// A `fusebox` that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its arguments, for messages.
    pub args: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// Requires an exit code.
    ///
    /// # Panics
    /// It is another; the message has all that was said.
    pub fn exited(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// Standard output as the one JSON document it has to be.
    ///
    /// # Panics
    /// It is none, or more than one.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is no JSON document: {error}: {self}"))
    }

    /// Requires a text on standard error.
    ///
    /// # Panics
    /// It is not there.
    pub fn complains(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "not on standard error: {text}\n{self}"
        );
        self
    }

    /// Requires a text on standard output.
    ///
    /// # Panics
    /// It is not there.
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "not on standard output: {text}\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self
            .code
            .map_or("a signal".to_owned(), |code| code.to_string());
        write!(
            f,
            "fusebox {}\nended with {code}\n--- stdout\n{}--- stderr\n{}---",
            self.args, self.stdout, self.stderr
        )
    }
}

/// A `fusebox` that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    args: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// The lines of standard error seen so far.
    seen: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let stdout = lines(child.stdout.take().expect("it is piped"));
        let stderr = lines(child.stderr.take().expect("it is piped"));
        Self {
            args: args.join(" "),
            child,
            stdout,
            stderr,
            seen: String::new(),
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on standard output, without its end.
    ///
    /// # Panics
    /// It ends without one, or none comes within a minute.
    pub fn line(&mut self) -> String {
        match self.stdout.recv_timeout(AT_MOST) {
            Ok(line) => line.trim_end().to_owned(),
            Err(error) => panic!(
                "fusebox {}: no line on standard output ({error})",
                self.args
            ),
        }
    }

    /// Blocks until a line with `text` comes on standard error.
    ///
    /// # Panics
    /// It ends without one, or none comes within a minute.
    pub fn until(&mut self, text: &str) -> &mut Self {
        loop {
            match self.stderr.recv_timeout(AT_MOST) {
                Ok(line) => {
                    self.seen += &line;
                    if line.contains(text) {
                        return self;
                    }
                }
                Err(error) => panic!(
                    "fusebox {}: no line with `{text}` on standard error ({error}):\n{}",
                    self.args, self.seen
                ),
            }
        }
    }

    /// Sends SIGINT, as Ctrl-C does.
    ///
    /// # Panics
    /// It has ended already.
    pub fn interrupt(&self) {
        assert!(signal("INT", self.pid()), "it runs");
    }

    /// Kills it with SIGKILL, and it alone.
    ///
    /// # Panics
    /// The system does not let it be killed.
    #[must_use = "it may have ended before"]
    pub fn kill(mut self) -> Outcome {
        self.child.kill().expect("it is ours to kill");
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end within a minute.
    #[must_use = "an exit code is worth a look"]
    pub fn wait(mut self) -> Outcome {
        let status = eventually(&format!("the end of fusebox {}", self.args), || {
            self.child.try_wait().expect("it is our child")
        });
        let mut seen = std::mem::take(&mut self.seen);
        drain(&self.stderr, &mut seen);
        let mut stdout = String::new();
        drain(&self.stdout, &mut stdout);
        Outcome {
            args: self.args.clone(),
            code: status.code(),
            stdout,
            stderr: seen,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` there is nothing left to kill, and that is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines as they come; the channel ends with the stream.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

fn drain(lines: &Receiver<String>, into: &mut String) {
    loop {
        match lines.recv_timeout(AT_MOST) {
            Ok(line) => *into += &line,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                panic!("somebody holds an output of an ended fusebox open; so far:\n{into}")
            }
        }
    }
}
