//! What an engine told.

use std::fmt;

use fusebox_breaker::State;
use fusebox_orchestrator::{Engine, Event, EventKind, RtoVerdict, StepStatus};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Collects the events of an engine, from its making on.
///
/// The engine keeps 1024 events for a listener. A test that makes more asks in between; a log that
/// missed some panics rather than say that something did not happen.
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_agent::AgentError;
/// use fusebox_breaker::State;
/// use fusebox_orchestrator::{Engine, Resilience, RunOptions, Step, Workflow};
/// use fusebox_testkit::{EventLog, ScriptedAgent, virtual_time};
///
/// virtual_time(3, async |time| {
///     let flaky = ScriptedAgent::new("flaky").fails(AgentError::api("503")).answers(1);
///     let engine = Engine::builder(Arc::new(time.memory_store()))
///         .agent(flaky, Resilience::default())
///         .build()
///         .unwrap();
///     let workflow = Workflow::builder("w").step(Step::new("flaky")).build().unwrap();
///     let mut log = EventLog::of(&engine);
///     engine.run(&workflow, RunOptions::default()).await.unwrap();
///     assert_eq!(log.starts("flaky"), 2);
///     assert_eq!(log.moves("flaky", State::Open), 0);
/// });
/// ```
#[derive(Debug)]
pub struct EventLog {
    receiver: Receiver<Event>,
    events: Vec<Event>,
}

impl EventLog {
    /// Begins to listen.
    pub fn of(engine: &Engine) -> Self {
        Self {
            receiver: engine.subscribe(),
            events: Vec::new(),
        }
    }

    /// Everything told so far.
    ///
    /// # Panics
    /// Events were lost, see [`EventLog`].
    #[track_caller]
    pub fn events(&mut self) -> &[Event] {
        loop {
            match self.receiver.try_recv() {
                Ok(event) => self.events.push(event),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return &self.events,
                Err(TryRecvError::Lagged(lost)) => panic!("{}", missed(lost)),
            }
        }
    }

    /// Everything told so far, one line of JSON per event: to compare two runs, or to read.
    ///
    /// # Panics
    /// As [`events`](Self::events).
    #[track_caller]
    pub fn lines(&mut self) -> Vec<String> {
        self.events().iter().map(line).collect()
    }

    /// Waits for an event that `wanted` likes, and gives it; one told before counts as well.
    ///
    /// # Panics
    /// As [`events`](Self::events), and if the engine is gone.
    pub async fn until(&mut self, wanted: impl Fn(&EventKind) -> bool) -> Event {
        let told = self.events().iter().find(|event| wanted(&event.kind));
        if let Some(event) = told {
            return event.clone();
        }
        loop {
            match self.receiver.recv().await {
                Ok(event) => {
                    self.events.push(event.clone());
                    if wanted(&event.kind) {
                        return event;
                    }
                }
                Err(RecvError::Lagged(lost)) => panic!("{}", missed(lost)),
                Err(RecvError::Closed) => panic!("the engine is gone and never told it:\n{self}"),
            }
        }
    }

    /// Whether something was told that `wanted` likes.
    #[track_caller]
    pub fn has(&mut self, wanted: impl Fn(&EventKind) -> bool) -> bool {
        self.count(wanted) > 0
    }

    /// How many events were told that `wanted` likes.
    #[track_caller]
    pub fn count(&mut self, wanted: impl Fn(&EventKind) -> bool) -> usize {
        let events = self.events();
        events.iter().filter(|event| wanted(&event.kind)).count()
    }

    /// How often `step` was handed to its agent, retries included.
    #[track_caller]
    pub fn starts(&mut self, step: &str) -> usize {
        self.count(|kind| matches!(kind, EventKind::StepStarted { step: told, .. } if told == step))
    }

    /// How `step` ended last.
    #[track_caller]
    pub fn ending(&mut self, step: &str) -> Option<StepStatus> {
        self.last(|kind| match kind {
            EventKind::StepEnded {
                step: told, status, ..
            } if told == step => Some(*status),
            _ => None,
        })
    }

    /// The unavailable step that shielded `step` last.
    #[track_caller]
    pub fn shield(&mut self, step: &str) -> Option<String> {
        self.last(|kind| match kind {
            EventKind::StepShielded { step: told, by } if told == step => Some(by.clone()),
            _ => None,
        })
    }

    /// How often the breaker of `agent` moved to `state`.
    #[track_caller]
    pub fn moves(&mut self, agent: &str, state: State) -> usize {
        let state = state.to_string();
        self.count(|kind| {
            matches!(kind, EventKind::BreakerMoved { breaker, to, .. }
                if breaker == agent && *to == state)
        })
    }

    /// Whether the last recovery of `agent` kept its objective; `None`: it never recovered.
    #[track_caller]
    pub fn recovery(&mut self, agent: &str) -> Option<RtoVerdict> {
        self.last(|kind| match kind {
            EventKind::Recovered {
                agent: told,
                verdict,
                ..
            } if told == agent => Some(*verdict),
            _ => None,
        })
    }

    #[track_caller]
    fn last<T>(&mut self, pick: impl Fn(&EventKind) -> Option<T>) -> Option<T> {
        let events = self.events();
        events.iter().rev().find_map(|event| pick(&event.kind))
    }
}

/// What was collected when it was last asked, one line per event.
impl fmt::Display for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "{}", line(event)))
    }
}

fn line(event: &Event) -> String {
    let kind = serde_json::to_string(&event.kind).expect("events are plain data");
    format!("{} {kind}", event.run.as_deref().unwrap_or("engine"))
}

fn missed(lost: u64) -> String {
    format!("{lost} events were told while nobody asked; ask the log more often than every 1024")
}
