//! A plan so small that every figure can be counted by hand.

use serde_json::json;

use crate::{ONE, both, plan, simulate};

/// A run begins each second for 6 s, at 0 s to 5 s; the agent takes 100 ms. It fails at once from 1 s to 4 s.
const PLAN: &str = r#"
duration = "6s"
every = "1s"
seeds = 1
[agents.only]
latency = "100ms"
[[faults]]
agent = "only"
kind = "api"
from = "1s"
for = "3s"
"#;

#[test]
fn the_side_without_breakers_is_as_counted_by_hand() {
    let comparison = simulate(&plan(ONE, PLAN));
    let (_, unprotected) = both(&comparison);
    // Run 0 calls at 0 s, well. Runs 1, 2 and 3 call in vain when they begin and again a second later (`retry_cap`),
    // until a call at 4 s is well: run 1 at 1, 2, 3 s, run 2 at 2, 3 s, run 3 at 3 s. Runs 4 and 5 call once.
    assert_eq!(unprotected.calls.in_vain, 3 + 2 + 1);
    assert_eq!(unprotected.calls.made, 6 + 6);
    let runs = &unprotected.runs;
    assert_eq!((runs.begun, runs.completed), (6, 6));
    assert_eq!(
        (runs.failed, runs.late, runs.degraded, runs.cut_off),
        (0, 0, 0, 0)
    );
    // They took 100 ms; runs 1, 2 and 3 in addition 3, 2 and 1 s. Of six values the third is the median.
    assert_eq!(runs.latency_median_ms, Some(100));
    assert_eq!(runs.latency_p95_ms, Some(3100));
    assert_eq!(unprotected.agents[0].outages, 0);
    assert_eq!(unprotected.cascade.most_away_at_once, None);
}

#[test]
fn the_protected_side_is_as_counted_by_hand() {
    let comparison = simulate(&plan(ONE, PLAN));
    let (protected, _) = both(&comparison);
    let only = &protected.agents[0];
    // Run 1 calls in vain at 1 s and, with run 2, at 2 s: the third failure in a row opens the breaker.
    // It waits from half a second to one: a probe before 3 s fails, and so does the one after it, which comes before 4 s
    // as well, unless both waited for long; then one probe is well and closes it.
    assert!((2..=3).contains(&(only.openings - 1)), "{only:?}");
    assert_eq!(protected.calls.in_vain, 3 + (only.openings - 1));
    assert_eq!(protected.calls.made, protected.calls.in_vain + 6);
    assert_eq!((protected.runs.begun, protected.runs.completed), (6, 6));
    // One outage, detected with the third failure, 1 s after the first; nothing was in flight; resumed and verified by
    // one probe, which began at 4 s at the earliest and 1 s later at the latest.
    assert_eq!((only.outages, only.met, only.breached), (1, 1, 0));
    let median = |spread: Option<fusebox_lab::Spread>| spread.expect("one outage").median;
    assert_eq!(median(only.detect_ms), 1000);
    assert_eq!(median(only.isolate_ms), 0);
    assert_eq!(median(only.resume_ms), median(only.verified_ms));
    assert!(
        (2100..=3100).contains(&median(only.verified_ms)),
        "{only:?}"
    );
    assert_eq!(protected.cascade.most_away_at_once, Some(1));
    assert_eq!(protected.lanes[0].stays[0].from_ms, 2000);
}

#[test]
fn series_add_up_to_the_figures() {
    let comparison = simulate(&plan(ONE, PLAN));
    for side in &comparison.sides {
        let series = &side.series;
        assert_eq!(series.step_ms, 1000);
        assert_eq!(series.runs_begun[..6], [1, 1, 1, 1, 1, 1]);
        assert_eq!(series.calls_at_fault.iter().sum::<u64>(), side.calls.made);
        assert_eq!(series.calls_in_vain.iter().sum::<u64>(), side.calls.in_vain);
        let delivered: u64 = series.runs_delivered.iter().sum();
        assert_eq!(delivered, side.runs.completed + side.runs.degraded);
        assert_eq!(series.runs_in_flight.last(), Some(&0.0));
        let lengths = [series.runs_failed.len(), series.latency_median_ms.len()];
        assert_eq!(lengths, [series.runs_begun.len(); 2]);
    }
    let (_, unprotected) = both(&comparison);
    // At 0 s run 0 begins; at 3 s runs 1, 2 and 3 are under way.
    assert_eq!(unprotected.series.runs_in_flight[..4], [1.0, 1.0, 2.0, 3.0]);
    assert_eq!(unprotected.series.calls_in_vain[..5], [0, 1, 2, 3, 0]);
}

#[test]
fn the_document_names_its_units() {
    let comparison = simulate(&plan(ONE, PLAN));
    let document = serde_json::to_value(&comparison).expect("plain data");
    assert_eq!(document["plan"]["duration_ms"], 6000);
    assert_eq!(document["plan"]["faults"][0]["until_ms"], 4000);
    assert_eq!(
        document["plan"]["latencies"]["only"],
        json!({ "fixed_ms": 100 })
    );
    assert_eq!(document["sides"][0]["protection"], "on");
    assert_eq!(document["sides"][0]["runs"]["availability_ratio"], 1.0);
    assert_eq!(document["difference"]["delivered"], 0);
}
