//! What an error means for the request and for the connection.

use redis::RedisError;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not begun, and it may work in a moment.
    NotYet,
    /// Not begun: this server is a replica by now.
    NotPrimary,
    /// Not begun: the slot is at another server, for good or for this once.
    Elsewhere,
    /// Not begun, and it will not work before an operator acts.
    Policy,
    /// Not begun, and it will never work like this.
    Configuration,
    /// The connection broke. Whatever was sent may have been done.
    Dropped,
    /// As `Dropped`, and trying again at once is no help.
    Broken,
    /// The server failed at it. It may have been done in part.
    Failed,
}

impl Class {
    /// Whether the server's words mean that it did not begin with the request.
    pub(crate) fn is_not_begun(self) -> bool {
        match self {
            Self::NotYet
            | Self::NotPrimary
            | Self::Elsewhere
            | Self::Policy
            | Self::Configuration => true,
            Self::Dropped | Self::Broken | Self::Failed => false,
        }
    }
}

pub(crate) fn of(error: &RedisError) -> Class {
    match code(error) {
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOSCRIPT" | "BUSY" => {
            Class::NotYet
        }
        "READONLY" => Class::NotPrimary,
        "MOVED" | "ASK" => Class::Elsewhere,
        "OOM" | "NOREPLICAS" | "MISCONF" => Class::Policy,
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "CROSSSLOT" | "WRONGTYPE" => Class::Configuration,
        "" if error.is_connection_dropped() && !error.is_timeout() => Class::Dropped,
        "" if error.is_io_error() || error.is_unrecoverable_error() => Class::Broken,
        _ => Class::Failed,
    }
}

/// Whether the connection is of no more use.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    match of(error) {
        // A server that became a replica keeps its connections; its name may lead elsewhere by now.
        Class::NotPrimary | Class::Dropped | Class::Broken => true,
        // Logged in with the present credentials it may work. What a user may do is looked up for
        // every command, so a new connection would not help against NOPERM.
        Class::Configuration => code(error) == "NOAUTH",
        _ => false,
    }
}

/// Whether another server may be the primary by now, although this one does not say so.
pub(crate) fn is_unsettled(error: &RedisError) -> bool {
    matches!(code(error), "LOADING" | "MASTERDOWN" | "CLUSTERDOWN")
}

/// The first word of what the server said; empty if it said nothing.
pub(crate) fn code(error: &RedisError) -> &str {
    let code = error.code().unwrap_or_default();
    if code != "ERR" {
        return code;
    }
    let Some(detail) = error.detail() else {
        return code;
    };
    // The second is how Redis before 7 says it.
    if detail.starts_with("ACL failure in script")
        || detail.contains("The user executing the script can't")
    {
        return "NOPERM";
    }
    // Redis before 7 wraps what a command in a script answered:
    // "Error running script (call to f_…): @user_script:7: @user_script: 7: -OOM command not …".
    let inner = detail
        .strip_prefix("Error running script")
        .and_then(|rest| {
            let word = rest.split(' ').find_map(|word| word.strip_prefix('-'))?;
            let is_code = word.bytes().all(|byte| byte.is_ascii_uppercase());
            is_code.then_some(word)
        });
    inner.unwrap_or(code)
}

/// What the server said, in its words.
pub(crate) fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// What the user may not do, and how it is allowed.
pub(crate) fn missing_permission(error: &RedisError, prefix: &str) -> String {
    let detail = error.detail().unwrap_or_default();
    // "… has no permissions to run the 'hset' command", "… to access a key", "… a channel".
    let quoted = detail
        .split_once("the '")
        .and_then(|(_, rest)| rest.split_once("' command"));
    if let Some((command, _)) = quoted {
        return format!("the user may not run `{command}`; grant it with ACL SETUSER … +{command}");
    }
    let grant = if detail.contains("channel") {
        format!("use the channel; grant it with ACL SETUSER … &{prefix}:*")
    } else if detail.contains("key") {
        format!("touch the keys; grant them with ACL SETUSER … ~{prefix}:*")
    } else {
        "run a command of the scripts; grant +@read +@write +@scripting +@pubsub".to_owned()
    };
    format!("the user may not {grant}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{RedisResult, Value};

    fn said_by(line: &str) -> RedisError {
        let parsed: RedisResult<Value> =
            redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        parsed.and_then(Value::extract_error).unwrap_err()
    }

    #[test]
    fn every_word_of_a_server_has_its_class() {
        for (class, codes) in [
            (
                Class::NotYet,
                "LOADING MASTERDOWN CLUSTERDOWN TRYAGAIN NOSCRIPT BUSY",
            ),
            (Class::NotPrimary, "READONLY"),
            (Class::Elsewhere, "MOVED ASK"),
            (Class::Policy, "OOM NOREPLICAS MISCONF"),
            (
                Class::Configuration,
                "NOAUTH WRONGPASS NOPERM CROSSSLOT WRONGTYPE",
            ),
            (Class::Failed, "ERR UNKILLABLE EXECABORT"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(of(&said_by(&format!("{code} some words"))), class, "{code}");
            }
        }
    }

    #[test]
    fn a_word_inside_a_script_of_an_old_server_counts() {
        let wrapped = "ERR Error running script (call to f_12ab): @user_script:24: \
                       @user_script: 24: -OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(of(&said_by(wrapped)), Class::Policy);
        let denied =
            "ERR ACL failure in script: User w has no permissions to run the 'hset' command";
        assert_eq!(of(&said_by(denied)), Class::Configuration);
        let denied = "ERR Error running script (call to f_12ab): @user_script:9: @user_script: 9: The \
                      user executing the script can't run this command or subcommand";
        assert_eq!(of(&said_by(denied)), Class::Configuration);
        assert!(missing_permission(&said_by(denied), "p").contains("+@write"));
        let plain = "ERR Error running script (call to f_12ab): @user_script:2: no -good reason";
        assert_eq!(of(&said_by(plain)), Class::Failed);
    }

    #[test]
    fn broken_connections_leave_doubt_and_refused_ones_say_so() {
        use std::io::{Error, ErrorKind};
        let io = |kind| RedisError::from(Error::from(kind));
        assert_eq!(of(&io(ErrorKind::ConnectionReset)), Class::Dropped);
        assert_eq!(of(&io(ErrorKind::UnexpectedEof)), Class::Dropped);
        assert_eq!(of(&io(ErrorKind::TimedOut)), Class::Broken);
        assert!(!Class::Dropped.is_not_begun() && !Class::Broken.is_not_begun());
    }

    #[test]
    fn a_missing_permission_is_named() {
        let command = "NOPERM User w has no permissions to run the 'evalsha' command";
        assert!(missing_permission(&said_by(command), "p").contains("+evalsha"));
        let channel = "NOPERM No permissions to access a channel";
        assert!(missing_permission(&said_by(channel), "team").contains("&team:*"));
        let key = "NOPERM No permissions to access a key";
        assert!(missing_permission(&said_by(key), "team").contains("~team:*"));
    }
}
