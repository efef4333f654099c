//! Why an agent gave no reply.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why an agent gave no reply, and what that means for the next try.
///
/// The constructors set the flags that usually hold for their kind; an agent that knows better
/// overrides them:
///
/// ```
/// use fusebox_agent::{AgentError, ErrorKind};
///
/// let error = AgentError::api("503 from the model").may_have_run(false);
/// assert_eq!(error.kind, ErrorKind::Api);
/// assert!(error.retryable && !error.may_have_run);
/// assert_eq!(error.to_string(), "503 from the model");
/// ```
///
/// | constructor | may have run | retryable |
/// |---|---|---|
/// | [`failed`](Self::failed), [`crashed`](Self::crashed), [`timed_out`](Self::timed_out), [`invalid_output`](Self::invalid_output), [`resource_exhausted`](Self::resource_exhausted), [`api`](Self::api), [`unavailable`](Self::unavailable) | yes | yes |
/// | [`rate_limited`](Self::rate_limited), [`overloaded`](Self::overloaded) | no | yes |
/// | [`cancelled`](Self::cancelled), [`content_filtered`](Self::content_filtered) | yes | no |
/// | [`invalid_input`](Self::invalid_input), [`context_too_long`](Self::context_too_long), [`unauthorized`](Self::unauthorized), [`breaker_open`](Self::breaker_open) | no | no |
///
/// How a breaker takes each is the table of [`AgentClassify`](crate::AgentClassify).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AgentError {
    /// What went wrong, to branch on.
    pub kind: ErrorKind,
    /// What went wrong, to read: lowercase, no full stop, naming the value that offended.
    pub message: String,
    /// Whether the agent's side effects may have happened. `false` is a promise that they have not.
    pub may_have_run: bool,
    /// Whether the same task may succeed when tried again.
    pub retryable: bool,
    /// Earliest time after which a retry makes sense, as told by the other side. A floor.
    pub retry_after: Option<Duration>,
    /// Whether a breaker inside the agent has taken the failure, so that none around it has to.
    pub is_charged: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl AgentError {
    /// The agent ran and failed in a way that no other kind describes.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Failed, message)
    }

    /// The agent ended without an answer of its own: killed, panicked, lost.
    #[must_use]
    pub fn crashed(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Crashed, message)
    }

    /// No answer before the deadline. The agent may still be working on it.
    #[must_use]
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::TimedOut, message)
    }

    /// The caller gave up. Says nothing about the agent's health, so no breaker is charged.
    #[must_use]
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Cancelled, message).retryable(false)
    }

    /// The task is not one this agent takes. The caller's mistake, so no breaker is charged.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidInput, message)
            .retryable(false)
            .may_have_run(false)
    }

    /// The agent answered with something that is not a valid reply.
    #[must_use]
    pub fn invalid_output(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidOutput, message)
    }

    /// Refused for sending too much; `retry_after` is the other side's hint, when it gave one.
    #[must_use]
    pub fn rate_limited(retry_after: impl Into<Option<Duration>>) -> Self {
        Self::of(ErrorKind::RateLimited, "rate limited")
            .may_have_run(false)
            .with_retry_after(retry_after)
    }

    /// Refused because the other side has too much to do, whoever asks (HTTP 503 or 529);
    /// `retry_after` is its hint, when it gave one.
    #[must_use]
    pub fn overloaded(retry_after: impl Into<Option<Duration>>) -> Self {
        Self::of(ErrorKind::Overloaded, "overloaded")
            .may_have_run(false)
            .with_retry_after(retry_after)
    }

    /// The other side does not take our credentials, or does not let them do this. Never tried
    /// again by itself: somebody has to look at the key.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Unauthorized, message)
            .retryable(false)
            .may_have_run(false)
    }

    /// The task is longer than the model takes. Says nothing about the model's health, so no
    /// breaker is charged.
    #[must_use]
    pub fn context_too_long(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::ContextTooLong, message)
            .retryable(false)
            .may_have_run(false)
    }

    /// A filter for content refused the task or its answer. Says nothing about the model's
    /// health, so no breaker is charged. It may have run: an answer may be filtered when it is
    /// there.
    #[must_use]
    pub fn content_filtered(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::ContentFiltered, message).retryable(false)
    }

    /// The agent ran out of memory, disk, file handles, quota or the like.
    #[must_use]
    pub fn resource_exhausted(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::ResourceExhausted, message)
    }

    /// The model or service behind the agent answered with an error.
    #[must_use]
    pub fn api(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Api, message)
    }

    /// Something the agent needs, named by `dependency`, cannot be reached.
    #[must_use]
    pub fn unavailable(dependency: impl fmt::Display) -> Self {
        Self::of(
            ErrorKind::DependencyUnavailable,
            format!("dependency `{dependency}` is unavailable"),
        )
    }

    /// A breaker inside the agent, named by `breaker`, refused the call.
    #[must_use]
    pub fn breaker_open(
        breaker: impl fmt::Display,
        retry_after: impl Into<Option<Duration>>,
    ) -> Self {
        Self::of(
            ErrorKind::BreakerOpen,
            format!("breaker `{breaker}` is open"),
        )
        .retryable(false)
        .may_have_run(false)
        .with_retry_after(retry_after)
    }

    /// Keeps the error that caused this one; it shows up in [`Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Sets the earliest time after which a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: impl Into<Option<Duration>>) -> Self {
        self.retry_after = retry_after.into();
        self
    }

    /// Says whether the same task may succeed when tried again.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Says whether side effects may have happened.
    #[must_use]
    pub fn may_have_run(mut self, may_have_run: bool) -> Self {
        self.may_have_run = may_have_run;
        self
    }

    /// Says that a breaker inside the agent has taken the failure: the breaker around the agent
    /// takes it as neutral. [`Behind`](crate::Behind) does it.
    #[must_use]
    pub fn charged(mut self) -> Self {
        self.is_charged = true;
        self
    }

    fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            may_have_run: true,
            retryable: true,
            retry_after: None,
            is_charged: false,
            source: None,
        }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for AgentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// What went wrong, in the words every crate, log line and metric uses.
