//! Where a Redis is and how long to wait for it.

use std::fmt;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::{StoreError, name};

const DEFAULT_DEADLINE: Duration = Duration::from_secs(1);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Requests that a connection takes in before it writes.
const PIPELINE: usize = 256;

/// Where a Redis or Valkey server is and how long to wait for it.
#[derive(Clone)]
pub struct RedisConfig {
    info: ConnectionInfo,
    prefix: String,
    deadline: Duration,
    connect_timeout: Duration,
}

impl RedisConfig {
    /// `redis://[user:password@]host[:port][/db]`, port 6379 and database 0 unless given;
    /// `redis+unix:///path/to/socket`; `valkey` may stand for `redis`. Special characters in the
    /// password are percent-encoded.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`] if it is no such URL. The password is not repeated.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            return Err(StoreError::misconfigured(
                "`rediss://` needs TLS, which this version cannot speak; use `redis://` through a \
                 tunnel or a trusted network",
            ));
        }
        // The parser's own message is left out: it may quote the password.
        let info = url.into_connection_info().map_err(|_| {
            StoreError::misconfigured(
                "not a Redis URL; write redis://[user:password@]host[:port][/db], special \
                 characters in the password percent-encoded",
            )
        })?;
        Ok(Self {
            info,
            prefix: "fusebox".to_owned(),
            deadline: DEFAULT_DEADLINE,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        })
    }

    /// How long one operation may take, connecting and one repetition included. Default 1 s:
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

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
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
        Ok(())
    }

    /// The address without user and password.
    pub(crate) fn location(&self) -> String {
        let db = self.info.redis_settings().db();
        match self.info.addr() {
            ConnectionAddr::Unix(path) => format!("redis+unix://{}?db={db}", path.display()),
            addr => format!("redis://{addr}/{db}"),
        }
    }

    /// Takes the password out of what somebody else wrote.
    pub(crate) fn redact(&self, text: String) -> String {
        match self.info.redis_settings().password() {
            Some(password) if !password.is_empty() => text.replace(password, "[redacted]"),
            _ => text,
        }
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true);
        // A peer that vanished without a word is noticed by unanswered probes when idle, and by
        // unacknowledged data when not.
        let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(1));
        let tcp = tcp.set_keepalive(keepalive);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let tcp = tcp.set_user_timeout(self.deadline.saturating_mul(2));
        self.info.clone().set_tcp_settings(tcp)
    }

    pub(crate) fn client(&self) -> redis::RedisResult<Client> {
        Client::open(self.info())
    }

    pub(crate) fn connection(&self) -> AsyncConnectionConfig {
        // Answers are waited for within our own deadline, which also covers waiting for a connection;
        // a second clock beside it would only win by chance.
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE)
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = self.info.redis_settings();
        f.debug_struct("RedisConfig")
            .field("location", &self.location())
            .field("user", &redis.username())
            .field("password", &redis.password().map(|_| "[redacted]"))
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_show_nowhere() {
        let config = RedisConfig::from_url("redis://worker:hunter2@db.example:7000/3").unwrap();
        let text = format!("{config:?} {}", config.location());
        assert!(
            !text.contains("hunter2") && text.contains("redis://db.example:7000/3"),
            "{text}"
        );
        assert_eq!(
            config.redact("AUTH hunter2 failed".into()),
            "AUTH [redacted] failed"
        );
        for bad in [
            "redis://:hunter2@",
            "rediss://:hunter2@h",
            "redis://:hunter2@h:port",
        ] {
            let error = RedisConfig::from_url(bad).unwrap_err();
            assert!(
                !format!("{error:?} {error}").contains("hunter2"),
                "{error:?}"
            );
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
