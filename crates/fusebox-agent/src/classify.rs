//! How agents' results are judged.

use fusebox_breaker::{FailureKind, Verdict};
use fusebox_policy::{Classify, Judgement};

use crate::{AgentError, ErrorKind, Reply};

/// The judgement every guard uses.
///
/// | result | verdict | retried |
/// |---|---|---|
/// | a reply | success | - |
/// | `cancelled`, `invalid_input` | neutral: not the agent's fault | no |
/// | `timed_out` | failure, timed out | if the error says so |
/// | `rate_limited` and the rest | failure | if the error says so |
///
/// [`AgentError::retry_after`] is passed on as a floor of the wait before the retry.
#[derive(Debug, Clone, Copy, Default)]
pub struct AgentClassify;

impl Classify<Reply, AgentError> for AgentClassify {
    fn classify(&self, result: &Result<Reply, AgentError>) -> Judgement {
        let Err(error) = result else {
            return judgement(Verdict::Success, None);
        };
        match error.kind {
            ErrorKind::Cancelled | ErrorKind::InvalidInput => judgement(Verdict::Neutral, None),
            ErrorKind::TimedOut => judgement(Verdict::Failure(FailureKind::TimedOut), Some(error)),
            _ => judgement(Verdict::Failure(FailureKind::Error), Some(error)),
        }
    }
}

fn judgement(verdict: Verdict, retried: Option<&AgentError>) -> Judgement {
    Judgement {
        verdict,
        retry: retried.is_some_and(|error| error.retryable),
        retry_after: retried.and_then(|error| error.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn judged(error: AgentError) -> (Verdict, bool, Option<Duration>) {
        let Judgement {
            verdict,
            retry,
            retry_after,
            ..
        } = AgentClassify.classify(&Err(error));
        (verdict, retry, retry_after)
    }

    #[test]
    fn the_callers_faults_are_neutral_and_never_retried() {
        for error in [
            AgentError::cancelled("gone").retryable(true),
            AgentError::invalid_input("no text").retryable(true),
        ] {
            assert_eq!(judged(error), (Verdict::Neutral, false, None));
        }
    }

    #[test]
    fn a_time_out_is_a_failure_of_its_own_kind() {
        let timed_out = Verdict::Failure(FailureKind::TimedOut);
        assert_eq!(
            judged(AgentError::timed_out("late")),
            (timed_out, true, None)
        );
    }

    #[test]
    fn the_hint_of_a_rate_limit_is_a_floor_of_the_wait() {
        let hint = Duration::from_secs(7);
        let failed = Verdict::Failure(FailureKind::Error);
        assert_eq!(
            judged(AgentError::rate_limited(hint)),
            (failed, true, Some(hint))
        );
    }

    #[test]
    fn an_error_that_a_retry_cannot_help_is_not_retried() {
        let failed = Verdict::Failure(FailureKind::Error);
        assert_eq!(
            judged(AgentError::api("401").retryable(false)),
            (failed, false, None)
        );
        assert_eq!(
            judged(AgentError::breaker_open("inner", None)),
            (failed, false, None)
        );
    }
}
