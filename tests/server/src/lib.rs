//! Starts real Redis and Valkey servers for a test, harms them, and stops them again.
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
//! | for | there is |
//! |---|---|
//! | one server | [`TestServer`], with TLS by `Builder::tls` (feature `tls`) |
//! | every release at hand | [`named_servers`] |
//! | a primary, replicas and Sentinels | [`SentinelSet`] |
//! | a cluster, and slots on the move | [`ClusterSet`], [`Migration`] |
//! | harm on the way to a server | `Proxy` (feature `faults`) |
//! | a network that can be cut | `proxied()` of either set (feature `faults`) |
//! | a look at a server from outside | [`TestServer::ask`], [`Connection`] |
//!
//! Needs a Unix with `sh`.

mod builder;
mod cluster;
mod error;
mod find;
mod launch;
#[cfg(feature = "faults")]
mod network;
mod port;
mod probe;
#[cfg(feature = "faults")]
mod proxy;
mod resp;
mod sentinel;
mod signal;
mod slot;
#[cfg(feature = "tls")]
mod tls;
mod wait;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use builder::Builder;
pub use cluster::{ClusterSet, ClusterSetBuilder, Migration};
pub use error::{SetError, StartError};
pub use find::{DEFAULT_NAME, ENV, ENV_ALL, NamedServer, find_binary, find_named, named_servers};
#[cfg(feature = "faults")]
pub use proxy::Proxy;
pub use resp::{Connection, Reply};
#[cfg(feature = "faults")]
pub use sentinel::Member;
pub use sentinel::{SentinelSet, SentinelSetBuilder};
pub use slot::{SLOTS, key_slot};
#[cfg(feature = "tls")]
pub use tls::{Identity, Tls};

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
            url: format!("redis://{login}127.0.0.1:{}", launch.port.port()),
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
        self.launch.port.port()
    }

    /// The port that speaks TLS, and what a client needs for it.
    ///
    /// # Panics
    /// If the server was not started with [`Builder::tls`].
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> &Tls {
        let tls = self.launch.tls.as_ref();
        &tls.expect("only a server started with `tls` speaks it").1
    }

    /// The server's process id; `None` after [`kill`](Self::kill).
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Running::pid)
    }

    /// The directory the server works in; its log is `server.log` there.
    pub fn dir(&self) -> &Path {
        &self.launch.dir
    }

    /// The password clients must give.
    pub fn password(&self) -> Option<&str> {
        self.launch.password.as_deref()
    }

    /// A plain connection that has given the password.
    ///
    /// # Errors
    /// The server does not listen or does not answer within 10 s.
    pub fn connect(&self) -> io::Result<Connection> {
        probe::connect(self.port(), self.password(), resp::PATIENCE)
    }

    /// Sends one command over a connection of its own; a refusal is an error.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`Connection::ask`].
    pub fn ask<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        self.connect()?.ask(words)
    }

    /// Like [`ask`](Self::ask), for a question that will be asked again: it waits at most 1 s.
    pub(crate) fn ask_briefly<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        probe::connect(self.port(), self.password(), probe::PATIENCE)?.ask(words)
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        self.launch.log_tail(0)
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
