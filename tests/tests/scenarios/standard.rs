//! The standard workflow: its agents, its edges, its protections, and a stage to play it on.
//!
//! Every agent answers with a digest of what it was asked and of all its upstream's digests, so
//! that an output tells whether the data took the way it should have. An agent that lacks an
//! upstream it needs fails, as a real one would.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fusebox::agent::{FaultPlan, FaultyAgent};
use fusebox::breaker::{Counts, State, presets::Preset};
use fusebox::orchestrator::{EngineBuilder, EventKind, WorkflowBuilder};
use fusebox::prelude::*;
use fusebox::{
    AgentError, Engine, OnUnavailable, Reply, Resilience, RunOptions, RunReport, Step, Task,
    Workflow, agent_fn, presets,
};
use fusebox_testkit::{EventLog, Journal, Witness};
use serde_json::{Value, json};

use crate::world::World;

pub(crate) const TRIAGE: &str = "triage";
pub(crate) const SUPERVISOR: &str = "supervisor";
pub(crate) const DATA: &str = "data";
pub(crate) const OPTIMIZATION: &str = "optimization";
pub(crate) const AGGREGATION: &str = "aggregation";
pub(crate) const COMPLETION: &str = "completion";

/// The objective of a run, unless a scenario is about objectives.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A part of the standard workflow: its agents in their order.
pub(crate) type Chain = &'static [&'static str];

/// Whom an agent takes from in the whole workflow.
fn upstream(agent: &str) -> &'static [&'static str] {
    match agent {
        SUPERVISOR => &[TRIAGE],
        DATA => &[TRIAGE, SUPERVISOR],
        OPTIMIZATION => &[SUPERVISOR, DATA],
        AGGREGATION => &[DATA, OPTIMIZATION],
        COMPLETION => &[AGGREGATION],
        _ => &[],
    }
}

/// Whom an agent takes from in a part of it: its own upstream as far as it is there, and always the
/// agent before it.
pub(crate) fn needs(chain: Chain, agent: &str) -> Vec<&'static str> {
    let place = chain.iter().position(|name| *name == agent);
    let place = place.expect("an agent of the chain");
    let before = &chain[..place];
    let is_needed = |name: &&&str| before.last() == Some(*name) || upstream(agent).contains(name);
    before.iter().filter(is_needed).copied().collect()
}

/// A step of the chain as the standard workflow has it.
pub(crate) fn step(chain: Chain, agent: &'static str) -> Step {
    Step::new(agent).requires(needs(chain, agent))
}

/// The chain, with every edge required: a step does not start without its upstream.
pub(crate) fn shielded(chain: Chain) -> Workflow {
    build(graph(chain, step))
}

/// The chain without gates: steps go on without what they need.
pub(crate) fn unshielded(chain: Chain) -> Workflow {
    build(graph(chain, |chain, agent| {
        Step::new(agent)
            .optional(needs(chain, agent))
            .on_unavailable(OnUnavailable::Skip)
    }))
}

/// The chain with steps as `make` makes them.
pub(crate) fn graph(chain: Chain, make: impl Fn(Chain, &'static str) -> Step) -> WorkflowBuilder {
    let steps = chain.iter().map(|agent| make(chain, agent));
    let builder = Workflow::builder("standard").objective(DAY);
    steps.fold(builder, WorkflowBuilder::step)
}

pub(crate) fn build(graph: WorkflowBuilder) -> Workflow {
    graph.build().expect("a part of the standard workflow")
}

/// What `agent` answers to `request` when everything it needs reached it whole.
pub(crate) fn answer(chain: Chain, agent: &str, request: u64) -> Value {
    let upstream = needs(chain, agent).into_iter().map(|name| {
        let digest = answer(chain, name, request)["digest"].clone();
        (name, digest)
    });
    reply(agent, request, &upstream.collect())
}

fn reply(agent: &str, request: u64, upstream: &BTreeMap<&str, Value>) -> Value {
    let mut hasher = DefaultHasher::new();
    (agent, request).hash(&mut hasher);
    for (name, digest) in upstream {
        (name, digest.to_string()).hash(&mut hasher);
    }
    let digest = format!("{:016x}", hasher.finish());
    json!({ "by": agent, "request": request, "digest": digest })
}

fn schema(agent: &str) -> Value {
    json!({
        "type": "object",
        "required": ["by", "request", "digest"],
        "properties": {
            "by": { "const": agent },
            "request": { "type": "integer" },
            "digest": { "type": "string", "minLength": 16, "maxLength": 16 },
        },
    })
}

/// What is to be played.
pub(crate) struct Setup<'a> {
    world: &'a World,
    chain: Chain,
    faults: FaultPlan,
    outages: BTreeMap<&'static str, usize>,
    presets: BTreeMap<&'static str, Preset>,
    bulkheads: BTreeMap<&'static str, Option<usize>>,
    takes: Duration,
    schemas: bool,
}

