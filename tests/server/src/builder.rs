//! Choices before the start.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::StartError;
use crate::find::find_binary;
use crate::launch::{Launch, Outcome};
use crate::{TestServer, remove};

/// How many free ports are tried before a lost race counts as an error.
const PORTS: u32 = 8;

/// What a [`TestServer`] is started with.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    append_only: bool,
    password: Option<String>,
    binary: Option<PathBuf>,
    dir: Option<PathBuf>,
    args: Vec<OsString>,
}

impl Builder {
    /// Keeps an append-only file, so that data outlives [`TestServer::restart`]. Default: `false`.
    ///
    /// Synced once a second: a killed process loses nothing, a power cut could.
    pub fn append_only(mut self, on: bool) -> Self {
        self.append_only = on;
        self
    }

    /// The password clients must give; it becomes part of [`TestServer::url`]. Default: none.
    ///
    /// It is put into the URL as it is: choose letters and digits.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The server program. Default: [`find_binary`].
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// The directory to work in, made if it is missing and kept afterwards. Default: a new one in
    /// the directory for temporary files, removed afterwards.
    pub fn dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.dir = Some(path.into());
        self
    }

    /// One more argument for the server, after ours: `.arg("--maxmemory").arg("1mb")`.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts the server and returns when it answers; at most about 10 s.
    ///
    /// # Errors
    /// See [`StartError`]; a directory made here is removed again.
    pub fn start(self) -> Result<TestServer, StartError> {
        let binary = match self.binary {
            Some(binary) => binary,
            None => find_binary()?,
        };
        let remove_dir = self.dir.is_none();
        let dir = match self.dir {
            Some(dir) => fs::create_dir_all(&dir)
                .map(|()| dir.clone())
                .map_err(|source| StartError::Dir { path: dir, source })?,
            None => temporary_dir()?,
        };
        let mut launch = Launch {
            binary,
            // The server changes into it, so the path has to hold from there too.
            dir: dir.canonicalize().unwrap_or(dir),
            port: 0,
            password: self.password,
            append_only: self.append_only,
            args: self.args,
            remove_dir,
        };
        let started = start_on_free_port(&mut launch);
        if started.is_err() && remove_dir {
            remove(&launch.dir);
        }
        Ok(TestServer::from_parts(launch, started?, remove_dir))
    }
}

fn start_on_free_port(launch: &mut Launch) -> Result<crate::launch::Running, StartError> {
    let mut tries = 0;
    loop {
        tries += 1;
        launch.port = free_port().map_err(|source| StartError::Spawn {
            binary: launch.binary.clone(),
            source,
        })?;
        match launch.start_once(crate::launch::limit()) {
            Outcome::Started(running) => return Ok(running),
            // Between our release and the server's bind somebody else may take the port.
            Outcome::PortTaken(_) if tries < PORTS => {}
            Outcome::PortTaken(error) | Outcome::Failed(error) => return Err(error),
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn temporary_dir() -> Result<PathBuf, StartError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let path = std::env::temp_dir().join(format!(
        "fusebox-test-server-{}-{}-{nanos}",
        process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed),
    ));
    match fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(StartError::Dir { path, source }),
    }
}
