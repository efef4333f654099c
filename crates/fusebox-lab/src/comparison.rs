//! Both sides of a plan, what lies between them, and whether the targets are met.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::Side;
use crate::latency::Latency;
use crate::plan::{Arrivals, Plan, Time, Without};
use crate::play::Protection;
use crate::time::millis;

/// The number of the document's form; a change that a reader could stumble over raises it.
pub const FORMAT: u32 = 1;

/// What a plan came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The form of this document: [`FORMAT`].
    pub format: u32,
    /// What was asked.
    pub plan: PlanSummary,
    /// Whether it was stopped before its end. Figures are of what was measured until then.
    pub is_interrupted: bool,
    /// The protected side, then the other. One that was stopped before the other began has no other.
    pub sides: Vec<Side>,
    /// The first side less the second.
    pub difference: Option<Difference>,
    /// The targets of the plan, with what the protected side came to.
    pub targets: Vec<Target>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlanSummary {
    /// The plan's file.
    pub file: String,
    /// The workflow.
    pub workflow: String,
    /// `virtual` or `real`.
    pub time: &'static str,
    /// Who answered: `stand-ins` on virtual time, `agents` on real time.
    pub answered_by: &'static str,
    /// What the unprotected side goes without: `breakers` or `breakers and waiting`.
    pub without: &'static str,
    /// How long runs begin.
    pub duration_ms: u64,
    /// Repetitions.
    pub seeds: u64,
    /// The time between two runs, where it is fixed.
    pub every_ms: Option<u64>,
    /// Runs a second on average, where they begin at random.
    pub rate_per_s: Option<f64>,
    /// What a run has to be delivered within.
    pub objective_ms: u64,
    /// How long each stand-in takes, by agent.
    pub latencies: BTreeMap<String, Latency>,
    /// What failed.
    pub faults: Vec<FaultSummary>,
}

/// A fault, as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FaultSummary {
    /// The agent.
    pub agent: String,
    /// What its attempts see.
    pub kind: &'static str,
    /// The share of attempts it strikes, in `0.0..=1.0`.
    pub ratio: f64,
    /// From when.
    pub from_ms: u64,
    /// Until when; `None` is for good.
    pub until_ms: Option<u64>,
    /// How late a latency makes answers; zero for the others.
    pub delay_ms: u64,
}

/// The first side less the second. Where one of them has no such figure, there is no difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Of the availabilities.
    pub availability_ratio: Option<f64>,
    /// Of the runs delivered.
    pub delivered: i64,
    /// Of the medians.
    pub latency_median_ms: Option<i64>,
    /// Of the 95th percentiles.
    pub latency_p95_ms: Option<i64>,
    /// Of the 99th percentiles.
    pub latency_p99_ms: Option<i64>,
    /// Of the calls in all.
    pub calls: i64,
    /// Of the calls in vain.
    pub calls_in_vain: i64,
    /// Of the agents drawn in.
    pub drawn_in: i64,
}

/// A target and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Target {
    /// As in the plan, with its unit: `availability`, `latency_p95_ms`, `calls_in_vain`, `objectives_met`.
    pub name: &'static str,
    /// What was asked for.
    pub wanted: f64,
    /// Whether it is the least there may be, or the most.
    pub is_least: bool,
    /// What the protected side came to; `None` where there was nothing to measure.
    pub measured: Option<f64>,
    /// Whether that will do. Of nothing measured it will not, except that no outage misses no objective.
    pub is_met: bool,
}

impl Comparison {
    pub(crate) fn new(plan: &Plan, sides: Vec<Side>, is_interrupted: bool) -> Self {
        let difference = match sides.as_slice() {
            [first, second] => Some(Difference::between(first, second)),
            _ => None,
        };
        let protected = sides.iter().find(|side| side.protection == Protection::On);
        Self {
            format: FORMAT,
            plan: PlanSummary::of(plan),
            is_interrupted,
            targets: protected.map_or_else(Vec::new, |side| targets(plan, side)),
            difference,
            sides,
        }
    }

