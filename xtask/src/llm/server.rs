//! The model's server, while it is needed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::prepare::{MODEL, Prepared};

const PROGRAM: &str = "tests/llm/serve.py";
/// A cold start reads the model from the disk.
const START: Duration = Duration::from_secs(120);
/// It ends by itself after this long, whatever became of us.
const LIFE_SECONDS: &str = "3600";

/// A running server. Dropping it stops it; it also ends when this process does.
pub(crate) struct Server {
    child: Child,
    /// Below it there is `chat/completions`.
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(prepared: &Prepared) -> Result<Self> {
        let mut python = Command::new(&prepared.python);
        python
            .arg(PROGRAM)
            .arg(&prepared.weights)
            .args([MODEL, LIFE_SECONDS]);
        // Threads that spin while they wait starve everything else on a small machine.
        python
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("HF_HUB_OFFLINE", "1");
        let mut child = python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the model's server")?;
        let stdout = child.stdout.take().expect("it was piped");
        let mut server = Self {
            child,
            url: String::new(),
        };
        let (sender, line) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(START).unwrap_or_default();
        server.url = line.trim().to_owned();
        match server.url.starts_with("http://") {
            true => Ok(server),
            false => Err(anyhow!(
                "the model's server did not say where it listens; see above"
            )),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