impl<'a> Setup<'a> {
    /// Every agent under its own preset, none faulty.
    pub(crate) fn new(world: &'a World, chain: Chain) -> Self {
        let preset = |name: &&'static str| {
            let preset = presets::by_name(name).expect("every stage has a preset");
            (*name, preset.scaled(world.pace()))
        };
        Self {
            world,
            chain,
            faults: FaultPlan::new(),
            outages: BTreeMap::new(),
            presets: chain.iter().map(preset).collect(),
            bulkheads: BTreeMap::new(),
            takes: Duration::ZERO,
            schemas: true,
        }
    }

    /// Adds a fault, `agent=kind:ratio`.
    pub(crate) fn fault(mut self, entry: &str) -> Self {
        self.faults = self.faults.with_entry(entry).expect("a fault");
        self
    }

    /// Makes an agent fail its first `attempts` attempts.
    pub(crate) fn outage(mut self, agent: &'static str, attempts: usize) -> Self {
        self.outages.insert(agent, attempts);
        self
    }

    /// Changes the preset of an agent.
    pub(crate) fn tune(mut self, agent: &str, change: impl FnOnce(&mut Preset)) -> Self {
        change(self.presets.get_mut(agent).expect("an agent of the chain"));
        self
    }

    /// Changes every preset.
    pub(crate) fn tune_all(mut self, change: impl Fn(&mut Preset)) -> Self {
        self.presets.values_mut().for_each(change);
        self
    }

    /// Takes the breaker away, as far as that goes: its thresholds are out of reach.
    pub(crate) fn without_breaker(self, agent: &str) -> Self {
        self.tune(agent, |preset| {
            preset.consecutive_failures = 500_000;
            preset.window.size = 100_000;
            preset.window.minimum_number_of_calls = 100_000;
        })
    }

    /// Lets so many calls of an agent in at once; `None`: as many as come.
    pub(crate) fn bulkhead(mut self, agent: &'static str, limit: Option<usize>) -> Self {
        self.bulkheads.insert(agent, limit);
        self
    }

    /// Makes every answer take a while.
    pub(crate) fn takes(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    /// Takes whatever an agent answers.
    pub(crate) fn without_schemas(mut self) -> Self {
        self.schemas = false;
        self
    }

    pub(crate) fn build(self) -> Stage {
        self.build_with(|engine| engine)
    }

    pub(crate) fn build_with(self, adjust: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Stage {
        let mut players = BTreeMap::new();
        let mut engine = Engine::builder(Arc::clone(&self.world.store)).seed(self.world.seed);
        for name in self.chain {
            let player = self.player(name);
            let mut resilience = Resilience::preset(self.presets[name]).expect("a sound preset");
            if let Some(limit) = self.bulkheads.get(name) {
                resilience.max_concurrent_calls = *limit;
            }
            engine = engine.agent(player.asked.clone(), resilience);
            players.insert(*name, player);
        }
        let engine = adjust(engine).build().expect("every agent once");
        Stage {
            log: EventLog::of(&engine),
            store: Arc::clone(&self.world.store),
            engine,
            players,
        }
    }

    fn player(&self, name: &'static str) -> Player {
        let needed = needs(self.chain, name);
        let takes = self.takes;
        let outage = self.outages.get(name).copied().unwrap_or(0);
        let before = AtomicUsize::new(0);
        let agent = agent_fn(name, move |task: Task, _cx| {
            let answer = match before.fetch_add(1, Ordering::SeqCst) < outage {
                true => Err(AgentError::api("503")),
                false => work(name, &needed, &task.input),
            };
            async move {
                if !takes.is_zero() {
                    tokio::time::sleep(takes).await;
                }
                answer.map(Reply::new)
            }
        });
        let agent = match self.schemas {
            true => agent.with_output_schema(schema(name)),
            false => agent,
        };
        let reached = Witness::new(agent);
        let rules = self.faults.rules(name).to_vec();
        let faulty = FaultyAgent::new(Arc::new(reached.clone()), rules, self.world.seed);
        Player {
            asked: Witness::new(faulty),
            reached,
        }
    }
}

fn work(name: &str, needed: &[&'static str], input: &Value) -> Result<Value, AgentError> {
    let mut upstream = BTreeMap::new();
    for up in needed {
        let digest = input["upstream"]
            .get(up)
            .map(|output| output["digest"].clone());
        upstream.insert(*up, digest.ok_or_else(|| AgentError::unavailable(up))?);
    }
    let request = input["input"].as_u64();
    let request = request.ok_or_else(|| AgentError::invalid_input("no request"))?;
    Ok(reply(name, request, &upstream))
}

/// An agent of the workflow, watched on both sides of its faults.
pub(crate) struct Player {
    /// Every attempt, struck by a fault or not.
    pub(crate) asked: Witness,
    /// The attempts that no fault kept away.
    pub(crate) reached: Witness,
}

/// An engine with the agents of a chain.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) players: BTreeMap<&'static str, Player>,
    pub(crate) log: EventLog,
}

impl Stage {
    /// How often an agent was asked, struck or not.
    pub(crate) fn asked(&self, agent: &str) -> u64 {
        self.players[agent].asked.calls() as u64
    }

    /// Attempts that a fault kept from the agent.
    pub(crate) fn struck(&self, agent: &str) -> u64 {
        self.asked(agent) - self.players[agent].reached.calls() as u64
    }

    pub(crate) fn counts(&self, agent: &str) -> Counts {
        self.engine.breaker(agent).expect("an agent").counts()
    }

    pub(crate) fn state(&self, agent: &str) -> State {
        self.engine.breaker(agent).expect("an agent").state()
    }

    /// Runs `workflow` for `request`, under the name `r<request>`.
    pub(crate) async fn run(&self, workflow: &Workflow, request: u64) -> RunReport {
        let options = self.options(request);
        self.engine.run(workflow, options).await.expect("it starts")
    }

    /// As [`run`](Self::run); an agent that is not available is not waited for.
    pub(crate) async fn run_without_waiting(&self, workflow: &Workflow, request: u64) -> RunReport {
        let options = self.options(request).without_waiting();
        self.engine.run(workflow, options).await.expect("it starts")
    }

    /// Runs `workflow` for all of `requests` at once; the reports in their order.
    pub(crate) async fn run_all(
        &self,
        workflow: &Workflow,
        requests: Range<u64>,
    ) -> Vec<RunReport> {
        let runs = requests.map(|request| {
            let (engine, options) = (self.engine.clone(), self.options(request));
            let workflow = workflow.clone();
            tokio::spawn(async move { engine.run(&workflow, options).await.expect("it starts") })
        });
        let mut reports = Vec::new();
        for run in runs.collect::<Vec<_>>() {
            reports.push(run.await.expect("no panic in a run"));
        }
        reports
    }

    pub(crate) fn options(&self, request: u64) -> RunOptions {
        let id = format!("r{request}").parse().expect("a name");
        RunOptions::default().with_id(id).with_input(json!(request))
    }

    pub(crate) async fn journal(&self, request: u64) -> Journal {
        Journal::read(&*self.store, &format!("r{request}")).await
    }

    /// Asserts that an agent never failed and that its breaker never moved.
    #[track_caller]
    pub(crate) fn assert_untouched(&mut self, agent: &str) {
        let counts = self.counts(agent);
        let moved = [State::Open, State::HalfOpen, State::Closed];
        let moved: usize = moved.map(|state| self.log.moves(agent, state)).iter().sum();
        assert!(
            moved == 0 && counts.failed + counts.timed_out + counts.rejected == 0,
            "the breaker of {agent} was touched: {counts:?}, {moved} moves"
        );
    }

    /// Asserts that every call of an agent is accounted for, once.
    #[track_caller]
    pub(crate) fn assert_account(&self, agent: &str) {
        let counts = self.counts(agent);
        assert_eq!(
            counts.in_flight(),
            0,
            "calls of {agent} without an end: {counts:?}"
        );
        assert_eq!(
            counts.admitted,
            self.asked(agent),
            "calls of {agent}: {counts:?}"
        );
    }
}

/// Asserts that no step of a run started before everything it needs was there.
#[track_caller]
pub(crate) fn assert_order(chain: Chain, journal: &Journal) {
    let mut delivered = BTreeSet::new();
    for record in journal.events() {
        match &record.event {
            EventKind::StepStarted { step, .. } => {
                for up in needs(chain, step) {
                    let is_there = delivered.contains(up);
                    assert!(
                        is_there,
                        "{step} started without the output of {up}\n{journal}"
                    );
                }
            }
            EventKind::StepEnded { step, status, .. } if status.has_output() => {
                delivered.insert(step.as_str());
            }
            _ => {}
        }
    }
}

/// The moves of an agent's breaker, oldest first, as one log tells them: from, to.
pub(crate) fn moves<'a>(
    events: impl IntoIterator<Item = &'a EventKind>,
    agent: &str,
) -> Vec<(String, String)> {
    let moves = events.into_iter().filter_map(|kind| match kind {
        EventKind::BreakerMoved {
            breaker, from, to, ..
        } if breaker == agent => Some((from.clone(), to.clone())),
        _ => None,
    });
    moves.collect()
}

/// Asserts that each move begins where the one before it ended, and that there is such a move.
#[track_caller]
pub(crate) fn assert_legal(moves: &[(String, String)]) {
    const LEGAL: [(&str, &str); 4] = [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "open"),
        ("half_open", "closed"),
    ];
    for (from, to) in moves {
        assert!(
            LEGAL.contains(&(from.as_str(), to.as_str())),
            "{from} to {to}"
        );
    }
    for pair in moves.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "a move is missing: {moves:?}");
    }
}
