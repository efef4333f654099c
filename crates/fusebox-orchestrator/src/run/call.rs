//! One call of an agent on behalf of a run: what comes back, and how the run hears of further attempts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fusebox_agent::{Context, GuardError, Task};
use fusebox_breaker::{Breaker, FailureKind, State, Verdict};
use fusebox_policy::{Attempt, CallError, CallEvent, Hooks, Stop};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Message;
use super::purse::TenantShare;
use crate::event::EventKind;
use crate::recovery::HeldTurn;
use crate::shared::Shared;
use crate::time::millis;

/// An agent's answer.
pub(crate) struct Answered {
    pub(crate) output: Value,
    pub(crate) attempts: u32,
    pub(crate) degraded: Option<String>,
}

/// Why a call brought no answer.
pub(crate) struct Refused {
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(super) retryable: bool,
    /// At the earliest then.
    pub(super) retry_after: Option<Duration>,
    /// The agent is there, but others go before.
    pub(super) behind: bool,
    /// Who turned it away, in the words of [`EventKind::CallRefused`]; none where its agent was asked.
    pub(crate) by: Option<&'static str>,
}

impl Refused {
    /// A defect in the agent: no waiting helps.
    pub(super) fn by_panic() -> Self {
        let reason = "its agent panicked; see the message on standard error".to_owned();
        Self::for_good(reason, 1)
    }

    /// One that no waiting helps, after `attempts`.
    pub(super) fn for_good(reason: String, attempts: u32) -> Self {
        Self {
            reason,
            attempts,
            retryable: false,
            retry_after: None,
            behind: false,
            by: None,
        }
    }

    /// One that the run's budget has no room for; `may_pass_later` if calls in flight may leave enough.
    pub(super) fn by_budget(reason: String, may_pass_later: bool) -> Self {
        Self {
            retryable: may_pass_later,
            by: Some("budget"),
            ..Self::for_good(reason, 0)
        }
    }

    /// One that was not made, for the state of a breaker.
    pub(super) fn unmade(reason: String, retry_after: Option<Duration>, by: &'static str) -> Self {
        Self {
            retryable: true,
            retry_after,
            by: Some(by),
            ..Self::for_good(reason, 0)
        }
    }

    /// One that only has to wait for its turn.
    pub(super) fn behind(reason: String) -> Self {
        Self {
            reason,
            attempts: 0,
            retryable: true,
            retry_after: None,
            behind: true,
            by: Some("line"),
        }
    }

    /// Whether it shows that the agent is not well.
    fn is_failure(&self) -> bool {
        self.attempts > 0 && self.retryable
    }
}

pub(super) async fn call(
    task: Task,
    context: Context,
    hooks: &StepHooks,
) -> Result<Answered, Refused> {
    let member = &hooks.shared.members[&hooks.agent];
    match member.guard.call(task, context, hooks).await {
        Ok(answer) => Ok(Answered {
            output: answer.reply.output,
            attempts: answer.attempts,
            degraded: answer.degraded.map(|why| match member.guard.fallback() {
                Some(agent) => format!("answered by `{}`, {why}", agent.describe().name),
                None => why,
            }),
        }),
        Err(error) => Err(Refused {
            reason: reason(&error),
            attempts: error.attempts(),
            retryable: is_retryable(&error),
            retry_after: error.retry_after(),
            behind: false,
            by: refused_by(&error),
        }),
    }
}

/// Whether a call has shown its agent to be well, or not well; `None` where it has shown neither.
pub(super) fn has_shown(result: &Result<Answered, Refused>) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(refused) => refused.is_failure().then_some(false),
    }
}

/// Why, in the agent's own words where it has said something.
fn reason(error: &GuardError) -> String {
    let cause = match error.cause() {
        CallError::Failed { source, .. } => chain(source),
        other => chain(other),
    };
    match error.fallback_error() {
        Some(fallback) => format!("{cause}; its fallback: {}", chain(fallback)),
        None => cause,
    }
}