///
/// Displayed and serialized in snake case: `timed_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The agent failed in a way that no other kind describes.
    Failed,
    /// No answer before the deadline.
    TimedOut,
    /// The caller gave up.
    Cancelled,
    /// The task is not one this agent takes.
    InvalidInput,
    /// The answer is not a valid reply.
    InvalidOutput,
    /// Refused for sending too much.
    RateLimited,
    /// Refused because the other side has too much to do.
    Overloaded,
    /// The other side does not take our credentials.
    Unauthorized,
    /// The task is longer than the model takes.
    ContextTooLong,
    /// A filter for content refused the task or its answer.
    ContentFiltered,
    /// Out of memory, disk, handles or quota.
    ResourceExhausted,
    /// The model or service behind the agent answered with an error.
    Api,
    /// Something the agent needs cannot be reached.
    DependencyUnavailable,
    /// The agent ended without an answer of its own.
    Crashed,
    /// A breaker refused the call.
    BreakerOpen,
}

impl ErrorKind {
    /// The kind in snake case, as in logs, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::InvalidInput => "invalid_input",
            Self::InvalidOutput => "invalid_output",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::ContextTooLong => "context_too_long",
            Self::ContentFiltered => "content_filtered",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Api => "api",
            Self::DependencyUnavailable => "dependency_unavailable",
            Self::Crashed => "crashed",
            Self::BreakerOpen => "breaker_open",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_the_same_in_text_and_in_json() {
        let kind = ErrorKind::DependencyUnavailable;
        assert_eq!(kind.to_string(), "dependency_unavailable");
        assert_eq!(
            serde_json::to_value(kind).expect("a unit variant serializes"),
            serde_json::json!("dependency_unavailable")
        );
    }

    #[test]
    fn the_cause_is_kept_as_the_source() {
        let error = AgentError::unavailable("search").with_source(std::io::Error::other("refused"));
        assert_eq!(error.to_string(), "dependency `search` is unavailable");
        let source = error.source().expect("a source was given");
        assert_eq!(source.to_string(), "refused");
    }

    #[test]
    fn a_rate_limit_takes_a_hint_or_none() {
        assert_eq!(AgentError::rate_limited(None).retry_after, None);
        let hinted = AgentError::rate_limited(Duration::from_secs(3));
        assert_eq!(hinted.retry_after, Some(Duration::from_secs(3)));
    }
}
