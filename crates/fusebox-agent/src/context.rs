//! What surrounds one call: who asked, until when, and how to stop.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_policy::{Budget, Meter, Priority, RetryBudget, Spend};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pulse::Pulse;
use crate::{AgentError, Piece};

/// Where lines of progress go.
type ProgressSink = Arc<dyn Fn(&str) + Send + Sync>;

/// What surrounds one call of an agent. Cheap to clone; the clones share one cancellation.
///
/// ```
/// use fusebox_agent::Context;
///
/// let cx = Context::new("run-1", "triage").with_attempt(2);
/// assert_eq!((cx.run_id(), cx.step(), cx.attempt()), ("run-1", "triage", 2));
/// assert_eq!(cx.idempotency_key(), "run-1/triage"); // the same for every attempt
/// assert_eq!(cx.remaining(), None); // no deadline
/// ```
#[derive(Clone)]
pub struct Context {
    run_id: Arc<str>,
    step: Arc<str>,
    attempt: u32,
    idempotency_key: Arc<str>,
    deadline: Option<Instant>,
    cancellation: CancellationToken,
    artifacts: Option<Arc<Path>>,
    progress: Option<ProgressSink>,
    pieces: Option<Pieces>,
    meters: Vec<Meter>,
    budgets: Vec<Budget>,
    retry_budget: Option<RetryBudget>,
    tenant: Option<Arc<str>>,
    priority: Priority,
    pulse: Option<Pulse>,
}

/// Where pieces go.
#[derive(Clone)]
struct Pieces {
    sender: mpsc::Sender<Piece>,
    take: u32,
    /// Shared by all contexts of a call, so that no two tries have one number.
    last_take: Arc<AtomicU32>,
}

impl Context {
    /// The context of the first attempt at `step` of run `run_id`: no deadline, a fresh
    /// cancellation token, idempotency key `run_id/step`, progress thrown away.
    #[must_use]
    pub fn new(run_id: impl Into<Arc<str>>, step: impl Into<Arc<str>>) -> Self {
        let (run_id, step) = (run_id.into(), step.into());
        let key = format!("{run_id}/{step}");
        Self::keyed(run_id, step, key)
    }