/// Whether the same call may succeed when the agent is available again.
fn is_retryable(error: &GuardError) -> bool {
    match error.cause() {
        CallError::Failed { source, .. } => source.retryable,
        CallError::Stopped { .. } => false,
        CallError::BudgetExceeded { source } => source.may_pass_later(),
        _ => true,
    }
}

/// Who turned the call away before its agent was asked, or between two attempts.
fn refused_by(error: &GuardError) -> Option<&'static str> {
    match error.cause() {
        CallError::NotPermitted { source, .. } => Some(source.state.as_str()),
        CallError::BulkheadFull { .. } => Some("bulkhead"),
        CallError::RateLimited { .. } => Some("rate_limit"),
        CallError::BudgetExceeded { .. } => Some("budget"),
        CallError::LoopDetected { .. } => Some("loop"),
        _ => None,
    }
}

/// An error and its causes on one line, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The run's ear at the policy around an agent.
pub(super) struct StepHooks {
    pub(super) shared: Arc<Shared>,
    pub(super) agent: String,
    pub(super) step: String,
    pub(super) sender: mpsc::UnboundedSender<Message>,
    pub(super) breaker: Breaker,
    /// Whether the last attempt had no answer in time.
    pub(super) timed_out: AtomicBool,
    /// Since when the call queues for a slot, where it does.
    pub(super) queued: Mutex<Option<Instant>>,
    /// Its claim on the budget of its tenant, where that has one.
    pub(super) tenant: Option<TenantShare>,
    /// Its leave to call an agent that is coming back.
    pub(super) turn: Option<Arc<HeldTurn>>,
}

impl StepHooks {
    fn tell_wait(&self, waited: Duration) {
        let awaited = EventKind::SlotAwaited {
            step: self.step.clone(),
            agent: self.agent.clone(),
            waited_ms: millis(waited),
        };
        // The run has ended: nobody tells any more.
        let _ = self.sender.send(Message::Told(awaited));
    }

    fn queued(&self) -> MutexGuard<'_, Option<Instant>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hooks for StepHooks {
    /// The first attempt was counted with the commit that started the step.
    async fn before_attempt(&self, attempt: &Attempt) -> Result<(), Stop> {
        if attempt.number == 1 {
            return Ok(());
        }
        let (ack, acknowledged) = oneshot::channel();
        self.sender
            .send(Message::Attempt {
                step: self.step.clone(),
                ack,
            })
            .map_err(|_| Stop::new("the run has ended"))?;
        acknowledged
            .await
            .map_err(|_| Stop::new("the attempt could not be recorded"))?;
        match &self.tenant {
            Some(share) => share.again().await.map_err(Stop::new),
            None => Ok(()),
        }
    }

    fn event(&self, event: CallEvent) {
        match event {
            CallEvent::Queued => *self.queued() = Some(Instant::now()),
            CallEvent::AttemptStarted { .. } => {
                let queued = self.queued().take();
                if let Some(since) = queued {
                    self.tell_wait(since.elapsed());
                }
                // To begin a call moves no closed breaker.
                if self.breaker.state() == State::Closed {
                    return;
                }
                let _ = self.sender.send(Message::Look);
            }
            CallEvent::AttemptEnded { verdict, .. } => {
                let timed_out = verdict == Verdict::Failure(FailureKind::TimedOut);
                self.timed_out.store(timed_out, Ordering::Relaxed);
                self.shared.objectives.attempt(&self.agent, verdict);
            }
            CallEvent::Retrying { number, after } => {
                if let Some(turn) = &self.turn {
                    turn.give_back(Some(false));
                }
                let retrying = EventKind::StepRetrying {
                    step: self.step.clone(),
                    attempt: number,
                    after_ms: millis(after),
                    timed_out: self.timed_out.load(Ordering::Relaxed),
                };
                // The run has ended: nobody tells any more.
                let _ = self.sender.send(Message::Told(retrying));
            }
            _ => {}
        }
    }
}
