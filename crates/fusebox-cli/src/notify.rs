//! Tells others what happens in a run: a service by a POST, a program by its standard input.
//!
//! Events are gathered while a message is on its way, and for a second after: so a storm of transitions is one message
//! per second, with all of them in it. A message that does not arrive is tried three times, then said on standard
//! error. The run waits for none of it; at its end the last message gets a few seconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fusebox::agent::{Agent, ErrorKind, Guard};
use fusebox::endpoints::{CommandAgent, HttpAgent, OutputFormat, Secret};
use fusebox::orchestrator::{Event, EventKind};
use fusebox::policy::{Policy, Retry};
use fusebox::{Breaker, Context, Engine, Reply, RunStatus, Task, agent_fn};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;

use crate::args::How;
use crate::failure::Failure;
use crate::output;

/// The shortest time between two messages.
const PACE: Duration = Duration::from_secs(1);

/// Events in one message; more are counted.
const MOST: usize = 100;

/// How long one attempt at a message may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How long the end of a run waits for its last message.
const GRACE: Duration = Duration::from_secs(5);

/// Somebody to be told.
struct Listener {
    guard: Guard,
    started_ms: u128,
}

/// The task that tells.
pub(crate) struct Notifier {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Begins to tell those that the command line names; `None` where it names nobody.
    pub(crate) fn start(engine: &Engine, how: &How) -> Result<Option<Self>, Failure> {
        let services = how.notify_url.iter().map(|url| service(url));
        let programs = how.notify_command.iter().map(|line| program(line));
        let listeners = services.chain(programs).collect::<Result<Vec<_>, _>>()?;
        if listeners.is_empty() {
            return Ok(None);
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(tell_all(engine.subscribe(), listeners, stopped));
        Ok(Some(Self { stop, task }))
    }

    /// Tells the last of it.
    pub(crate) async fn finish(self) {
        // The task may have ended with the engine.
        let _ = self.stop.send(());
        if tokio::time::timeout(GRACE, self.task).await.is_err() {
            output::remark("the last notification did not arrive in time");
        }
    }
}

fn service(url: &str) -> Result<Listener, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::misuse(format!("--notify-url: {error}"));
    let url = match url.strip_prefix("env:") {
        None => url.to_owned(),
        Some(variable) => std::env::var(variable)
            .map_err(|_| bad(&format!("the variable `{variable}` is not set")))?,
    };
    let mut agent = HttpAgent::builder("notify-url", url);
    if let Ok(token) = Secret::from_env("FUSEBOX_NOTIFY_TOKEN") {
        agent = agent.bearer(token);
    }
    let agent = agent.build().map_err(|error| bad(&error))?;
    Ok(Listener::new("notify-url", Arc::new(agent)))
}

fn program(line: &str) -> Result<Listener, Failure> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let program = words
        .next()
        .ok_or_else(|| Failure::misuse("--notify-command is empty"))?;
    let agent = CommandAgent::new("notify-command", program, words.collect::<Vec<_>>())
        .with_output(OutputFormat::Text);
    Ok(Listener::new("notify-command", Arc::new(agent)))
}

impl Listener {
    fn new(name: &str, agent: Arc<dyn Agent>) -> Self {
        let agent = agent_fn(name, move |task: Task, cx: Context| {
            let agent = Arc::clone(&agent);
            async move {
                match agent.call(task, &cx).await {
                    // It has arrived; what the other side says to it is its own business.
                    Err(error) if error.kind == ErrorKind::InvalidOutput => Ok(Reply::default()),
                    result => result,
                }
            }
        });
        let config = fusebox::presets::EXTERNAL_API.config();
        let breaker = Breaker::new(name, config.expect("presets are valid"));
        let policy = Policy::builder(breaker)
            .retry(Retry::new(3).with_base(Duration::from_millis(500)))
            .attempt_timeout(ATTEMPT);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            guard: Guard::new(Arc::new(agent), policy.build()),
            started_ms: since_1970.unwrap_or_default().as_millis(),
        }
    }

    /// `number` makes the message one that the other side can know again when it comes a second time.
    async fn tell(&self, message: &Value, number: u64) {
        let process = format!("notify-{}-{}", std::process::id(), self.started_ms);
        let cx = Context::new(process, number.to_string());
        let told = self.guard.call(Task::new(message.clone()), cx, &()).await;
        if let Err(error) = told {
            output::remark(&format!("a notification was lost: {error}"));
        }
    }
}

async fn tell_all(
    mut events: broadcast::Receiver<Event>,
    listeners: Vec<Listener>,
    mut stopped: oneshot::Receiver<()>,
) {
    let (mut is_over, mut number) = (false, 0);
    while !is_over {
        let mut batch = Batch::default();
        while batch.events.is_empty() {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => batch.add(event),
                    Err(RecvError::Lagged(missed)) => batch.missed += missed,
                    Err(RecvError::Closed) => return,
                },
                _ = &mut stopped => {
                    is_over = true;
                    break;
                }
            }
        }
        // A storm comes as one.
        if !is_over {
            is_over = tokio::time::timeout(PACE, &mut stopped).await.is_ok();
        }
        batch.add_waiting(&mut events);
        if batch.events.is_empty() {
            continue;
        }
        let message = batch.message();
        number += 1;
        // One after the other: who has to wait here is a message, and no run.
        for listener in &listeners {
            listener.tell(&message, number).await;
        }
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    missed: u64,
}

impl Batch {
    fn add(&mut self, event: Event) {
        if !matters(&event.kind) {
            return;
        }
        if self.events.len() < MOST {
            self.events.push(event);
        } else {
            self.missed += 1;
        }
    }

    fn add_waiting(&mut self, events: &mut broadcast::Receiver<Event>) {
        loop {
            match events.try_recv() {
                Ok(event) => self.add(event),
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn message(&self) -> Value {
        json!({
            "fusebox": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "events": self.events,
            "missed": self.missed,
        })
    }
}

/// What somebody who is not looking wants to know of.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::BreakerMoved { .. }
        | EventKind::ObjectiveAtRisk { .. }
        | EventKind::ObjectiveBreached { .. }
        | EventKind::Recovered { .. }
        | EventKind::Operated { .. }
        | EventKind::StepSuspended { .. }
        | EventKind::StoreAway { .. }
        | EventKind::StoreBack => true,
        EventKind::RunEnded { status, .. } => *status != RunStatus::Completed,
        _ => false,
    }
}
