//! What is known and what is looked at: all that the view draws.

use std::borrow::Cow;
use std::collections::VecDeque;

use fusebox::RunStatus;
use fusebox::orchestrator::control::{EngineInfo, LiveRunInfo, Overview};
use fusebox::orchestrator::{Action, AgentHealth, Event, EventKind, HealthStatus, RunHead};

use crate::progress::describe;

/// The most events that are kept.
const EVENTS: usize = 500;

#[derive(Debug)]
pub(super) struct Model {
    /// The state directory, as it was given.
    pub(super) place: String,
    /// Milliseconds since 1970 (UTC), as all times here.
    pub(super) now_ms: u64,
    pub(super) colour: bool,
    /// The oldest first.
    engines: Vec<Engine>,
    /// The newest first.
    heads: Vec<RunHead>,
    /// Why the store could not be read.
    pub(super) unread: Option<String>,
    /// The newest first.
    events: VecDeque<Line>,
    pub(super) pane: Pane,
    /// What is selected, by its name, so that it stays when rows come and go.
    breaker: Option<(u32, String)>,
    run: Option<String>,
    /// How many of the newest events are passed over.
    pub(super) back: usize,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// What became of the last action.
    pub(super) notice: Option<Result<String, String>>,
}

#[derive(Debug)]
struct Engine {
    overview: Overview,
    heard_ms: u64,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) at_ms: u64,
    pub(super) pid: u32,
    pub(super) run: Option<String>,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Breakers,
    Runs,
    Events,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Look,
    /// The filter is typed.
    Filter,
    /// A reason is typed.
    Ask {
        act: Act,
        reason: String,
    },
    Help,
}

/// What a person may do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// In every engine that has the agent.
    Operate {
        agent: String,
        action: Action,
        /// For how long, in milliseconds; `None` until it is released.
        for_ms: Option<u64>,
    },
    Cancel {
        run: String,
    },
}

/// A breaker as it is now.
pub(super) struct BreakerRow<'a> {
    pub(super) pid: u32,
    /// Also what agents depend on.
    pub(super) agent: Cow<'a, AgentHealth>,
    /// How long ago it was like that.
    pub(super) age_ms: u64,
}

/// A run as the store and its engine have it.
pub(super) struct RunRow<'a> {
    pub(super) run: &'a str,
    /// `None` until the store has it.
    pub(super) head: Option<&'a RunHead>,
    /// Its engine and how it fares there, where one works on it.
    pub(super) live: Option<(u32, &'a LiveRunInfo, u64)>,
}

impl RunRow<'_> {
    pub(super) fn status(&self) -> RunStatus {
        match (self.live, self.head) {
            (None, Some(head)) => head.status,
            _ => RunStatus::Running,
        }
    }
}

impl Model {
    pub(super) fn new(place: String, now_ms: u64) -> Self {
        Self {
            place,
            now_ms,
            colour: true,
            engines: Vec::new(),
            heads: Vec::new(),
            unread: None,
            events: VecDeque::new(),
            pane: Pane::Breakers,
            breaker: None,
            run: None,
            back: 0,
            filter: String::new(),
            mode: Mode::Look,
            notice: None,
        }
    }

    // What comes in.

    pub(super) fn engine(&mut self, overview: Overview, heard_ms: u64) {
        let known = |known: &&mut Engine| known.overview.engine == overview.engine;
        match self.engines.iter_mut().find(known) {
            Some(engine) => (engine.overview, engine.heard_ms) = (overview, heard_ms),
            None => {
                self.engines.push(Engine { overview, heard_ms });
                let age = |it: &Engine| (it.overview.engine.started_ms, it.overview.engine.pid);
                self.engines.sort_by_key(age);
            }
        }
    }

    pub(super) fn gone(&mut self, engine: &EngineInfo) {
        self.engines.retain(|it| it.overview.engine != *engine);
    }

    pub(super) fn event(&mut self, pid: u32, event: Event, at_ms: u64) {
        let text = match &event.kind {
            EventKind::Operated {
                agent,
                action,
                by,
                reason,
            } => Some(format!("{by}: {action} {agent}: {reason}")),
            other => describe(other),
        };
        if let Some(text) = text {
            self.line(pid, event.run, text, at_ms);
        }
    }

    /// An engine told so many events that this process was too slow to hear.
    pub(super) fn missed(&mut self, pid: u32, missed: u64, at_ms: u64) {
        let what = if missed == 1 { "event" } else { "events" };
        self.line(pid, None, format!("{missed} {what} missed"), at_ms);
    }

    fn line(&mut self, pid: u32, run: Option<String>, text: String, at_ms: u64) {
        self.events.push_front(Line {
            at_ms,
            pid,
            run,
            text,
        });
        self.events.truncate(EVENTS);
        // Whoever reads older ones goes on reading them.
        if self.back > 0 {
            self.back = (self.back + 1).min(EVENTS - 1);
        }
    }

    pub(super) fn heads(&mut self, heads: Result<Vec<RunHead>, String>) {
        match heads {
            Ok(heads) => {
                self.heads = heads;
                self.unread = None;
            }
            Err(why) => self.unread = Some(why),
        }
    }

    pub(super) fn done(&mut self, done: Result<String, String>) {
        self.notice = Some(done);
    }

    // What is there to see.

