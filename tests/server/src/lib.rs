//! Starts a real Redis or Valkey server for a test and stops it again.
//!
//! ```no_run
//! use fusebox_test_server::TestServer;
//!
//! let server = TestServer::start()?;
//! println!("{} answers as process {:?}", server.url(), server.pid());
//! server.kill(); // as a power cut would
//! server.restart()?; // same port, same directory
//! # Ok::<(), fusebox_test_server::StartError>(())
//! ```
//!
//! Every server listens on a free port of 127.0.0.1, works in a directory of its own and writes no
//! snapshot. It is gone when its [`TestServer`] is dropped, and also when the test process ends
//! without dropping anything, by `kill -9` for instance: see `launch.rs`.
//!
//! Which program is started: [`find_binary`]. `cargo xtask test` finds or fetches one. Tests that
//! start a server carry `redis` in their name, so that `cargo xtask test --no-redis` can name and
//! skip them.
//!
//! Needs a Unix with `sh`. Left to others: Sentinel, Cluster, TLS.

mod builder;
mod error;
mod find;
mod launch;
mod probe;
mod signal;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use builder::Builder;
pub use error::StartError;
pub use find::{DEFAULT_NAME, ENV, ENV_ALL, NamedServer, find_binary, find_named, named_servers};

use launch::{Launch, Running};

/// A running server; dropping it kills the process and removes its directory.
///
/// All methods take `&self`, so that one task may kill the server another one talks to.
#[derive(Debug)]
pub struct TestServer {
    launch: Launch,
    url: String,
    remove_dir: bool,
    running: Mutex<Option<Running>>,
}

impl TestServer {
    /// Starts a server without password and without append-only file; returns when it answers.
    ///
    /// # Errors
    /// No program to start, or none that answers within 10 s: see [`StartError`].
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Choices before the start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn from_parts(launch: Launch, running: Running, remove_dir: bool) -> Self {
        let login = match &launch.password {
            Some(password) => format!(":{password}@"),
            None => String::new(),
        };
        Self {
            url: format!("redis://{login}127.0.0.1:{}", launch.port),
            launch,
            remove_dir,
            running: Mutex::new(Some(running)),
        }
    }

    /// `redis://127.0.0.1:PORT`, with the password as it was given when there is one. The same
    /// after a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The TCP port. The same after a restart.
    pub fn port(&self) -> u16 {
        self.launch.port
    }

    /// The server's process id; `None` after [`kill`](Self::kill).
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Running::pid)
    }

    /// The directory the server works in; its log is `server.log` there.
    pub fn dir(&self) -> &Path {
        &self.launch.dir
    }

    /// Kills the server with SIGKILL and waits until it is gone; does nothing when it is already.
    ///
    /// Port and directory stay ours in name only: nothing listens until [`restart`](Self::restart).
    pub fn kill(&self) {
        if let Some(running) = self.running().take() {
            running.kill();
        }
    }

    /// Kills the server if it runs, and starts it again on the same port and directory.
    ///
    /// What it kept is there again with [`Builder::append_only`], otherwise it comes back empty.
    ///
    /// # Errors
    /// It does not answer within 10 s, for instance because another program took the port.
    pub fn restart(&self) -> Result<(), StartError> {
        let mut running = self.running();
        if let Some(old) = running.take() {
            old.kill();
        }
        *running = Some(self.launch.start_on_port()?);
        Ok(())
    }

    /// Stops the process with SIGSTOP: connections stay open and nothing answers.
    ///
    /// On Linux the process has stopped when this returns.
    ///
    /// # Panics
    /// If the server does not run or the signal cannot be sent.
    pub fn pause(&self) {
        let pid = self.pid().expect("pause needs a running server");
        signal::stop(pid).unwrap_or_else(|error| panic!("could not pause process {pid}: {error}"));
    }

    /// Lets a paused process go on with SIGCONT.
    ///
    /// # Panics
    /// If the server does not run or the signal cannot be sent.
    pub fn resume(&self) {
        let pid = self.pid().expect("resume needs a running server");
        signal::resume(pid)
            .unwrap_or_else(|error| panic!("could not resume process {pid}: {error}"));
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // A failed test must still be able to stop its server.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if self.remove_dir {
            remove(&self.launch.dir);
        }
    }
}

fn remove(dir: &PathBuf) {
    // A child that was rewriting the append-only file may still be writing: one more try.
    if fs::remove_dir_all(dir).is_err() {
        let _ = fs::remove_dir_all(dir);
    }
}
