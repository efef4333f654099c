//! One run being worked on: which steps are ready, which are shielded, which must wait, and when it is over.
//!
//! One task owns all of the run's state and is the only writer of its journal. Agents are called in
//! tasks of their own and report back through a channel; those that answer at once, without.

mod approval;
mod begin;
mod call;
mod dependency;
mod ending;
mod hand_out;
mod inner;
mod line;
mod parts;
mod purse;
mod resume;
mod route;
mod stand_in;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Availability, Breaker, State, Transition};
use fusebox_policy::{Priority, RetryBudget};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::approval::stood_in;
pub(crate) use self::call::{Answered, Refused, chain};
pub(crate) use self::hand_out::Pace;
use self::parts::Parts;
use self::purse::Purse;
use crate::digest::sha256_hex;
use crate::event::EventKind;
use crate::journal::{Changes, Journal, JournalError};
use crate::last_good::LastGood;
use crate::ledger::Ledger;
use crate::live::Pulse;
use crate::record::{SavedBreaker, StepRecord};
use crate::recovery::{self, HeldTurn, Ticket, Turn};
use crate::report::RunReport;
use crate::run_id::RunId;
use crate::shared::{Member, Shared};
use crate::status::StepStatus;
use crate::time::{millis, now_ms, short};
use crate::workflow::{OnUnavailable, Step, Work, Workflow};

/// The most bytes one step's output may have: what every store takes as one value, less its framing.
const MAX_OUTPUT: usize = 1024 * 1024 - 1024;

/// What the caller asked for, with the defaults filled in.
pub(crate) struct Settings {
    pub(crate) input: Value,
    pub(crate) objective: Duration,
    pub(crate) wait: bool,
    pub(crate) artifacts: Option<PathBuf>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) priority: Priority,
    pub(crate) retry_budget: RetryBudget,
    pub(crate) cancellation: CancellationToken,
}

/// A step as this process sees it.
#[derive(Default)]
struct Live {
    record: StepRecord,
    output: Option<Arc<Value>>,
    /// What other processes had made of `record.executions`.
    executions_before: u32,
    /// How many of `record.executions` no commit has confirmed yet.
    unsure: u32,
    /// The calls of a step that makes several.
    parts: Parts,
    /// What may stand in for an output that does not come.
    last_good: Option<LastGood>,
    /// When a waiting step is tried again; with a ticket, at the earliest.
    due: Option<Instant>,
    /// Its place in the line of an agent that is away.
    ticket: Option<Ticket>,
    /// Whether it waits for the breaker of what its agent depends on.
    is_barred: bool,
    /// Leave to make the next call.
    turn: Option<Turn>,
    /// How many calls failed for which it had waited.
    tries: u32,
    begun: Option<Instant>,
    /// Whether listeners know that it is held back by a waiting step.
    shield_told: bool,
}

impl Live {
    /// Attempts made in this process.
    fn attempts(&self) -> u32 {
        self.record.executions - self.executions_before
    }

    /// Counts an execution before the commit that has to confirm it.
    fn count(&mut self) -> u32 {
        self.record.executions += 1;
        self.unsure += 1;
        self.record.executions
    }

    /// When time alone brings the step on.
    fn alarm(&self) -> Option<Instant> {
        self.due.filter(|_| self.ticket.is_none())
    }

    /// Takes back an execution that was counted before a call which never reached the agent.
    fn uncount(&mut self) {
        self.record.executions -= 1;
    }
}

/// A call of a step; of one that makes several, which.
#[derive(Debug, Clone)]
struct CallId {
    step: String,
    agent: String,
    part: Option<u32>,
}

/// What the agents' tasks tell the run.
enum Message {
    /// A further attempt is about to be made: raise the count durably first.
    Attempt {
        step: String,
        ack: oneshot::Sender<()>,
    },
    /// An attempt is being made: its breaker may have moved.
    Look,
    /// Something to tell, in its place.
    Told(EventKind),
    /// A step that waits in the line of its agent hears of it.
    Called { step: String, told: recovery::Told },
    /// The call is over.
    Ended {
        call: CallId,
        result: Result<Answered, Refused>,
        turn: Option<Arc<HeldTurn>>,
    },
}

/// Why the loop ended although there was more to do.
enum Interrupted {
    Cancelled,
    Objective,
    Journal(JournalError),
}

