//! From what was played to figures, go by go.

use std::collections::BTreeSet;

use fusebox_breaker::State;

use super::agent::Counts;
use super::series::{Lane, Stretches, lanes};
use super::{CallFigures, Cascade, RunFigures, Side, quantile, ratio};
use crate::plan::Plan;
use crate::play::{End, Move, Played, Protection};
use crate::time::millis;
use crate::watch::Answer;

/// The figures of one go, or of several of one side.
#[derive(Debug)]
pub(crate) struct Gather {
    runs: RunFigures,
    latencies: Vec<u64>,
    /// By the places of their breakers; those of what agents depend on count openings alone.
    agents: Vec<Counts>,
    most_away: u64,
    stretches: Stretches,
    lanes: Vec<Lane>,
    goes: u64,
}

impl Gather {
    pub(crate) fn of(plan: &Plan, played: &Played) -> Self {
        let mut gather = Self {
            runs: RunFigures::default(),
            latencies: Vec::new(),
            agents: vec![Counts::default(); played.breakers.len()],
            most_away: most_away(&played.moves),
            stretches: Stretches::of(plan),
            lanes: lanes(played),
            goes: 1,
        };
        gather.take_runs(played);
        gather.take_calls(plan, played);
        for moved in &played.moves {
            gather.agents[moved.breaker].openings += u64::from(moved.to == State::Open);
        }
        for outage in &played.outages {
            gather.agents[outage.agent].outages.push(outage.told);
        }
        gather
    }

    /// Adds a later go of the same side.
    pub(crate) fn add(&mut self, other: Self) {
        let (runs, others) = (&mut self.runs, other.runs);
        runs.begun += others.begun;
        runs.completed += others.completed;
        runs.degraded += others.degraded;
        runs.failed += others.failed;
        runs.late += others.late;
        runs.cut_off += others.cut_off;
        self.latencies.extend(other.latencies);
        for (own, others) in self.agents.iter_mut().zip(other.agents) {
            own.add(others);
        }
        self.most_away = self.most_away.max(other.most_away);
        self.stretches.add(other.stretches);
        self.goes += other.goes;
    }

    pub(crate) fn side(mut self, plan: &Plan, protection: Protection) -> Side {
        self.latencies.sort_unstable();
        let mut runs = self.runs;
        let delivered = runs.completed + runs.degraded;
        runs.availability_ratio = ratio(delivered, runs.begun - runs.cut_off);
        runs.latency_median_ms = quantile(&self.latencies, 0.5);
        runs.latency_p95_ms = quantile(&self.latencies, 0.95);
        runs.latency_p99_ms = quantile(&self.latencies, 0.99);
        let made = self.agents.iter().map(|agent| agent.calls).sum();
        let calls = CallFigures {
            made,
            in_vain: self.agents.iter().map(|agent| agent.in_vain).sum(),
            per_run: ratio(made, runs.begun),
        };
        let specs = plan.file.agents.iter().zip(&self.agents);
        let drawn_in: BTreeSet<&String> = specs
            .clone()
            .filter(|((name, _), counts)| {
                !plan.has_fault(name) && counts.failed_otherwise + counts.starved > 0
            })
            .map(|((name, _), _)| name)
            .collect();
        let agents: Vec<_> = specs
            .filter(|(_, counts)| counts.is_worth_telling())
            .map(|((name, spec), counts)| {
                let objective = spec.resilience.breaker.recovery_objective();
                counts.told(name, plan.has_fault(name), objective)
            })
            .collect();
        let met = agents.iter().map(|agent| agent.met).sum();
        let breached: u64 = agents.iter().map(|agent| agent.breached).sum();
        Side {
            protection,
            runs,
            calls,
            cascade: Cascade {
                drawn_in: drawn_in.into_iter().cloned().collect(),
                most_away_at_once: (protection == Protection::On).then_some(self.most_away),
            },
            objectives_met_ratio: ratio(met, met + breached),
            agents,
            series: self.stretches.told(self.goes),
            lanes: self.lanes,
        }
    }

    fn take_runs(&mut self, played: &Played) {
        for ran in &played.runs {
            let runs = &mut self.runs;
            runs.begun += 1;
            *match ran.end {
                End::Completed => &mut runs.completed,
                End::Degraded => &mut runs.degraded,
                End::Failed => &mut runs.failed,
                End::Late => &mut runs.late,
                End::CutOff => &mut runs.cut_off,
            } += 1;
            if ran.end.is_delivered() {
                self.latencies.push(millis(ran.ended - ran.begun));
            }
            self.stretches.take_run(ran.begun, ran.ended, ran.end);
            for &agent in &ran.starved {
                self.agents[agent].starved += 1;
            }
        }
    }

    fn take_calls(&mut self, plan: &Plan, played: &Played) {
        let names = played.breakers.iter();
        let at_fault: Vec<bool> = names.map(|name| plan.has_fault(name)).collect();
        for call in &played.calls {
            let is_struck =
                at_fault[call.agent] && plan.is_struck(&played.breakers[call.agent], call.begun);
            let counts = &mut self.agents[call.agent];
            counts.calls += 1;
            match call.answer {
                Answer::Good => {}
                _ if is_struck => counts.in_vain += 1,
                _ if played.is_cut_off(call) => {}
                _ => counts.failed_otherwise += 1,
            }
            if at_fault[call.agent] {
                self.stretches.take_call(call, is_struck);
            }
        }
    }
}

/// The most breakers that were not closed at the same time.
fn most_away(moves: &[Move]) -> u64 {
    let (mut away, mut most) = (BTreeSet::new(), 0);
    for moved in moves {
        match moved.to {
            State::Closed => away.remove(&moved.breaker),
            _ => away.insert(moved.breaker),
        };
        most = most.max(away.len());
    }
    most as u64
}
