//! Calls on their way: in the run's own task where the agent answers at once, else in tasks of their own.
//!
//! A task for each call costs more than everything else around an agent that answers at once, and one
//! that does not is none the worse for having been asked once before it gets its own. So a call is
//! begun here, and gets a task when it has to wait. An agent that does not give the thread back soon
//! would keep the run from all else, so only one that was quick before is begun here.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Answered, Refused};
use super::{CallId, Message, Run};
use crate::recovery::{HeldTurn, Turn};

/// A call that is made by polling it.
pub(super) type Calling = Pin<Box<dyn Future<Output = Result<Answered, Refused>> + Send>>;

/// How long a call may keep its thread before it counts as slow: what a run may be held up by for the
/// sake of one call, many times what a quick one takes.
const QUICK: Duration = Duration::from_micros(200);
/// How many quick calls an agent has to make in tasks after a slow one. A thread that was interrupted
/// looks slow too, so that is forgiven.
const PENANCE: i32 = 64;

/// How long an agent keeps the thread when its calls begin.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicI32);

impl Pace {
    /// Whether the last calls were quick. The first one is not known to be.
    fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn note(&self, took: Duration) {
        if took > QUICK {
            self.0.store(-PENANCE, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a call for the first time. A panic ends the call alone.
    fn begin(
        &self,
        calling: &mut Calling,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answered, Refused>> {
        let began = Instant::now();
        let polled = catch_unwind(AssertUnwindSafe(|| calling.as_mut().poll(cx)));
        self.note(began.elapsed());
        polled.unwrap_or_else(|_| Poll::Ready(Err(Refused::by_panic())))
    }
}

impl Run {
    /// Makes a call whose start is committed.
    pub(super) async fn hand_out(&mut self, call: CallId, turn: Option<Turn>) {
        let turn = turn.map(HeldTurn::new);
        let mut calling = self.calling(&call, turn.clone());
        let shared = Arc::clone(&self.shared);
        let pace = &shared.members[&call.agent].pace;
        if !pace.is_quick() {
            return self.spawn(call, calling, turn);
        }
        let begun = poll_fn(|cx| Poll::Ready(pace.begin(&mut calling, cx))).await;
        match begun {
            Poll::Ready(result) => self
                .answers
                .push_back(Message::Ended { call, result, turn }),
            Poll::Pending => self.spawn(call, calling, turn),
        }
    }

    fn spawn(&mut self, call: CallId, mut calling: Calling, turn: Option<Arc<HeldTurn>>) {
        let (sender, shared, ended) = (self.sender.clone(), Arc::clone(&self.shared), call.clone());
        let handle = self.tasks.spawn(async move {
            let (pace, mut is_first) = (&shared.members[&ended.agent].pace, true);
            let result = poll_fn(|cx| match std::mem::take(&mut is_first) {
                true => pace.begin(&mut calling, cx),
                false => calling.as_mut().poll(cx),
            });
            let result = result.await;
            // The run may have ended meanwhile; then nobody waits for the answer.
            let _ = sender.send(Message::Ended {
                call: ended,
                result,
                turn,
            });
        });
        self.calls_of_tasks.insert(handle.id(), call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_quick_after_one_quick_call_and_after_a_slow_one_not_for_long() {
        let pace = Pace::default();
        assert!(!pace.is_quick());
        pace.note(QUICK);
        assert!(pace.is_quick());
        pace.note(QUICK + Duration::from_nanos(1));
        for _ in 0..=PENANCE {
            assert!(!pace.is_quick());
            pace.note(Duration::ZERO);
        }
        assert!(pace.is_quick());
    }
}
