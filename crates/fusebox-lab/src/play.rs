//! One go: the runs of a plan over one engine, with or without its breakers.

mod moves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::Agent;
use fusebox_breaker::Override;
use fusebox_orchestrator::file::{AgentSpec, WorkflowFile};
use fusebox_orchestrator::{
    Engine, EngineError, RunId, RunOptions, RunReport, RunStatus, StepStatus,
};
use fusebox_policy::TokioClock;
use fusebox_state::StateStore;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::moves::{Move, Moves, Outage};
use crate::plan::{Plan, Without};
use crate::watch::{Answer, Call, Calls, Watched, run_name};

/// What stands between the runs and the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Everything the file says.
    On,
    /// The same but the breakers, and what [`Without`] adds to them.
    Off,
}

/// A run that is over. Times count from the beginning of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    pub(crate) end: End,
    /// The agents, by their places, of steps that failed without a call: there was no slot for it.
    pub(crate) starved: Vec<usize>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Degraded,
    /// Before its objective was over.
    Failed,
    /// Its objective was over.
    Late,
    /// The measurement was stopped meanwhile.
    CutOff,
}

impl End {
    pub(crate) fn is_delivered(self) -> bool {
        matches!(self, Self::Completed | Self::Degraded)
    }

    fn of(report: &RunReport) -> Self {
        match report.status {
            RunStatus::Completed => Self::Completed,
            RunStatus::Degraded => Self::Degraded,
            RunStatus::Cancelled => Self::CutOff,
            _ if report.duration_ms >= report.objective_ms => Self::Late,
            _ => Self::Failed,
        }
    }
}

/// What is known after a go.
#[derive(Debug)]
pub(crate) struct Played {
    /// The breakers: those of the agents, by name, then those of what they depend on. Calls and moves tell them by
    /// their place.
    pub(crate) breakers: Vec<String>,
    pub(crate) runs: Vec<Ran>,
    pub(crate) calls: Vec<Call>,
    pub(crate) moves: Vec<Move>,
    pub(crate) outages: Vec<Outage>,
    /// When the last run was over.
    pub(crate) ended: Duration,
}

impl Played {
    /// Whether nobody answered this call because its run was over: that says nothing about the agent.
    pub(crate) fn is_cut_off(&self, call: &Call) -> bool {
        /// What may lie between the two on real time.
        const AT_ONCE: Duration = Duration::from_millis(20);
        call.answer == Answer::None && call.ended + AT_ONCE >= self.runs[call.run].ended
    }
}

/// How to play.
pub(crate) struct Stage<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) protection: Protection,
    pub(crate) seed: u64,
    pub(crate) store: Arc<dyn StateStore>,
    /// What each run is given.
    pub(crate) input: Value,
    /// Where agents leave files.
    pub(crate) artifacts: Option<std::path::PathBuf>,
    pub(crate) cancellation: CancellationToken,
}

impl Stage<'_> {
    /// Begins every run in its time and waits for all of them. `told` hears of each that is over.
    pub(crate) async fn play<E: From<EngineError>>(
        &self,
        make: impl FnMut(&AgentSpec) -> Result<Arc<dyn Agent>, E>,
        told: &dyn Fn(usize),
    ) -> Result<Played, E> {
        let origin = Instant::now();
        let calls = Calls::since(origin);
        let engine = self.engine(&calls, make)?;
        let breakers = engine.breakers();
        let breakers: Vec<String> = breakers.map(|breaker| breaker.name().to_string()).collect();
        let moves = Moves::follow(&engine, &breakers);
        let (sender, mut ended) = mpsc::unbounded_channel();
        let arrivals = self.plan.arrivals(self.seed);
        let file = Arc::new(self.plan.file.clone());
        let mut begun = 0;
        for (number, at) in arrivals.into_iter().enumerate() {
            tokio::select! {
                biased;
                () = self.cancellation.cancelled() => break,
                () = tokio::time::sleep_until(origin + at) => {}
            }
            let (engine, file, sender) = (engine.clone(), Arc::clone(&file), sender.clone());
            let options = self.options(number);
            tokio::spawn(async move {
                let since = origin.elapsed();
                let result = engine.run(&file.workflow, options).await;
                let ran = result.map(|report| Ran {
                    begun: since,
                    ended: origin.elapsed(),
                    end: End::of(&report),
                    starved: starved(&report, &file),
                });
                // Nobody waits once another run could not begin.
                let _ = sender.send((number, ran));
            });
            begun = number + 1;
        }
        drop(sender);
        let mut runs = BTreeMap::new();
        while let Some((number, ran)) = ended.recv().await {
            runs.insert(number, ran?);
            told(runs.len());
        }
        assert_eq!(
            runs.len(),
            begun,
            "a run that begins ends, unless the engine panics"
        );
        let ended = origin.elapsed();
        let (moves, outages) = moves.end(&engine).await;
        Ok(Played {
            breakers,
            runs: runs.into_values().collect(),
            calls: calls.take(),
            moves,
            outages,
            ended,
        })
    }

    fn engine<E: From<EngineError>>(
        &self,
        calls: &Calls,
        mut make: impl FnMut(&AgentSpec) -> Result<Arc<dyn Agent>, E>,
    ) -> Result<Engine, E> {
        let file = &self.plan.file;
        let faults = self.plan.fault_plan();
        let builder = Engine::builder(Arc::clone(&self.store))
            .clock(Arc::new(TokioClock::new()))
            .seed(self.seed)
            // Nobody reads the journals.
            .retention(Duration::ZERO)
            .paced(self.protection == Protection::On);
        let builder = file.equip(builder, |spec| {
            let place = file.agents.keys().position(|name| *name == spec.name);
            let place = place.expect("an agent of the file");
            let agent = faults.wrap(make(spec)?, self.seed);
            Ok::<_, E>(Arc::new(Watched::new(agent, place, calls.clone())) as Arc<dyn Agent>)
        })?;
        let engine = builder.build()?;
        if self.protection == Protection::Off {
            for breaker in engine.breakers() {
                breaker.disable(Override::new("the side without breakers", "lab"));
            }
        }
        Ok(engine)
    }

    fn options(&self, number: usize) -> RunOptions {
        let id: RunId = run_name(number).parse().expect("a plain name");
        let mut options = RunOptions::default()
            .with_id(id)
            .with_input(self.input.clone());
        options.budget = self.plan.file.budget;
        options.artifacts.clone_from(&self.artifacts);
        options.cancellation = self.cancellation.child_token();
        options.wait = self.protection == Protection::On || self.plan.without == Without::Breakers;
        options
    }
}

fn starved(report: &RunReport, file: &WorkflowFile) -> Vec<usize> {
    let steps = report.steps.iter();
    let steps = steps.filter(|step| step.status == StepStatus::Failed && step.attempts == 0);
    let place = |agent: &str| file.agents.keys().position(|name| name == agent);
    steps.filter_map(|step| place(&step.agent)).collect()
}
