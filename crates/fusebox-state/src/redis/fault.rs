//! Redis' errors in the store's words.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

use super::RedisConfig;
use super::class::{self, Class};
use super::layout::{Address, Layout};
use super::tls;
use crate::{Cause, StoreError};

/// Why a request has no answer. Shared by those who waited for one connection.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// While connecting to a server.
    Connect(Address, RedisError),
    /// No connection within this time.
    Silent(Address, Duration),
    /// To a request.
    Answer(Address, RedisError),
    /// No server was found that the request belongs to; another try may find one.
    Nowhere(String),
    /// What was found cannot do what is asked of it: what to change.
    Unfit(String),
}

impl Fault {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Connect(_, error) if is_refused_login(error) => Class::Configuration,
            Self::Connect(_, error) if tls::advice(error).is_some() => Class::Configuration,
            // Nothing was sent yet.
            Self::Connect(_, error) => match class::of(error) {
                Class::Dropped | Class::Broken => Class::NotYet,
                other => other,
            },
            Self::Silent(..) | Self::Nowhere(_) => Class::NotYet,
            Self::Answer(_, error) => class::of(error),
            Self::Unfit(_) => Class::Configuration,
        }
    }

    /// Whether another server may be the one to ask by now.
    pub(crate) fn is_unsettled(&self) -> bool {
        match self {
            Self::Connect(..) | Self::Silent(..) | Self::Nowhere(_) => true,
            Self::Answer(_, error) => class::is_unsettled(error),
            Self::Unfit(_) => false,
        }
    }

    /// `may_have_applied`: a write was sent, and it is not known to have been refused.
    pub(crate) fn into_error(
        self,
        op: &'static str,
        config: &RedisConfig,
        may_have_applied: bool,
    ) -> StoreError {
        let class = self.class();
        let cause: Cause = config.redact(self.words(config)).into();
        let follows = matches!(config.layout(), Layout::Cluster { .. });
        match class {
            Class::Elsewhere if follows => StoreError::Unavailable {
                op,
                cause,
                may_have_applied,
            },
            Class::Configuration | Class::Elsewhere => StoreError::Misconfigured {
                message: config.redact(self.advice(op, config)),
                cause: Some(cause),
            },
            // Sent twice, the first may have got through before the server filled up.
            Class::Policy if !may_have_applied => StoreError::Refused { op, cause },
            _ => StoreError::Unavailable {
                op,
                cause,
                may_have_applied,
            },
        }
    }

    /// What happened, in one sentence.
    pub(crate) fn words(&self, config: &RedisConfig) -> String {
        match self {
            Self::Connect(at, error) => {
                let hint = if error.is_connection_dropped() && !error.is_connection_refusal() {
                    hint(config)
                } else {
                    ""
                };
                format!("{}: {}{hint}", config.location_of(at), class::said(error))
            }
            Self::Silent(at, limit) => format!(
                "no connection to {} within {limit:?}{}",
                config.location_of(at),
                hint(config)
            ),
            Self::Answer(at, error) if error.is_io_error() => {
                format!("{}: {error}", config.location_of(at))
            }
            Self::Answer(at, error) => {
                format!(
                    "{} answered: {}",
                    config.location_of(at),
                    class::said(error)
                )
            }
            Self::Nowhere(why) | Self::Unfit(why) => why.clone(),
        }
    }

    /// What to change.
    fn advice(&self, op: &str, config: &RedisConfig) -> String {
        let (at, error) = match self {
            Self::Connect(at, error) | Self::Answer(at, error) => (at, error),
            Self::Silent(..) | Self::Nowhere(_) | Self::Unfit(_) => return self.words(config),
        };
        let what = match tls::advice(error) {
            Some(advice) => advice.to_owned(),
            None if is_refused_login(error) => {
                "the server refused the login; correct user and password".to_owned()
            }
            None => match class::code(error) {
                "NOPERM" => class::missing_permission(error, config.prefix()),
                "WRONGTYPE" => {
                    "other data lies under the same keys; choose another prefix".to_owned()
                }
                "MOVED" | "ASK" => {
                    "the server is part of a cluster; write `redis+cluster://` for `redis://`"
                        .to_owned()
                }
                "CROSSSLOT" => "its keys lie in different slots, so something between us and \
                                the server changes them; connect to the server itself"
                    .to_owned(),
                _ => "see the cause".to_owned(),
            },
        };
        format!(
            "`{op}` on {} is not possible: {what}",
            config.location_of(at)
        )
    }
}

fn is_refused_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(class::code(error), "NOAUTH" | "WRONGPASS")
}

/// Neither side says which protocol it expected.
fn hint(config: &RedisConfig) -> &'static str {
    match config.speaks_tls() {
        true => "; if the server does not speak TLS there, write `redis` for `rediss`",
        false => "; if the server expects TLS there, write `rediss` for `redis`",
    }
}
