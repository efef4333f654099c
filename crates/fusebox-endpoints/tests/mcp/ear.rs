//! Hears what the tools of a server see.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;

use fusebox_endpoints::McpStdio;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::LONG;

pub(crate) struct Ear {
    path: PathBuf,
    lines: UnboundedReceiver<String>,
    _dir: TempDir,
}

impl Ear {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let path = dir.path().join("ear");
        let status = Command::new("mkfifo").arg(&path).status();
        assert!(status.expect("mkfifo is a standard tool").success());
        // Open for both, so that it does not end while nobody writes.
        let fifo = OpenOptions::new().read(true).write(true).open(&path);
        let mut fifo = BufReader::new(fifo.expect("the fifo opens"));
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while fifo.read_line(&mut line).is_ok_and(|length| length > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Self {
            path,
            lines,
            _dir: dir,
        }
    }

    /// The same server, heard.
    pub(crate) fn on(&self, stdio: McpStdio) -> McpStdio {
        stdio.with_env("MCP_WITNESS", &self.path)
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Waits for a line that begins with this word, and gives the process number behind it.
    pub(crate) async fn hears(&mut self, word: &str) -> i32 {
        loop {
            let line = timeout(LONG, self.lines.recv()).await;
            let line = line
                .expect("nothing more was heard")
                .expect("the ear is open");
            if let Some(number) = line.trim().strip_prefix(word) {
                return number.trim().parse().expect("a process number");
            }
        }
    }
}