    /// As [`new`](Self::new), with this [idempotency key](Self::with_idempotency_key).
    #[must_use]
    pub fn keyed(
        run_id: impl Into<Arc<str>>,
        step: impl Into<Arc<str>>,
        idempotency_key: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            run_id: run_id.into(),
            step: step.into(),
            attempt: 1,
            idempotency_key: idempotency_key.into(),
            deadline: None,
            cancellation: CancellationToken::new(),
            artifacts: None,
            progress: None,
            pieces: None,
            meters: Vec::new(),
            budgets: Vec::new(),
            retry_budget: None,
            tenant: None,
            priority: Priority::NORMAL,
            pulse: None,
        }
    }

    /// Sets the number of the attempt; the first is 1.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the key under which the other side may recognise a task it has already done. It must
    /// stay the same over retries and restarts.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.idempotency_key = key.into();
        self
    }

    /// Sets or takes away the moment after which nobody waits for the answer any more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: impl Into<Option<Instant>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets the token that tells the agent to stop.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: CancellationToken) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Sets the directory into which the agent may write files. The caller creates it.
    #[must_use]
    pub fn with_artifacts(mut self, directory: impl Into<PathBuf>) -> Self {
        self.artifacts = Some(directory.into().into());
        self
    }

    /// Sets where lines of progress go. The sink runs on the agent's task, so it must be quick:
    /// put the line into a channel rather than into a file.
    #[must_use]
    pub fn with_progress(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(sink));
        self
    }

    /// Sets where pieces of the answer go as they come, from agents whose answers come in pieces.
    ///
    /// A full channel makes the agent wait, and that wait does not count against it. Dropping the
    /// receiver ends the call as cancelled, which no breaker is charged for.
    #[must_use]
    pub fn with_pieces(mut self, pieces: mpsc::Sender<Piece>) -> Self {
        self.pieces = Some(Pieces {
            sender: pieces,
            take: 0,
            last_take: Arc::default(),
        });
        self
    }

    /// Adds a meter that reads what the call costs, all attempts together.
    #[must_use]
    pub fn with_meter(mut self, meter: Meter) -> Self {
        self.meters.push(meter);
        self
    }

    /// Adds a budget that the call has to fit into beside those of the agent's policy, for
    /// instance the run's or the tenant's. The [`Guard`](crate::Guard) reserves the agent's
    /// [estimate](crate::Agent::estimate) in it before each attempt, and settles it after.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budgets.push(budget);
        self
    }

    /// Sets the purse that every retry made for this call comes out of, whichever guard makes it: an agent that calls
    /// others through guards of their own passes its context on, and so their retries do not multiply.
    #[must_use]
    pub fn with_retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = Some(budget);
        self
    }

    /// Sets on whose behalf the call is made: bulkheads let their tenants take turns.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Option<Arc<str>>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Sets how urgent the call is where it has to queue. Default [`Priority::NORMAL`].
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    pub(crate) fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = Some(pulse);
        self
    }

    /// The run this call belongs to.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The step of the run this call belongs to.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The number of this attempt; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The key under which the other side may recognise a task it has already done.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The moment after which nobody waits for the answer any more.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time left until the deadline: zero once it has passed, `None` when there is none.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The token that tells the agent to stop. Inside a [`Guard`](crate::Guard) it belongs to one
    /// attempt and is cancelled when that attempt is over, whatever the reason.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// The directory into which the agent may write files.
    #[must_use]
    pub fn artifacts(&self) -> Option<&Path> {
        self.artifacts.as_deref()
    }

    /// On whose behalf the call is made.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// How urgent the call is where it has to queue.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The purse that the retries made for this call come out of.
    #[must_use]
    pub fn retry_budget(&self) -> Option<&RetryBudget> {
        self.retry_budget.as_ref()
    }

    /// Shows that the agent is at work, for a guard with a [limit on silence](crate::Guard::with_max_silence). Lines of
    /// progress and pieces of the answer show it as well.
    pub fn heartbeat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }

    /// Reports a line of progress.
    pub fn progress(&self, text: &str) {
        self.heartbeat();
        if let Some(sink) = &self.progress {
            sink(text);
        }
    }

    /// Whether somebody reads the answer as it comes.
    #[must_use]
    pub fn wants_pieces(&self) -> bool {
        self.pieces.is_some()
    }

    /// Passes the next piece of the answer on, and waits while the reader is behind. Without a
    /// reader it does nothing.
    ///
    /// # Errors
    /// If the reader has gone: end the call with this error, nobody wants the answer any more.
    pub async fn piece(&self, text: impl Into<String>) -> Result<(), AgentError> {
        self.heartbeat();
        let Some(pieces) = &self.pieces else {
            return Ok(());
        };
        let piece = Piece::new(pieces.take, text);
        let sent = pieces.sender.send(piece).await;
        sent.map_err(|_| AgentError::cancelled("the reader of the answer went away"))
    }

    /// Waits until the reader of the pieces has gone; for ever without one.
    pub async fn reader_gone(&self) -> AgentError {
        match &self.pieces {
            Some(pieces) => pieces.sender.closed().await,
            None => std::future::pending().await,
        }
        AgentError::cancelled("the reader of the answer went away")
    }

    /// Reports what this attempt has cost, as soon as it is known and in parts if it comes in
    /// parts. What is not reported is charged as estimated.
    pub fn spend(&self, spend: Spend) {
        for meter in &self.meters {
            meter.record(spend);
        }
    }

    /// The context of one more try: pieces of it are told from those before.
    pub(crate) fn next_take(mut self) -> Self {
        if let Some(pieces) = &mut self.pieces {
            pieces.take = pieces.last_take.fetch_add(1, Ordering::Relaxed) + 1;
        }
        self
    }

    /// Without budgets: for whom they are reserved already.
    pub(crate) fn without_budgets(mut self) -> Self {
        self.budgets.clear();
        self
    }

    /// The budgets that came with the call.
    pub(crate) fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// Waits until the call is cancelled or its deadline has passed, and says which. Never
    /// returns if neither happens: to be raced against the work.
    ///
    /// ```
    /// # use fusebox_agent::{AgentError, Context};
    /// # async fn work() -> u32 { 1 }
    /// async fn careful(cx: &Context) -> Result<u32, AgentError> {
    ///     tokio::select! {
    ///         answer = work() => Ok(answer),
    ///         error = cx.interrupted() => Err(error),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # careful(&Context::new("run", "step")).await }).map_err(std::io::Error::other)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn interrupted(&self) -> AgentError {
        tokio::select! {
            biased;
            () = self.cancellation.cancelled() => AgentError::cancelled("cancelled by the caller"),
            () = passed(self.deadline) => AgentError::timed_out("the deadline of the call passed"),
        }
    }

    /// Asks now what [`interrupted`](Self::interrupted) waits for; to be asked before starting.
    ///
    /// # Errors
    /// If the call is cancelled, or its deadline is now or has passed. The error says that
    /// nothing has run.
    pub fn check(&self) -> Result<(), AgentError> {
        if self.cancellation.is_cancelled() {
            return Err(AgentError::cancelled("cancelled by the caller").may_have_run(false));
        }
        if self.remaining() == Some(Duration::ZERO) {
            return Err(AgentError::timed_out(
                "the deadline of the call had passed before it started",
            )
            .may_have_run(false));
        }
        Ok(())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run_id", &self.run_id)
            .field("step", &self.step)
            .field("attempt", &self.attempt)
            .field("idempotency_key", &self.idempotency_key)
            .field("deadline", &self.deadline)
            .field("cancelled", &self.cancellation.is_cancelled())
            .field("artifacts", &self.artifacts)
            .finish_non_exhaustive()
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_late_at_exactly_its_deadline() {
        let deadline = Instant::now() + Duration::from_secs(1);
        let cx = Context::new("run", "step").with_deadline(deadline);
        assert!(cx.check().is_ok());
        assert_eq!(cx.interrupted().await.kind, ErrorKind::TimedOut);
        assert_eq!(cx.remaining(), Some(Duration::ZERO));
        assert_eq!(cx.check().map_err(|e| e.kind), Err(ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn cancellation_outranks_a_passed_deadline() {
        let cx = Context::new("run", "step").with_deadline(Instant::now());
        cx.cancellation().cancel();
        assert_eq!(cx.interrupted().await.kind, ErrorKind::Cancelled);
    }

    #[test]
    fn progress_reaches_the_sink_of_every_clone() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let cx = Context::new("run", "step").with_progress(move |line| {
            sender
                .send(line.to_owned())
                .expect("the test still listens");
        });
        cx.clone().progress("half way");
        assert_eq!(receiver.recv().as_deref(), Ok("half way"));
    }
}
