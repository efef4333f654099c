//! How agents' results are judged.

use fusebox_breaker::{FailureKind, Verdict};
use fusebox_policy::{Classify, Judgement};

use crate::{AgentError, ErrorKind, Reply};

/// The judgement every guard uses.
///
/// | result | verdict | retried |
/// |---|---|---|
/// | a reply | success | - |
/// | `cancelled`, `invalid_input`, `context_too_long`, `content_filtered` | neutral: not the agent's fault | no |
/// | `rate_limited`, `overloaded`, `breaker_open` with a [hint](AgentError::retry_after) | trip: left alone at least that long | if the error says so |
/// | `rate_limited` without a hint | failure | if the error says so |
/// | `overloaded` without a hint | failure, overloaded | if the error says so |
/// | `timed_out` | failure, timed out | if the error says so |
/// | `invalid_output` | failure, quality | if the error says so |
/// | `unauthorized` | failure | never: somebody has to look at the key |
/// | any of these but the neutral ones, [charged](AgentError::charged) to a breaker inside | neutral | as above; `breaker_open` never |
/// | the rest | failure | if the error says so |
///
/// [`AgentError::retry_after`] is also passed on as a floor of the wait before the retry. What the
/// kinds of failure weigh is the breaker's configuration
/// ([`failure_weight`](fusebox_breaker::ConfigBuilder::failure_weight)); what an overload is to
/// be met with afterwards is its [ramp](fusebox_breaker::ConfigBuilder::ramp).
#[derive(Debug, Clone, Copy, Default)]
pub struct AgentClassify;

impl Classify<Reply, AgentError> for AgentClassify {
    fn classify(&self, result: &Result<Reply, AgentError>) -> Judgement {
        let Err(error) = result else {
            return Judgement::success();
        };
        let verdict = verdict(error);
        let mut retried = verdict != Verdict::Neutral && error.kind != ErrorKind::Unauthorized;
        // Whoever waits for a breaker that is not its own holds up what could wait for it better.
        retried &= !(error.is_charged && error.kind == ErrorKind::BreakerOpen);
        Judgement {
            verdict: if error.is_charged {
                Verdict::Neutral
            } else {
                verdict
            },
            retry: retried && error.retryable,
            retry_after: error.retry_after.filter(|_| retried),
        }
    }
}

/// What a breaker learns from an error.
fn verdict(error: &AgentError) -> Verdict {
    let kind = match error.kind {
        ErrorKind::Cancelled
        | ErrorKind::InvalidInput
        | ErrorKind::ContextTooLong
        | ErrorKind::ContentFiltered => return Verdict::Neutral,
        ErrorKind::RateLimited | ErrorKind::BreakerOpen => FailureKind::Error,
        ErrorKind::Overloaded => FailureKind::Overloaded,
        ErrorKind::TimedOut => return Verdict::Failure(FailureKind::TimedOut),
        ErrorKind::InvalidOutput => return Verdict::Failure(FailureKind::Quality),
        _ => return Verdict::Failure(FailureKind::Error),
    };
    // A hint of zero asks for nothing.
    match error.retry_after.filter(|hint| !hint.is_zero()) {
        Some(hint) => Verdict::TripUntil(hint),
        None => Verdict::Failure(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HINT: Duration = Duration::from_secs(7);

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
    fn what_is_not_the_agents_fault_is_neutral_and_never_retried() {
        for error in [
            AgentError::cancelled("gone"),
            AgentError::invalid_input("no text"),
            AgentError::context_too_long("9000 of 8192 tokens"),
            AgentError::content_filtered("refused"),
        ] {
            let error = error.retryable(true).with_retry_after(HINT);
            assert_eq!(judged(error), (Verdict::Neutral, false, None));
        }
    }

    #[test]
    fn each_kind_of_failure_is_told_apart() {
        for (error, kind, retry) in [
            (AgentError::timed_out("late"), FailureKind::TimedOut, true),
            (AgentError::overloaded(None), FailureKind::Overloaded, true),
            (
                AgentError::invalid_output("no JSON"),
                FailureKind::Quality,
                true,
            ),
            (AgentError::rate_limited(None), FailureKind::Error, true),
            (AgentError::api("500"), FailureKind::Error, true),
            (
                AgentError::breaker_open("inner", None),
                FailureKind::Error,
                false,
            ),
        ] {
            let name = error.kind;
            assert_eq!(
                judged(error),
                (Verdict::Failure(kind), retry, None),
                "{name}"
            );
        }
    }

    #[test]
    fn a_hint_trips_and_is_a_floor_of_the_wait() {
        for error in [
            AgentError::rate_limited(HINT),
            AgentError::overloaded(HINT),
            AgentError::breaker_open("inner", HINT).retryable(true),
        ] {
            assert_eq!(judged(error), (Verdict::TripUntil(HINT), true, Some(HINT)));
        }
        let other = AgentError::api("500").with_retry_after(HINT);
        assert_eq!(
            judged(other),
            (Verdict::Failure(FailureKind::Error), true, Some(HINT)),
            "of another kind it is a floor only"
        );
    }

    #[test]
    fn what_is_charged_inside_is_neutral_and_retried_as_ever() {
        let charged = AgentError::unavailable("server").charged();
        assert_eq!(judged(charged), (Verdict::Neutral, true, None));
        let charged = AgentError::rate_limited(HINT).charged();
        assert_eq!(judged(charged), (Verdict::Neutral, true, Some(HINT)));
        let refused = AgentError::breaker_open("inner", HINT).retryable(true);
        assert_eq!(judged(refused.charged()), (Verdict::Neutral, false, None));
    }

    #[test]
    fn a_hint_of_zero_trips_nothing() {
        let failed = Verdict::Failure(FailureKind::Error);
        assert_eq!(
            judged(AgentError::rate_limited(Duration::ZERO)),
            (failed, true, Some(Duration::ZERO))
        );
    }

    #[test]
    fn a_refused_key_is_charged_and_never_retried() {
        let failed = Verdict::Failure(FailureKind::Error);
        let error = AgentError::unauthorized("401").retryable(true);
        assert_eq!(judged(error), (failed, false, None));
    }

    #[test]
    fn an_error_that_a_retry_cannot_help_is_not_retried() {
        let failed = Verdict::Failure(FailureKind::Error);
        assert_eq!(
            judged(AgentError::api("501").retryable(false)),
            (failed, false, None)
        );
    }
}
