//! Adding up.

use metrics::{counter, gauge, histogram};
use proptest::prelude::*;

use super::*;
use crate::figures::Tally;

const STATES: &[&str] = crate::together::STATES;

fn told(report: impl FnOnce()) -> Figures {
    let tally = Tally::new();
    tally.observe(report);
    tally.figures()
}

fn all(parts: impl IntoIterator<Item = Figures>) -> Figures {
    let mut totals = Totals::new();
    for (n, part) in parts.into_iter().enumerate() {
        totals.set(n, part);
    }
    totals.figures()
}

fn breaker(state: &str, seconds: f64) -> Figures {
    told(|| {
        for word in STATES {
            let holds = f64::from(u8::from(*word == state));
            gauge!("fusebox_breaker_state", "breaker" => "db", "state" => *word).set(holds);
        }
        gauge!("fusebox_breaker_in_state_seconds", "breaker" => "db").set(seconds);
    })
}

fn state(figures: &Figures) -> Vec<&'static str> {
    let holds = |word: &&&str| {
        let value = figures.value("fusebox_breaker_state", &["db", word]);
        value.expect("each word has a series") > 0.0
    };
    STATES.iter().filter(holds).copied().collect()
}

#[test]
fn the_worst_state_counts_and_how_long_it_has_lasted_is_of_those_that_are_in_it() {
    let whole = all([
        breaker("closed", 900.0),
        breaker("open", 5.0),
        breaker("open", 7.0),
        breaker("half_open", 80.0),
    ]);
    assert_eq!(state(&whole), ["open"]);
    let since = whole.value("fusebox_breaker_in_state_seconds", &["db"]);
    assert_eq!(since, Some(7.0));
}

#[test]
fn what_has_ended_stays_in_the_sums_and_leaves_the_gauges() {
    let part = || {
        told(|| {
            counter!("fusebox_runs_total", "status" => "completed").increment(2);
            histogram!("fusebox_run_duration_seconds", "status" => "completed").record(3.0);
            gauge!("fusebox_runs_live").set(1.0);
        })
    };
    let mut totals = Totals::new();
    totals.set("one", part());
    totals.set("two", part());
    totals.end(&"one");
    totals.end(&"never there");
    let runs = |totals: &Totals<_>| {
        let figures = totals.figures();
        (
            figures.value("fusebox_runs_total", &["completed"]),
            figures.value("fusebox_run_duration_seconds", &["completed"]),
            figures.value("fusebox_runs_live", &[]),
        )
    };
    assert_eq!(runs(&totals), (Some(4.0), Some(2.0), Some(1.0)));
    // What is said again replaces what was said.
    totals.set("two", part());
    assert_eq!(runs(&totals), (Some(4.0), Some(2.0), Some(1.0)));
    totals.end(&"two");
    assert_eq!(runs(&totals), (Some(4.0), Some(2.0), None));
}

#[test]
fn the_share_of_objectives_met_is_of_what_all_have_counted() {
    let part = |met: u64, breached: u64, says: f64| {
        told(|| {
            for _ in 0..met {
                histogram!("fusebox_recovery_seconds", "agent" => "db", "verdict" => "met")
                    .record(1.0);
            }
            counter!("fusebox_objective_breached_total", "agent" => "db").increment(breached);
            gauge!("fusebox_objective_met_ratio", "agent" => "db").set(says);
        })
    };
    let share = |parts| all(parts).value("fusebox_objective_met_ratio", &["db"]);
    assert_eq!(share([part(3, 0, 1.0), part(0, 1, 0.0)]), Some(0.75));
    // Where nothing was counted, what they say.
    assert_eq!(share([part(0, 0, 1.0), part(0, 0, 0.5)]), Some(0.5));
}

#[test]
fn names_beyond_the_bound_are_other_over_all_processes_and_nothing_is_lost() {
    let part = |n: usize| {
        told(|| {
            let name = format!("agent-{n}");
            counter!("fusebox_breaker_calls_total", "breaker" => name.clone(), "outcome" => "failed")
                .increment(1);
            for (state, holds) in [("closed", 0.0), ("open", 1.0)] {
                gauge!("fusebox_breaker_state", "breaker" => name.clone(), "state" => state)
                    .set(holds);
            }
        })
    };
    let mut totals = Totals::new().with_labels(Labels::new(2));
    for n in 0..5 {
        totals.set(n, part(n));
        totals.set(n, part(n));
    }
    let figures = totals.figures();
    let open = |name| figures.value("fusebox_breaker_state", &[name, "open"]);
    let failed = |name| figures.value("fusebox_breaker_calls_total", &[name, "failed"]);
    assert_eq!((open("agent-0"), failed("agent-0")), (Some(1.0), Some(1.0)));
    assert_eq!((open(OTHER), failed(OTHER)), (Some(3.0), Some(3.0)));
    assert_eq!((open("agent-2"), failed("agent-2")), (None, None));
}

/// One process: runs by status, and how many of them are live.
fn process() -> impl Strategy<Value = (Vec<(usize, f64)>, u32)> {
    let run = (0..3_usize, 0.0..4000.0);
    (prop::collection::vec(run, 0..20), 0..5_u32)
}

fn figures_of((runs, live): &(Vec<(usize, f64)>, u32)) -> Figures {
    told(|| {
        for (status, seconds) in runs {
            let status = ["completed", "failed", "cancelled"][*status];
            counter!("fusebox_runs_total", "status" => status).increment(1);
            histogram!("fusebox_run_duration_seconds", "status" => status).record(*seconds);
        }
        gauge!("fusebox_runs_live").set(f64::from(*live));
    })
}

proptest! {
    #[test]
    fn sums_are_the_same_whoever_has_ended_and_figures_survive_the_way_between_processes(
        processes in prop::collection::vec(process(), 1..6),
        ended in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut totals = Totals::new();
        for (n, process) in processes.iter().enumerate() {
            let figures = figures_of(process);
            let sent = serde_json::to_string(&figures).unwrap();
            let received: Figures = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(&received, &figures);
            totals.set(n, received);
            if ended[n] {
                totals.end(&n);
            }
        }
        let figures = totals.figures();
        for (n, status) in ["completed", "failed", "cancelled"].into_iter().enumerate() {
            let runs = processes.iter().flat_map(|(runs, _)| runs);
            let runs = runs.filter(|(status, _)| *status == n).count();
            let expected = (runs > 0).then_some(runs as f64);
            prop_assert_eq!(figures.value("fusebox_runs_total", &[status]), expected);
            prop_assert_eq!(figures.value("fusebox_run_duration_seconds", &[status]), expected);
        }
        let live = processes.iter().zip(&ended).filter(|(_, ended)| !**ended);
        let live: Vec<f64> = live.map(|((_, live), _)| f64::from(*live)).collect();
        let expected = (!live.is_empty()).then(|| live.iter().sum::<f64>());
        prop_assert_eq!(figures.value("fusebox_runs_live", &[]), expected);
    }
}