    /// Whether every target of the plan is met.
    #[must_use]
    pub fn meets_targets(&self) -> bool {
        self.targets.iter().all(|target| target.is_met)
    }
}

impl PlanSummary {
    fn of(plan: &Plan) -> Self {
        let fault = |fault: &crate::plan::PlannedFault| FaultSummary {
            agent: fault.agent.clone(),
            kind: fault.rule.kind().as_str(),
            ratio: fault.rule.ratio(),
            from_ms: millis(fault.rule.from()),
            until_ms: fault.rule.until().map(millis),
            delay_ms: millis(fault.rule.delay()),
        };
        let (time, answered_by) = match plan.time {
            Time::Virtual => ("virtual", "stand-ins"),
            Time::Real => ("real", "agents"),
        };
        let latencies = plan.stand_ins.iter();
        Self {
            file: plan.name.clone(),
            workflow: plan.file.workflow.name().to_owned(),
            time,
            answered_by,
            without: match plan.without {
                Without::Breakers => "breakers",
                Without::BreakersAndWaiting => "breakers and waiting",
            },
            duration_ms: millis(plan.duration),
            seeds: plan.seeds,
            every_ms: match plan.arrivals {
                Arrivals::Every(every) => Some(millis(every)),
                Arrivals::Rate(_) => None,
            },
            rate_per_s: match plan.arrivals {
                Arrivals::Every(_) => None,
                Arrivals::Rate(rate) => Some(rate),
            },
            objective_ms: millis(plan.file.workflow.objective()),
            latencies: latencies
                .map(|(agent, stand_in)| (agent.clone(), stand_in.latency))
                .collect(),
            faults: plan.faults.iter().map(fault).collect(),
        }
    }
}

impl Difference {
    fn between(first: &Side, second: &Side) -> Self {
        let less = |a: u64, b: u64| a as i64 - b as i64;
        let both = |a: Option<u64>, b: Option<u64>| Some(less(a?, b?));
        let (runs, others) = (&first.runs, &second.runs);
        let ratios = runs.availability_ratio.zip(others.availability_ratio);
        Self {
            availability_ratio: ratios.map(|(one, other)| one - other),
            delivered: less(
                runs.completed + runs.degraded,
                others.completed + others.degraded,
            ),
            latency_median_ms: both(runs.latency_median_ms, others.latency_median_ms),
            latency_p95_ms: both(runs.latency_p95_ms, others.latency_p95_ms),
            latency_p99_ms: both(runs.latency_p99_ms, others.latency_p99_ms),
            calls: less(first.calls.made, second.calls.made),
            calls_in_vain: less(first.calls.in_vain, second.calls.in_vain),
            drawn_in: less(
                first.cascade.drawn_in.len() as u64,
                second.cascade.drawn_in.len() as u64,
            ),
        }
    }
}

fn targets(plan: &Plan, side: &Side) -> Vec<Target> {
    let asked = &plan.targets;
    let mut targets = Vec::new();
    let mut ask = |name, wanted: Option<f64>, is_least, measured: Option<f64>, of_nothing| {
        let Some(wanted) = wanted else {
            return;
        };
        let is_met = measured.map_or(of_nothing, |measured| match is_least {
            true => measured >= wanted,
            false => measured <= wanted,
        });
        targets.push(Target {
            name,
            wanted,
            is_least,
            measured,
            is_met,
        });
    };
    let number = |number: u64| number as f64;
    let availability = side.runs.availability_ratio;
    ask(
        "availability",
        asked.availability,
        true,
        availability,
        false,
    );
    let p95 = asked.latency_p95.map(|time| number(millis(time)));
    let measured = side.runs.latency_p95_ms.map(number);
    ask("latency_p95_ms", p95, false, measured, false);
    let in_vain = Some(number(side.calls.in_vain));
    ask(
        "calls_in_vain",
        asked.calls_in_vain.map(number),
        false,
        in_vain,
        false,
    );
    let met = side.objectives_met_ratio;
    ask("objectives_met", asked.objectives_met, true, met, true);
    targets
}