    pub(super) fn engine_count(&self) -> usize {
        self.engines.len()
    }

    pub(super) fn live_count(&self) -> usize {
        self.engines.iter().map(|it| it.overview.runs.len()).sum()
    }

    /// The worst of all engines, and the reasons, the worst first. `None` without an engine.
    pub(super) fn health(&self) -> Option<(HealthStatus, Vec<&str>)> {
        let mut all: Vec<_> = self.engines.iter().map(|it| &it.overview.health).collect();
        all.sort_by_key(|health| std::cmp::Reverse(health.status));
        let reasons = all.iter().flat_map(|health| &health.reasons);
        Some((all.first()?.status, reasons.map(String::as_str).collect()))
    }

    /// Those that the filter lets through, those that are not closed first, and how many there are in all.
    pub(super) fn breakers(&self) -> (Vec<BreakerRow<'_>>, usize) {
        let rows = self.engines.iter().flat_map(|engine| {
            let age_ms = self.now_ms.saturating_sub(engine.heard_ms);
            let breakers = engine.overview.health.breakers();
            breakers.map(move |agent| BreakerRow {
                pid: engine.overview.engine.pid,
                agent,
                age_ms,
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|row| rank(&row.agent.state));
        let all = rows.len();
        let passes = |row: &BreakerRow<'_>| {
            let reason = row.agent.reason.as_deref().unwrap_or_default();
            self.passes([&row.agent.agent, &row.agent.state, reason])
        };
        (rows.into_iter().filter(passes).collect(), all)
    }

    /// Those that are worked on first, then the newest.
    pub(super) fn runs(&self) -> (Vec<RunRow<'_>>, usize) {
        let mut rows = Vec::new();
        for engine in &self.engines {
            let age_ms = self.now_ms.saturating_sub(engine.heard_ms);
            for live in &engine.overview.runs {
                let head = self.heads.iter().find(|head| head.run == live.run);
                rows.push(RunRow {
                    run: &live.run,
                    head,
                    live: Some((engine.overview.engine.pid, live, age_ms)),
                });
            }
        }
        let live: std::collections::HashSet<&str> = rows.iter().map(|row| row.run).collect();
        let stored = self.heads.iter().filter(|head| !live.contains(&*head.run));
        rows.extend(stored.map(|head| RunRow {
            run: &head.run,
            head: Some(head),
            live: None,
        }));
        let all = rows.len();
        let passes = |row: &RunRow<'_>| {
            let (workflow, reason) = row.head.map_or(("", None), |head| {
                (head.workflow.as_str(), head.reason.as_deref())
            });
            let status = row.status().to_string();
            self.passes([row.run, workflow, &status, reason.unwrap_or_default()])
        };
        (rows.into_iter().filter(passes).collect(), all)
    }

    pub(super) fn events(&self) -> Vec<&Line> {
        let passes = |line: &&Line| {
            let run = line.run.as_deref().unwrap_or_default();
            self.passes([run, &line.text])
        };
        self.events.iter().filter(passes).collect()
    }

    fn passes<const N: usize>(&self, texts: [&str; N]) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.is_empty() || texts.iter().any(|it| it.to_lowercase().contains(&wanted))
    }

    // What is selected.

    /// Where the selected breaker stands among those shown; the first where none is selected or it is gone.
    pub(super) fn breaker_at(&self, rows: &[BreakerRow<'_>]) -> usize {
        let selected = self.breaker.as_ref();
        let is_it = |row: &BreakerRow<'_>| {
            selected.is_some_and(|(pid, agent)| row.pid == *pid && row.agent.agent == *agent)
        };
        rows.iter().position(is_it).unwrap_or(0)
    }

    pub(super) fn run_at(&self, rows: &[RunRow<'_>]) -> usize {
        let selected = self.run.as_deref();
        let at = rows.iter().position(|row| selected == Some(row.run));
        at.unwrap_or(0)
    }

    /// Selects the one that stands so many rows further; stops at both ends.
    pub(super) fn step(&mut self, by: isize) {
        let to = |at: usize, len: usize| at.saturating_add_signed(by).min(len.saturating_sub(1));
        match self.pane {
            Pane::Breakers => {
                let (rows, _) = self.breakers();
                let row = rows.get(to(self.breaker_at(&rows), rows.len()));
                self.breaker = row.map(|row| (row.pid, row.agent.agent.clone()));
            }
            Pane::Runs => {
                let (rows, _) = self.runs();
                let row = rows.get(to(self.run_at(&rows), rows.len()));
                self.run = row.map(|row| row.run.to_owned());
            }
            Pane::Events => self.back = to(self.back, self.events().len()),
        }
    }

    /// The agent whose breaker is selected.
    pub(super) fn selected_agent(&self) -> Option<String> {
        let (rows, _) = self.breakers();
        let row = rows.get(self.breaker_at(&rows))?;
        Some(row.agent.agent.clone())
    }

    pub(super) fn selected_run(&self) -> Option<String> {
        let (rows, _) = self.runs();
        Some(rows.get(self.run_at(&rows))?.run.to_owned())
    }
}

/// What needs a look comes first.
fn rank(state: &str) -> u8 {
    match state {
        "open" | "forced_open" => 0,
        "half_open" => 1,
        "closed" => 3,
        _ => 2,
    }
}
