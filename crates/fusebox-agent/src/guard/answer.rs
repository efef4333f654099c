//! What comes out of a guarded call.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use fusebox_policy::CallError;

use crate::{AgentError, ErrorKind, Reply};

/// A reply that passed its checks, and how it came about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// Attempts made with the agent itself; 0 if it was never called.
    pub attempts: u32,
    /// Why the fallback answered instead of the agent; `None` if the agent itself did.
    pub degraded: Option<String>,
}

impl Answer {
    pub(super) fn whole(reply: Reply, attempts: u32) -> Self {
        Self {
            reply,
            attempts,
            degraded: None,
        }
    }

    pub(super) fn degraded(reply: Reply, error: &GuardError) -> Self {
        Self {
            reply,
            attempts: error.attempts(),
            degraded: Some(error.reason()),
        }
    }
}

/// Why a guarded call gave no answer.
#[derive(Debug)]
pub struct GuardError {
    agent: String,
    // Boxed: errors are rare and large, answers are frequent.
    cause: Box<CallError<AgentError>>,
    fallback: Option<Box<(String, AgentError)>>,
}

impl GuardError {
    pub(super) fn new(agent: &str, cause: CallError<AgentError>) -> Self {
        Self {
            agent: agent.to_owned(),
            cause: Box::new(cause),
            fallback: None,
        }
    }

    pub(super) fn with_fallback(mut self, name: &str, error: AgentError) -> Self {
        self.fallback = Some(Box::new((name.to_owned(), error)));
        self
    }

    /// The agent that gave no answer.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Why the agent gave no answer.
    #[must_use]
    pub fn cause(&self) -> &CallError<AgentError> {
        &self.cause
    }

    /// Why the fallback gave no answer either, if it was asked.
    #[must_use]
    pub fn fallback_error(&self) -> Option<&AgentError> {
        self.fallback.as_deref().map(|(_, error)| error)
    }

    /// The cause in one word: the agent's own [`AgentError::kind`] if it failed, `breaker_open`
    /// if the breaker refused, `resource_exhausted` if the bulkhead or a budget did,
    /// `rate_limited` if the rate limit did, `timed_out` if a timeout of the policy struck,
    /// `cancelled` if a hook stopped the call.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.cause {
            CallError::NotPermitted { .. } => ErrorKind::BreakerOpen,
            CallError::BulkheadFull { .. } | CallError::BudgetExceeded { .. } => {
                ErrorKind::ResourceExhausted
            }
            CallError::RateLimited { .. } => ErrorKind::RateLimited,
            CallError::TimedOut { .. } | CallError::TotalTimedOut { .. } => ErrorKind::TimedOut,
            CallError::Failed { source, .. } => source.kind,
            CallError::Stopped { .. } => ErrorKind::Cancelled,
            _ => ErrorKind::Failed,
        }
    }

    /// Attempts made with the agent; 0 if it was never called.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.cause.attempts()
    }

    /// Whether side effects of the agent or of its fallback may have happened.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        let agent = match &*self.cause {
            // The last attempt speaks for itself; of the ones before it nothing is known.
            CallError::Failed { source, attempts } => source.may_have_run || *attempts > 1,
            cause => cause.may_have_run(),
        };
        agent
            || self
                .fallback_error()
                .is_some_and(|error| error.may_have_run)
    }

    /// When to try again, as told by the policy that refused or by the agent. A floor.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.cause {
            CallError::Failed { source, .. } => source.retry_after,
            refused => refused.retry_after(),
        }
    }

    /// Whether this is a cause that a fallback makes up for: no answer from the agent, rather
    /// than a caller who no longer wants one.
    pub(super) fn has_fallback(&self) -> bool {
        match &*self.cause {
            CallError::Failed { source, .. } => source.kind != ErrorKind::Cancelled,
            CallError::Stopped { .. } => false,
            _ => true,
        }
    }

    /// The cause with the agent's own words, in one line.
    fn reason(&self) -> String {
        let mut reason = format!("agent `{}`: {}", self.agent, self.cause);
        let mut source = self.cause.source();
        while let Some(error) = source {
            reason.push_str(": ");
            reason.push_str(&error.to_string());
            source = error.source();
        }
        reason
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from agent `{}`", self.agent)?;
        match self.fallback.as_deref() {
            Some((name, error)) => write!(f, ", and none from its fallback `{name}` ({error})"),
            None => Ok(()),
        }
    }
}

impl Error for GuardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}