impl From<JournalError> for Interrupted {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

pub(crate) struct Run {
    shared: Arc<Shared>,
    workflow: Arc<Workflow>,
    id: RunId,
    journal: Journal,
    settings: Settings,
    steps: BTreeMap<String, Live>,
    /// Where it or its tenant has a budget.
    purse: Option<Box<Purse>>,
    /// What the next commit writes.
    changes: Changes,
    /// Whether a step was settled, or waits, since the steps behind it were last looked at.
    unrouted: bool,
    /// The steps whose last commit was not acknowledged.
    unsure: Vec<String>,
    /// Calls whose start is committed, to be made.
    ready: Vec<(CallId, Option<Turn>)>,
    /// Answers that came at once.
    answers: VecDeque<Message>,
    begun: Instant,
    deadline: Instant,
    pulse: Arc<Pulse>,
    ledger: Ledger,
    transitions: broadcast::Receiver<Transition>,
    /// Whether the journal has, or had, something to say of them.
    pub(crate) breakers_moved: bool,
    tasks: JoinSet<()>,
    calls_of_tasks: HashMap<Id, CallId>,
    sender: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Run {
    pub(crate) fn new(
        shared: Arc<Shared>,
        workflow: Workflow,
        id: RunId,
        journal: Journal,
        settings: Settings,
    ) -> Self {
        let mut ledger = Ledger::default();
        let mut steps = BTreeMap::new();
        for step in workflow.steps() {
            if let Some(agent) = step.agent() {
                let config = shared.members[agent].breaker.config();
                ledger.watch(agent, config.recovery_objective());
            }
            let record = StepRecord {
                name: step.name().to_owned(),
                ..StepRecord::default()
            };
            steps.insert(
                step.name().to_owned(),
                Live {
                    record,
                    ..Live::default()
                },
            );
        }
        let purse = Purse::of(&shared, &id, &journal.head, &settings);
        let begun = Instant::now();
        let pulse = Pulse::new(settings.cancellation.clone());
        let (sender, messages) = mpsc::unbounded_channel();
        Self {
            transitions: shared.subscribe_transitions(),
            breakers_moved: false,
            deadline: begun + settings.objective,
            workflow: Arc::new(workflow),
            changes: Changes::default(),
            unrouted: true,
            unsure: Vec::new(),
            ready: Vec::new(),
            answers: VecDeque::new(),
            tasks: JoinSet::new(),
            calls_of_tasks: HashMap::new(),
            shared,
            id,
            journal,
            settings,
            steps,
            purse,
            begun,
            pulse: Arc::new(pulse),
            ledger,
            sender,
            messages,
        }
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.id
    }

    pub(crate) fn workflow_name(&self) -> &str {
        self.workflow.name()
    }

    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Works until every step is settled, the objective has passed, or nothing can be done now.
    pub(crate) async fn drive(mut self, lease_lost: CancellationToken) -> RunReport {
        let interrupted = self.work(lease_lost).await.err();
        self.tasks.shutdown().await;
        self.finish(interrupted).await
    }

    /// Makes the first commit of a new run, which starts the first steps too.
    pub(crate) async fn begin(&mut self, definition: Vec<u8>) -> Result<(), JournalError> {
        self.look_back().await;
        self.tell(EventKind::RunStarted {
            workflow: self.workflow.name().to_owned(),
        });
        self.changes.definition = Some(definition);
        self.look_around();
        self.flush().await
    }

    /// Ends at once: its first commit did not do.
    pub(crate) async fn abandon(self, error: JournalError) -> RunReport {
        self.finish(Some(Interrupted::Journal(error))).await
    }

    async fn work(&mut self, lease_lost: CancellationToken) -> Result<(), Interrupted> {
        loop {
            for (call, turn) in std::mem::take(&mut self.ready) {
                self.hand_out(call, turn).await;
            }
            // A step turned away at the gate may decide about those behind it at once.
            if !self.unrouted {
                if self.is_over() {
                    return Ok(());
                }
                self.next(&lease_lost).await?;
            }
            self.look_around();
            // What the last steps came to is committed with the end of the run.
            if self.ready.is_empty() && !self.unrouted && self.is_over() {
                return Ok(());
            }
            // What only the breakers did is written with what the run does next: a thousand runs that wait
            // do not each write it down at once.
            if !self.changes.are_passive() {
                self.flush().await?;
            }
        }
    }

    /// Takes in what has changed and marks what can start now. The calls are handed out after the
    /// commit: the count of executions is durable before an agent is called.
    fn look_around(&mut self) {
        self.absorb_transitions();
        self.route();
        self.ready = self.take_ready();
    }

    /// Waits for the next thing to happen and takes in all that has.
    async fn next(&mut self, lease_lost: &CancellationToken) -> Result<(), Interrupted> {
        if self.answers.is_empty() {
            self.wait(lease_lost).await?;
        } else {
            // A run whose agents answer at once does not wait, but it lets others have their turn.
            tokio::task::coop::consume_budget().await;
            if self.settings.cancellation.is_cancelled() {
                return Err(Interrupted::Cancelled);
            }
        }
        // Steps that ended together are committed together.
        while let Ok(message) = self.messages.try_recv() {
            self.take(message).await?;
        }
        while let Some(message) = self.answers.pop_front() {
            self.take(message).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, lease_lost: &CancellationToken) -> Result<(), Interrupted> {
        self.pulse.beat(self.tasks.len());
        // Made before the look, so that no move after it is missed.
        let shared = Arc::clone(&self.shared);
        let moved = shared.dependency_moved.notified();
        let waits_behind = self.look_behind();
        let due = self.steps.values().filter_map(Live::alarm).min();
        let due = due.map_or(self.deadline, |due| due.min(self.deadline));
        let cancellation = self.settings.cancellation.clone();
        tokio::select! {
            biased;
            () = cancellation.cancelled() => return Err(Interrupted::Cancelled),
            () = lease_lost.cancelled() => return Err(Interrupted::Journal(JournalError::Lost)),
            Some(message) = self.messages.recv() => self.take(message).await?,
            Some(joined) = self.tasks.join_next_with_id() => self.joined(joined),
            () = moved, if waits_behind => {}
            () = tokio::time::sleep_until(due) => {
                if Instant::now() >= self.deadline {
                    return Err(Interrupted::Objective);
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, message: Message) -> Result<(), Interrupted> {
        // What the breakers did on the way comes before what came of it.
        self.absorb_transitions();
        match message {
            Message::Attempt { step, ack } => {
                let live = self.live(&step);
                let execution = live.count();
                let record = live.record.clone();
                self.changes.steps.push(record);
                self.tell(EventKind::StepStarted { step, execution });
                self.flush().await?;
                // The agent's task may have been stopped meanwhile; then nobody waits.
                let _ = ack.send(());
            }
            Message::Look => {}
            Message::Told(event) => self.tell(event),
            Message::Called { step, told } => self.called(&step, told),
            Message::Ended { call, result, turn } => {
                let is_well = call::has_shown(&result);
                self.ended(&call, result);
                // Whoever has to wait again stands in line before the next one goes.
                if let Some(turn) = turn {
                    turn.give_back(is_well);
                }
            }
        }
        Ok(())
    }

    fn ended(&mut self, call: &CallId, result: Result<Answered, Refused>) {
        if let Some(purse) = &mut self.purse {
            purse.ended(call);
        }
        let attempts = match &result {
            Ok(answered) => answered.attempts,
            Err(refused) => refused.attempts,
        };
        match &result {
            _ if attempts == 0 => self.live(&call.step).uncount(),
            Ok(_) => self.live(&call.step).tries = 0,
            Err(_) => self.live(&call.step).tries += 1,
        }
        if let Err(refused) = &result {
            self.tell_refusal(&self.step(&call.step), refused);
        }
        match (call.part, result) {
            (None, Ok(answered)) => {
                let degraded = match self.workflow.step(&call.step).map(Step::work) {
                    Some(Work::Approval(approval)) => Some(stood_in(approval)),
                    _ => answered.degraded,
                };
                self.deliver(&call.step, answered.output, degraded);
            }
            (None, Err(refused)) => self.unavailable(&call.step, refused),
            (Some(part), result) => {
                let step = self.step(&call.step);
                match result {
                    Ok(answered) => self.part_answered(&step, part, answered),
                    Err(refused) => self.part_refused(&step, part, refused),
                }
            }
        }
    }

    /// Settles a step with its output; `degraded` says why that is a lesser one.
    fn deliver(&mut self, name: &str, output: Value, degraded: Option<String>) {
        let bytes = serde_json::to_vec(&output).expect("a JSON value can be written");
        if bytes.len() > MAX_OUTPUT {
            let reason = format!(
                "its output has {} bytes, the journal takes up to {MAX_OUTPUT} per step; write large results to the artifacts directory",
                bytes.len()
            );
            return self.settle(name, StepStatus::Failed, Some(reason));
        }
        let live = self.live(name);
        live.parts = Parts::default();
        live.output = Some(Arc::new(output));
        live.record.output_sha256 = Some(sha256_hex(&bytes));
        live.record.output_bytes = Some(bytes.len() as u64);
        self.changes.outputs.push((name.to_owned(), bytes));
        let status = if degraded.is_some() {
            StepStatus::Degraded
        } else {
            StepStatus::Succeeded
        };
        self.settle(name, status, degraded);
    }

    /// Tells who turned a call away, where somebody did.
    fn tell_refusal(&self, step: &Step, refused: &Refused) {
        let (Some(by), Some(agent)) = (refused.by, step.agent()) else {
            return;
        };
        let told = EventKind::CallRefused {
            step: step.name().to_owned(),
            agent: agent.to_owned(),
            by: by.to_owned(),
        };
        self.shared.events.of_run(&self.id, told);
    }

    /// Decides what a step does whose agent is not available.
    fn unavailable(&mut self, name: &str, refused: Refused) {
        let step = self.step(name);
        let Refused {
            reason,
            retryable,
            retry_after,
            behind,
            attempts,
            ..
        } = refused;
        match step.unavailable_policy() {
            OnUnavailable::Skip => return self.settle(name, StepStatus::Skipped, Some(reason)),
            OnUnavailable::Fail => return self.settle(name, StepStatus::Failed, Some(reason)),
            OnUnavailable::LastGood { .. } => {
                if let Some((output, reason)) = self.stand_in(&step, &reason) {
                    return self.deliver(name, output, Some(reason));
                }
            }
            OnUnavailable::Wait => {}
        }
        if !retryable {
            return self.settle(name, StepStatus::Failed, Some(reason));
        }
        let member = self.member(&step);
        let now = Instant::now();
        let wait =
            wait_for(member, self.dependency(&step), behind).max(retry_after.unwrap_or_default());
        if now + wait >= self.deadline {
            let left = self.deadline.saturating_duration_since(now);
            let reason = if left.is_zero() {
                let objective = short(self.settings.objective);
                format!("{reason}; the run's objective of {objective} passed")
            } else {
                let (wait, left) = (short(wait), short(left));
                format!("{reason}; the next try is due in {wait}, the objective leaves {left}")
            };
            return self.settle(name, StepStatus::Failed, Some(reason));
        }
        // When a breaker lets a call go is asked when it is its turn: a person may have released it.
        let not_before = match member.breaker.state() {
            State::Closed => now + wait,
            _ if attempts == 0 => now,
            _ => now + retry_after.unwrap_or_default(),
        };
        self.unrouted = true;
        let is_barred = self.barred(&step).is_some();
        let ticket = self.line_up(&step, not_before);
        let live = self.live(name);
        live.due = Some(now + wait);
        live.ticket = ticket;
        live.is_barred = is_barred;
        live.record.status = StepStatus::Waiting;
        live.record.reason = Some(reason.clone());
        let record = live.record.clone();
        self.changes.steps.push(record);
        self.tell(EventKind::StepWaiting {
            step: name.to_owned(),
            reason,
            due_in_ms: millis(wait),
        });
    }

    fn settle(&mut self, name: &str, status: StepStatus, reason: Option<String>) {
        self.unrouted = true;
        let live = self.live(name);
        (live.due, live.ticket, live.turn) = (None, None, None);
        live.record.status = status;
        live.record.reason.clone_from(&reason);
        live.record.duration_ms = live.begun.map(|begun| millis(begun.elapsed()));
        let (record, attempts) = (live.record.clone(), live.attempts());
        let ended = EventKind::StepEnded {
            step: name.to_owned(),
            status,
            attempts,
            duration_ms: record.duration_ms.unwrap_or_default(),
            reason,
        };
        self.changes.steps.push(record);
        self.tell(ended);
    }

    /// A task that ended without a message has panicked.
    fn joined(&mut self, joined: Result<(Id, ()), JoinError>) {
        let (id, panicked) = match joined {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        if let (Some(call), true) = (self.calls_of_tasks.remove(&id), panicked) {
            self.ended(&call, Err(Refused::by_panic()));
        }
    }

    fn absorb_transitions(&mut self) {
        self.shared.pump_transitions();
        // A lag only shortens the story; the states themselves are read from the breakers.
        let mut moved = false;
        while let Ok(transition) = self.transitions.try_recv() {
            moved |= self.absorb(&transition);
        }
        if moved {
            self.breakers_moved = true;
            self.changes.breakers = Some(self.saved_breakers());
        }
    }

    /// Takes in one move; whether it is of a breaker that the run's calls meet.
    fn absorb(&mut self, transition: &Transition) -> bool {
        if !self.breakers().any(|name| *name == *transition.breaker) {
            return false;
        }
        let Transition {
            breaker,
            from,
            to,
            reason,
            ..
        } = transition;
        self.tell(EventKind::breaker_moved(breaker, *from, *to, reason));
        if let Some(recovery) = self.ledger.record(transition) {
            self.tell(EventKind::Recovered {
                agent: transition.breaker.to_string(),
                took_ms: millis(recovery.took),
                objective_ms: recovery.objective.map(millis),
                verdict: recovery.verdict,
                detect_ms: None,
                resume_ms: None,
            });
        }
        true
    }

    /// The breakers that are not simply closed, as the journal keeps them.
    fn saved_breakers(&self) -> BTreeMap<String, SavedBreaker> {
        let (saved_ms, now) = (now_ms(), self.shared.clock.now());
        let mut saved = BTreeMap::new();
        for name in self.breakers() {
            let breaker = self.shared.breaker(name).expect("it is the engine's");
            if breaker.state() == State::Closed {
                continue;
            }
            let snapshot = breaker.snapshot();
            if snapshot.state != State::Closed {
                let away_ms = self.ledger.away(name, now).map(millis);
                let breaker = SavedBreaker {
                    saved_ms,
                    away_ms,
                    snapshot,
                };
                saved.insert(name.to_owned(), breaker);
            }
        }
        saved
    }

    /// Tells the journal with the next commit, and then the listeners.
    fn tell(&mut self, kind: EventKind) {
        if kind.is_journaled() {
            self.changes.events.push(kind);
        } else {
            self.shared.events.of_run(&self.id, kind);
        }
    }

    async fn flush(&mut self) -> Result<(), JournalError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        if let Some(purse) = &self.purse {
            self.journal.head.spending = Some(purse.spending());
        }
        let mut changes = std::mem::take(&mut self.changes);
        let good = self.good_outputs(&changes);
        let result = self.journal.commit(&mut changes).await;
        match result {
            Ok(()) => {
                for step in &changes.steps {
                    self.live(&step.name).unsure = 0;
                }
                // What is shown as done survives a crash that follows.
                let events = changes.events.into_iter();
                for event in events.filter(|event| !event.is_of_engine()) {
                    self.shared.events.of_run(&self.id, event);
                }
                self.keep_good(good).await;
            }
            Err(_) => {
                let steps = changes.steps.into_iter().map(|step| step.name);
                self.unsure.extend(steps);
            }
        }
        result
    }

    /// Nothing runs, and nothing will: all is settled, or what waits is not waited for.
    fn is_over(&self) -> bool {
        let status = |wanted| self.steps.values().any(|live| live.record.status == wanted);
        let awaited = self.settings.wait && status(StepStatus::Waiting);
        !(status(StepStatus::Running) || awaited)
    }

    fn step(&self, name: &str) -> Step {
        let step = self.workflow.step(name);
        step.expect("only steps of the workflow are run").clone()
    }

    fn live(&mut self, name: &str) -> &mut Live {
        self.steps
            .get_mut(name)
            .expect("only steps of the workflow are named")
    }
}

/// How long to leave an agent alone: until its breaker lets a probe through, or that of what it depends on, or, while
/// both are closed although the call failed, as long as its retries would wait at most. Not at all, where it is
/// back and only others go before.
fn wait_for(member: &Member, dependency: Option<&Breaker>, behind: bool) -> Duration {
    match member.breaker.availability() {
        Availability::NotBefore(wait) => wait,
        Availability::ProbeReady => Duration::ZERO,
        _ if behind => Duration::ZERO,
        Availability::Ready | Availability::Never => match dependency.map(Breaker::availability) {
            Some(Availability::NotBefore(wait)) => wait,
            _ => member.pause,
        },
    }
}
