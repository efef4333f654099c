//! Where a Redis is and how to use it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
};

use super::credentials::{Credentials, CredentialsProvider, Login};
use super::layout::{Address, Layout};
use super::tls::Tls;
use super::url::{self, Parsed};
use crate::{StoreError, name};

const DEFAULT_DEADLINE: Duration = Duration::from_secs(1);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Requests that a connection takes in before it writes.
const PIPELINE: usize = 256;

const PARAMETERS: &str = "ca, cert, key, replicas, fsync, prefix, deadline_ms, \
    connect_timeout_ms, sentinel_user, sentinel_password";

/// Where a Redis or Valkey server is and how to use it.
#[derive(Clone)]
pub struct RedisConfig {
    layout: Layout,
    db: i64,
    login: Login,
    sentinel_login: Login,
    tls: Option<Tls>,
    prefix: String,
    deadline: Duration,
    connect_timeout: Duration,
    replicas: u8,
    fsync: bool,
}

impl RedisConfig {
    /// | URL | servers |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/db]` | one, port 6379 and database 0 unless given |
    /// | `redis+unix:///path/to/socket` | one on this machine; `?db=`, `user=`, `pass=` |
    /// | `redis+sentinel://[user:password@]host[:port],…/SERVICE[/db]` | the primary that Sentinels name, asked in this order; port 26379 unless given; user and password are the server's |
    /// | `redis+cluster://[user:password@]host[:port],…` | a cluster; the others are found through those named |
    ///
    /// `rediss` for `redis` means TLS and needs the feature `redis-tls`; `valkey` and `valkeys` are
    /// the same as `redis` and `rediss`. Special characters are percent-encoded.
    ///
    /// | parameter | means | default |
    /// |---|---|---|
    /// | `ca=PATH` | certificates that may have signed the server's, in PEM; only these | those of the Web |
    /// | `cert=PATH`, `key=PATH` | the certificate to show the server, and its key, in PEM | none |
    /// | `replicas=N` | [`with_replicas`](Self::with_replicas) | 0 |
    /// | `fsync=1` | [`with_fsync`](Self::with_fsync) | 0 |
    /// | `prefix=TEXT` | [`with_prefix`](Self::with_prefix) | `fusebox` |
    /// | `deadline_ms=N` | [`with_deadline`](Self::with_deadline) | 1000 |
    /// | `connect_timeout_ms=N` | [`with_connect_timeout`](Self::with_connect_timeout) | 500 |
    /// | `sentinel_user=NAME`, `sentinel_password=TEXT` | the login to the Sentinels themselves | none |
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] if it is no such URL, for an unknown parameter or value, and
    /// for TLS in a build without it. Passwords are not repeated.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let Parsed {
            tls,
            layout,
            db,
            login,
            parameters,
        } = url::parse(url)?;
        let mut config = Self {
            layout,
            db,
            login: Login::fixed(login),
            sentinel_login: Login::fixed(Credentials::default()),
            tls: if tls { Some(Tls::try_new()?) } else { None },
            prefix: "fusebox".to_owned(),
            deadline: DEFAULT_DEADLINE,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            replicas: 0,
            fsync: false,
        };
        config.apply(&parameters)?;
        Ok(config)
    }

    fn apply(&mut self, parameters: &[(String, String)]) -> Result<(), StoreError> {
        let (mut cert, mut key) = (None, None);
        let (mut user, mut password) = (None, None);
        for (name, value) in parameters {
            let value = value.as_str();
            match name.as_str() {
                "ca" => self.tls_for(name)?.ca = Some(PathBuf::from(value)),
                "cert" => cert = Some(PathBuf::from(value)),
                "key" => key = Some(PathBuf::from(value)),
                "replicas" => self.replicas = number(name, value)?,
                "fsync" => self.fsync = switch(name, value)?,
                "prefix" => self.prefix = value.to_owned(),
                "deadline_ms" => self.deadline = Duration::from_millis(number(name, value)?),
                "connect_timeout_ms" => {
                    self.connect_timeout = Duration::from_millis(number(name, value)?);
                }
                "sentinel_user" => user = Some(value),
                "sentinel_password" => password = Some(value),
                _ => return Err(unknown(name)),
            }
        }
        match (cert, key) {
            (None, None) => {}
            (Some(cert), Some(key)) => self.tls_for("cert")?.identity = Some((cert, key)),
            _ => {
                return Err(StoreError::misconfigured(
                    "`cert` and `key` belong together; give both or neither",
                ));
            }
        }
        if user.is_some() || password.is_some() {
            if !matches!(self.layout, Layout::Sentinel { .. }) {
                return Err(StoreError::misconfigured(
                    "`sentinel_user` and `sentinel_password` need `redis+sentinel://`",
                ));
            }
            self.sentinel_login = Login::fixed(Credentials::new(user, password));
        }
        Ok(())
    }

    fn tls_for(&mut self, parameter: &str) -> Result<&mut Tls, StoreError> {
        self.tls.as_mut().ok_or_else(|| {
            StoreError::misconfigured(format!(
                "`{parameter}` needs TLS: write `rediss` for `redis`"
            ))
        })
    }

    /// How long one operation may take, connecting and repetitions included. Default 1 s:
    /// a healthy server answers within a millisecond, and a caller that waits longer is better off
    /// knowing.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long making a connection may take, login included. Default 500 ms. The deadline of an
    /// operation holds beside it.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// What all keys start with, so that several installations share a server. Default `fusebox`;
    /// the characters of a [`Key`](crate::Key) and `:`.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Asked for the credentials of every login from now on, instead of using the URL's, so that a
    /// rotated password or a token that runs out needs no restart. Called in the middle of
    /// connecting: it must return at once, with what something else keeps fresh. A connection
    /// keeps the login it was made with until it ends.
    pub fn with_credentials(
        mut self,
        provider: impl Fn() -> Credentials + Send + Sync + 'static,
    ) -> Self {
        self.login = Login::provided(Arc::new(provider) as CredentialsProvider);
        self
    }

    /// Waits at every commit, acquisition, renewal and expiry until `replicas` replicas have the
    /// write too, in the same round trip (`WAIT`); at most until shortly before the deadline. What
    /// was reached is in the outcome: [`Replicated`](crate::Durability::Replicated) with the number
    /// of replicas, `replicas` of them at most, or less than that if none answered. Default 0.
    ///
    /// A replica that has a write survives the primary only if it is the one promoted; with
    /// `min-replicas-to-write` on the server no cut-off primary goes on acknowledging.
    pub fn with_replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }

    /// Waits at the same operations until the server wrote to its disk (`WAITAOF`, or
    /// `appendfsync always`): [`PrimaryFsync`](crate::Durability::PrimaryFsync). A server that can do
    /// neither is refused. Off by default: with `appendfsync everysec` Redis takes up to a second.
    pub fn with_fsync(mut self) -> Self {
        self.fsync = true;
        self
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.layout, Layout::Cluster { .. })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn replicas(&self) -> u8 {
        self.replicas
    }

    pub(crate) fn fsync(&self) -> bool {
        self.fsync
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_allowed = |c| name::is_allowed(c) || c == ':';
        if self.prefix.is_empty() || !self.prefix.chars().all(is_allowed) {
            return Err(StoreError::misconfigured(format!(
                "prefix `{}` cannot start a key; use one or more of A-Z a-z 0-9 . _ / - :",
                self.prefix
            )));
        }
        if self.deadline.is_zero() || self.connect_timeout.is_zero() {
            return Err(StoreError::misconfigured(
                "deadline and connect timeout must be longer than zero",
            ));
        }
        match &self.tls {
            Some(tls) => tls.check(),
            None => Ok(()),
        }
    }

    /// The URL without user, password and parameters.
    pub(crate) fn location(&self) -> String {
        self.layout.location(self.tls.is_some(), self.db)
    }

    /// One server's, as a URL.
    pub(crate) fn location_of(&self, address: &Address) -> String {
        Layout::Single(address.clone()).location(self.tls.is_some(), self.db)
    }

    /// Takes passwords out of what somebody else wrote.
    pub(crate) fn redact(&self, text: String) -> String {
        self.sentinel_login.redact(self.login.redact(text))
    }

    /// For one server, with the credentials of this moment.
    pub(crate) fn client(&self, at: &Address) -> RedisResult<Client> {
        self.client_as(at, &self.login.credentials(), self.db)
    }

    /// For one Sentinel.
    pub(crate) fn sentinel_client(&self, at: &Address) -> RedisResult<Client> {
        self.client_as(at, &self.sentinel_login.credentials(), 0)
    }

    fn client_as(&self, at: &Address, login: &Credentials, db: i64) -> RedisResult<Client> {
        let info = self.info(at, login, db)?;
        match &self.tls {
            Some(tls) => tls.client(info),
            None => Client::open(info),
        }
    }

    fn info(&self, at: &Address, login: &Credentials, db: i64) -> RedisResult<ConnectionInfo> {
        let addr = match at {
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Address::Tcp { host, port } if self.tls.is_some() => ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
            Address::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let info = addr.into_connection_info()?;
        let mut redis = info.redis_settings().clone().set_db(db);
        if let Some(user) = login.user() {
            redis = redis.set_username(user);
        }
        if let Some(password) = login.password() {
            redis = redis.set_password(password);
        }
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        // A peer that vanished without a word is noticed by unanswered probes when idle, and by
        // unacknowledged data when not.
        let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(1));
        let tcp = tcp.set_keepalive(keepalive);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let tcp = tcp.set_user_timeout(self.deadline.saturating_mul(2));
        Ok(info.set_redis_settings(redis).set_tcp_settings(tcp))
    }

    pub(crate) fn connection(&self) -> AsyncConnectionConfig {
        // Everybody who connects or asks has a clock of their own, which also covers waiting for a
        // connection; a second one beside it would only win by chance.
        AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE)
    }
}

fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, StoreError> {
    value.parse().map_err(|_| {
        StoreError::misconfigured(format!("`{name}` is not a whole number in its range"))
    })
}

fn switch(name: &str, value: &str) -> Result<bool, StoreError> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(StoreError::misconfigured(format!("`{name}` is 1 or 0"))),
    }
}

fn unknown(name: &str) -> StoreError {
    StoreError::misconfigured(format!(
        "the URL has an unknown parameter `{name}`; known are {PARAMETERS}"
    ))
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("location", &self.location())
            .field("login", &self.login)
            .field("sentinel_login", &self.sentinel_login)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("connect_timeout", &self.connect_timeout)
            .field("replicas", &self.replicas)
            .field("fsync", &self.fsync)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_show_nowhere() {
        let url = "redis+sentinel://worker:hunter2@db:7000/main?sentinel_password=hunter3";
        let config = RedisConfig::from_url(url).unwrap();
        let text = format!("{config:?} {}", config.location());
        assert!(!text.contains("hunter"), "{text}");
        assert!(text.contains("redis+sentinel://db:7000/main/0"), "{text}");
        let redacted = config.redact("AUTH hunter2 failed, hunter3 too".into());
        assert_eq!(redacted, "AUTH [redacted] failed, [redacted] too");
    }

    #[test]
    fn parameters_are_what_the_builder_would_set() {
        let url =
            "redis://h?replicas=2&fsync=1&prefix=team:a&deadline_ms=250&connect_timeout_ms=90";
        let built = RedisConfig::from_url("redis://h").unwrap();
        let built = built.with_replicas(2).with_fsync().with_prefix("team:a");
        let built = built.with_deadline(Duration::from_millis(250));
        let built = built.with_connect_timeout(Duration::from_millis(90));
        let read = RedisConfig::from_url(url).unwrap();
        assert_eq!(format!("{read:?}"), format!("{built:?}"));
    }

    #[test]
    fn parameters_that_mean_nothing_are_refused() {
        for (url, why) in [
            ("redis://h?replica=1", "known are ca, cert"),
            ("redis://h?replicas=many", "`replicas` is not"),
            ("redis://h?fsync=yes", "`fsync` is 1 or 0"),
            ("redis://h?ca=/x", "`rediss`"),
            ("redis://h?cert=/x", "both or neither"),
            ("redis://h?sentinel_user=u", "redis+sentinel://"),
        ] {
            let error = RedisConfig::from_url(url).unwrap_err();
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn prefixes_that_would_break_the_keys_are_refused() {
        let config = RedisConfig::from_url("redis://host").unwrap();
        for bad in ["", "a{b}", "a*", "a b"] {
            assert!(config.clone().with_prefix(bad).check().is_err(), "{bad:?}");
        }
        assert!(config.with_prefix("team:prod").check().is_ok());
    }
}
