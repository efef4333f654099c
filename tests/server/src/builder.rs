//! Choices before the start.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::StartError;
use crate::find::find_binary;
use crate::launch::{Launch, Outcome, Running};
use crate::port::Reserved;
use crate::{TestServer, remove};
#[cfg(feature = "tls")]
use crate::{
    find::find_named,
    tls::{self, SERVER, Tls},
};

/// How many free ports are tried before a lost race counts as an error.
const PORTS: u32 = 8;

/// What a [`TestServer`] is started with.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    role: Role,
    append_only: bool,
    password: Option<String>,
    binary: Option<PathBuf>,
    dir: Option<PathBuf>,
    config: Vec<String>,
    args: Vec<OsString>,
    source: Option<Ipv4Addr>,
    #[cfg(feature = "tls")]
    tls: Option<Encryption>,
}

/// What the TLS port asks of its clients.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    ServerOnly,
    ClientCertificate,
}

/// What the program is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// A server by itself, or with replicas.
    #[default]
    Data,
    /// A member of a cluster.
    ClusterNode,
    /// A Sentinel.
    Sentinel,
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

    /// One line of the server's configuration file: `.config("user app on >secret ~* &* +@all")`.
    ///
    /// The file is written at the start only: what the server itself changes there with CONFIG
    /// REWRITE is what it finds after [`TestServer::restart`].
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// One more argument for the server, after ours: `.arg("--maxmemory").arg("1mb")`.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Opens a second port that speaks TLS, with certificates made for this server:
    /// [`TestServer::tls`]. The plain port stays, for looking at the server from outside.
    ///
    /// Needs a server built with TLS, as `redis-7.0` of [`ENV_ALL`](crate::ENV_ALL) is, which is
    /// the default here where that variable names it. Those of the other names have none.
    #[cfg(feature = "tls")]
    pub fn tls(mut self) -> Self {
        self.tls.get_or_insert(Encryption::ServerOnly);
        self
    }

    /// Like [`tls`](Self::tls), and the port asks clients for a certificate: [`Tls::client`].
    ///
    /// [`Tls::client`]: crate::Tls::client
    #[cfg(feature = "tls")]
    pub fn tls_with_client_certificate(mut self) -> Self {
        self.tls = Some(Encryption::ClientCertificate);
        self
    }

    /// Starts the server and returns when it answers; at most about 10 s.
    ///
    /// # Errors
    /// See [`StartError`]; a directory made here is removed again.
    pub fn start(self) -> Result<TestServer, StartError> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => self.default_binary()?,
        };
        let remove_dir = self.dir.is_none();
        let dir = match &self.dir {
            Some(dir) => fs::create_dir_all(dir)
                .map(|()| dir.clone())
                .map_err(|source| dir_error(dir, source))?,
            None => temporary_dir()?,
        };
        // The server changes into it, so the path has to hold from there too.
        let dir = dir.canonicalize().unwrap_or(dir);
        let started = self.start_on_free_port(binary, &dir, remove_dir);
        if started.is_err() && remove_dir {
            remove(&dir);
        }
        let (launch, running) = started?;
        Ok(TestServer::from_parts(launch, running, remove_dir))
    }

    pub(crate) fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The address of this machine that the server's own connections come from.
    #[cfg(feature = "faults")]
    pub(crate) fn source(mut self, address: Ipv4Addr) -> Self {
        self.source = Some(address);
        self
    }

    fn start_on_free_port(
        &self,
        binary: PathBuf,
        dir: &Path,
        remove_dir: bool,
    ) -> Result<(Launch, Running), StartError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = self.reserve().map_err(|source| StartError::Spawn {
                binary: binary.clone(),
                source,
            })?;
            #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "TLS adds to it"))]
            let mut launch = Launch {
                args: self.arguments(&binary, dir, port.port())?,
                binary: binary.clone(),
                dir: dir.to_owned(),
                port,
                password: self.password.clone(),
                remove_dir,
                #[cfg(feature = "tls")]
                tls: None,
            };
            #[cfg(feature = "tls")]
            self.encrypt(&mut launch)?;
            match launch.start_once(crate::launch::limit()) {
                Outcome::Started(running) => return Ok((launch, running)),
                // Where a port cannot be held, somebody else may take it before the server does.
                Outcome::PortTaken(_) if tries < PORTS => {}
                Outcome::PortTaken(error) | Outcome::Failed(error) => return Err(error),
            }
        }
    }

    #[cfg(feature = "tls")]
    fn default_binary(&self) -> Result<PathBuf, StartError> {
        match self.tls {
            Some(_) => find_named(SERVER).or_else(|_| find_binary()),
            None => find_binary(),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn default_binary(&self) -> Result<PathBuf, StartError> {
        find_binary()
    }

    /// Adds the TLS port, if one is wished for, its certificates and arguments.
    #[cfg(feature = "tls")]
    fn encrypt(&self, launch: &mut Launch) -> Result<(), StartError> {
        let Some(encryption) = self.tls else {
            return Ok(());
        };
        let port = Reserved::free().map_err(|source| StartError::Spawn {
            binary: launch.binary.clone(),
            source,
        })?;
        let tls = Tls::make(&launch.dir, port.port(), self.password.as_deref())?;
        let client_certificate = encryption == Encryption::ClientCertificate;
        let args = tls::arguments(&launch.dir, port.port(), client_certificate);
        launch.args.extend(args.into_iter().map(OsString::from));
        launch.tls = Some((port, tls));
        Ok(())
    }

    fn reserve(&self) -> io::Result<Reserved> {
        match self.role {
            Role::ClusterNode => Reserved::with_bus(),
            Role::Data | Role::Sentinel => Reserved::free(),
        }
    }

    /// Writes the configuration file if there is something for it; gives the arguments.
    fn arguments(&self, binary: &Path, dir: &Path, port: u16) -> Result<Vec<OsString>, StartError> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        // A Sentinel keeps what it learns in its file and does not start without one.
        if self.role == Role::Sentinel || !self.config.is_empty() {
            let file = dir.join("server.conf");
            let text = self.config.join("\n") + "\n";
            fs::write(&file, text).map_err(|source| dir_error(dir, source))?;
            add(&[&file.to_string_lossy()]);
        }
        if self.role == Role::Sentinel {
            add(&["--sentinel"]);
        }
        let port = port.to_string();
        let dir = dir.to_string_lossy();
        add(&["--port", &port, "--dir", &dir, "--daemonize", "no"]);
        match self.source.map(|address| address.to_string()) {
            None => add(&["--bind", "127.0.0.1"]),
            // Before 7.0 a server's connections come from the first address it listens on.
            Some(source) if major_version(binary) < 7 => add(&["--bind", &source, "127.0.0.1"]),
            Some(source) => add(&["--bind", "127.0.0.1", "--bind-source-addr", &source]),
        }
        if self.role != Role::Sentinel {
            let append_only = if self.append_only { "yes" } else { "no" };
            add(&["--save", "", "--appendonly", append_only]);
        }
        if self.role == Role::ClusterNode {
            add(&["--cluster-enabled", "yes"]);
        }
        if let Some(password) = &self.password {
            add(&["--requirepass", password]);
        }
        args.extend(self.args.iter().cloned());
        Ok(args)
    }
}

/// 8 of `Valkey server v=8.1.8 ...`; newest where the program does not say.
fn major_version(binary: &Path) -> u32 {
    let said = Command::new(binary).arg("--version").output();
    let said = said.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&said)
        .split_once("v=")
        .and_then(|(_, version)| version.split('.').next()?.parse().ok())
        .unwrap_or(u32::MAX)
}

fn dir_error(path: &Path, source: io::Error) -> StartError {
    StartError::Dir {
        path: path.to_owned(),
        source,
    }
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
