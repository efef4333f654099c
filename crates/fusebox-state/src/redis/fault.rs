//! Redis' errors in the store's words.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

use super::RedisConfig;
use crate::{Cause, StoreError};

/// Why a request has no answer. Shared by those who waited for one connection.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Redis(RedisError),
    /// No connection within this time.
    NotConnected(Duration),
}

impl Fault {
    /// `may_have_applied`: a write was sent, and it is not known to have been refused.
    pub(crate) fn into_error(
        self,
        op: &'static str,
        config: &RedisConfig,
        may_have_applied: bool,
    ) -> StoreError {
        match self {
            Self::Redis(error) => classify(&error, op, config, may_have_applied),
            Self::NotConnected(limit) => StoreError::Unavailable {
                op,
                cause: format!("no connection to {} within {limit:?}", config.location()).into(),
                may_have_applied,
            },
        }
    }
}

/// Whether the connection is of no more use.
pub(crate) fn breaks_connection(error: &RedisError) -> bool {
    // A server that became a replica keeps its connections; its name may lead elsewhere by now.
    error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

/// Whether the same request may be sent again at once on another connection.
pub(crate) fn is_dropped(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

fn classify(
    error: &RedisError,
    op: &'static str,
    config: &RedisConfig,
    may_have_applied: bool,
) -> StoreError {
    let cause: Cause = config
        .redact(format!("{} answered: {error}", config.location()))
        .into();
    let misconfigured = |advice: &str| StoreError::Misconfigured {
        message: format!("`{op}` on {} is not possible: {advice}", config.location()),
        cause: Some(config.redact(error.to_string()).into()),
    };
    let unavailable = |cause, may_have_applied| StoreError::Unavailable {
        op,
        cause,
        may_have_applied,
    };
    if matches!(error.kind(), ErrorKind::AuthenticationFailed) {
        return misconfigured("the server refused the login; correct user and password");
    }
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => {
            misconfigured("the server refused the login; correct user and password")
        }
        Some("NOPERM") => misconfigured("the user lacks a permission; grant it"),
        Some("WRONGTYPE") => {
            misconfigured("other data lies under the same keys; choose another prefix")
        }
        Some("MOVED" | "ASK" | "CROSSSLOT") => misconfigured(
            "the server is part of a cluster, which this version does not follow; use one that \
             is not",
        ),
        // Sent twice, the first may have got through before the server filled up.
        Some("OOM" | "NOREPLICAS" | "MISCONF") if !may_have_applied => {
            StoreError::Refused { op, cause }
        }
        Some("OOM" | "NOREPLICAS" | "MISCONF") => unavailable(cause, true),
        Some(
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOSCRIPT" | "BUSY"
            | "READONLY",
        ) => unavailable(cause, may_have_applied),
        Some(_) => unavailable(cause, may_have_applied),
        None => unavailable(
            config
                .redact(format!("{}: {error}", config.location()))
                .into(),
            may_have_applied,
        ),
    }
}

/// Whether the server's words mean that it did not begin with the request.
pub(crate) fn was_not_begun(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some(
            "LOADING"
                | "MASTERDOWN"
                | "CLUSTERDOWN"
                | "TRYAGAIN"
                | "NOSCRIPT"
                | "BUSY"
                | "READONLY"
                | "OOM"
                | "NOREPLICAS"
                | "MISCONF"
                | "NOAUTH"
                | "WRONGPASS"
                | "NOPERM"
                | "MOVED"
                | "ASK"
                | "CROSSSLOT"
        )
    )
}
