//! Plans: which workflow, how often it runs, what fails meanwhile, what must be kept.

mod check;
mod raw;
mod sample;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fusebox_agent::{FaultPlan, FaultRule};
use fusebox_orchestrator::file::{FileErrors, WorkflowFile};
use serde_json::Value;

use crate::latency::Latency;
use crate::random::Random;

/// Runs that a plan may need at most, over all seeds and both sides.
pub const MOST_RUNS: u64 = 1_000_000;

/// Whose time passes, and so who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Time {
    /// None at all: waits end at once, agents are stand-ins, the same seed gives the same figures.
    Virtual,
    /// Everybody's: the agents are those of the file.
    Real,
}

/// When runs begin.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// One after each such time, the first at once.
    Every(Duration),
    /// So many a second on average, at random (Poisson), drawn from the seed.
    Rate(f64),
}

/// What the unprotected side goes without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Without {
    /// The breakers, and so shielding and coming back in line. A step whose attempts are used up waits as long as its
    /// agent's `retry_cap` and tries again, within the objective.
    Breakers,
    /// The breakers, and waiting as well: a run ends as soon as the attempts of one of its steps are used up, as it
    /// does in a program that retries and gives up.
    BreakersAndWaiting,
}

/// Who answers for an agent on virtual time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StandIn {
    /// How long it takes.
    pub latency: Latency,
    /// What it answers.
    pub answer: Value,
    /// What its answers are checked against, as those of the agent are.
    pub output_schema: Value,
}

/// A fault of a plan.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedFault {
    /// The agent it strikes.
    pub agent: String,
    /// What, how often and when, counted from the beginning of the plan.
    pub rule: FaultRule,
}

/// What the protected side must keep; what is `None` is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Targets {
    /// The least share of runs delivered within their objective, in `0.0..=1.0`.
    pub availability: Option<f64>,
    /// The most that 95 of 100 delivered runs may take.
    pub latency_p95: Option<Duration>,
    /// The most calls made while a fault was on that brought no answer.
    pub calls_in_vain: Option<u64>,
    /// The least share of outages that met their agents' recovery objectives, in `0.0..=1.0`.
    pub objectives_met: Option<f64>,
}

/// A plan that was read and found good.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// How errors call its file.
    pub name: String,
    /// Where its workflow file is, from the directory of the plan on.
    pub workflow_path: PathBuf,
    /// The workflow, with the agents' protection.
    pub file: WorkflowFile,
    /// Whose time passes.
    pub time: Time,
    /// How long runs begin. What is in flight then is awaited.
    pub duration: Duration,
    /// Repetitions, each with draws of its own: seeds `0..seeds`.
    pub seeds: u64,
    /// When runs begin.
    pub arrivals: Arrivals,
    /// What the unprotected side goes without.
    pub without: Without,
    /// What the workflow's inputs are.
    pub inputs: BTreeMap<String, String>,
    /// Who answers on virtual time, by agent; empty on real time.
    pub stand_ins: BTreeMap<String, StandIn>,
    /// What fails.
    pub faults: Vec<PlannedFault>,
    /// What the protected side must keep.
    pub targets: Targets,
}

impl Plan {
    /// Reads the plan `text`; `name` is how errors call its file. `read` is given the path of the workflow file, and
    /// of files in that, from the directory of the plan on; it answers with a file's text, or why there is none.
    ///
    /// # Errors
    /// Every fault found, each with line, column, what is wrong and what would be right; those of the workflow file in
    /// that file. A fault of TOML's grammar, or a field of the wrong name or type, hides those behind it.
    pub fn parse_with(
        name: &str,
        text: &str,
        read: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, FileErrors> {
        check::plan(name, text, read)
    }

    /// Runs of one side with one seed, on average.
    #[must_use]
    pub fn runs_per_seed(&self) -> u64 {
        check::runs(self.duration, self.arrivals)
    }

    /// Runs of both sides with all seeds, on average.
    #[must_use]
    pub fn runs(&self) -> u64 {
        2 * self.seeds * self.runs_per_seed()
    }

    /// When runs begin, from the beginning of the plan on. Both sides have the same.
    pub(crate) fn arrivals(&self, seed: u64) -> Vec<Duration> {
        let mut random = Random::new(seed, "arrivals");
        let (mut at, mut all) = (Duration::ZERO, Vec::new());
        if let Arrivals::Rate(rate) = self.arrivals {
            at = gap(&mut random, rate);
        }
        while at < self.duration {
            all.push(at);
            at += match self.arrivals {
                Arrivals::Every(every) => every,
                Arrivals::Rate(rate) => gap(&mut random, rate),
            };
        }
        all
    }

    /// The faults as agents take them.
    pub(crate) fn fault_plan(&self) -> FaultPlan {
        let faults = self.faults.iter();
        faults.fold(FaultPlan::new(), |plan, fault| {
            plan.with(&fault.agent, fault.rule.clone())
        })
    }

    /// Whether some fault is on at this agent at this time.
    pub(crate) fn is_struck(&self, agent: &str, at: Duration) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|fault| fault.agent == agent && fault.rule.is_on(at))
    }

    /// Whether some fault of the plan is this agent's.
    pub(crate) fn has_fault(&self, agent: &str) -> bool {
        self.faults.iter().any(|fault| fault.agent == agent)
    }
}

fn gap(random: &mut Random, rate: f64) -> Duration {
    Duration::try_from_secs_f64(random.gap() / rate).unwrap_or(Duration::MAX / 4)
}
