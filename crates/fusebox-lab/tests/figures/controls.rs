//! The same figures again, and no difference where there is none.

use fusebox_lab::Protection;

use crate::{ONE, both, plan, simulate, standard};

const PLAN: &str = r#"
duration = "20s"
rate = 1.5
seeds = 2
[agents.default]
latency = { median = "200ms", p99 = "2s" }
[[faults]]
agent = "supervisor"
kind = "api"
ratio = 0.8
from = "5s"
for = "8s"
[[faults]]
agent = "data"
kind = "timeout"
ratio = 0.3
"#;

#[test]
fn the_same_plan_gives_the_same_document_to_the_byte() {
    let document = || {
        let comparison = simulate(&plan(&standard("30s"), PLAN));
        serde_json::to_string(&comparison).expect("plain data")
    };
    assert_eq!(document(), document());
}

#[test]
fn with_protection_switched_off_on_both_sides_there_is_no_difference() {
    let plan = plan(&standard("30s"), PLAN);
    for protection in [Protection::Off, Protection::On] {
        let comparison = plan
            .simulate_sides([protection; 2], &|_| {})
            .expect("a workflow that the engine takes");
        let (one, other) = both(&comparison);
        assert_eq!(one, other);
    }
    // And with it there is one: the control can fail.
    let comparison = simulate(&plan);
    let (protected, unprotected) = both(&comparison);
    assert_ne!(protected.calls, unprotected.calls);
}

#[test]
fn without_faults_both_sides_are_equal_but_for_what_they_are() {
    let comparison = simulate(&plan(
        &standard("30s"),
        "duration = \"20s\"\nevery = \"1s\"\nseeds = 2",
    ));
    let (protected, unprotected) = both(&comparison);
    assert_eq!(protected.runs, unprotected.runs);
    assert_eq!(protected.calls, unprotected.calls);
    assert_eq!(protected.series, unprotected.series);
    assert_eq!(protected.runs.availability_ratio, Some(1.0));
    assert_eq!(protected.calls.per_run, Some(6.0));
    assert!(comparison.meets_targets(), "there is none");
}

#[test]
fn both_sides_have_the_same_arrivals_and_seeds_have_their_own() {
    let seeds = |seeds: u64| {
        let text = format!("duration = \"30s\"\nrate = 1.5\nseeds = {seeds}");
        simulate(&plan(ONE, &text))
    };
    let (one, three) = (seeds(1), seeds(3));
    let begun = |comparison: &fusebox_lab::Comparison| {
        let (protected, unprotected) = both(comparison);
        assert_eq!(protected.series.runs_begun, unprotected.series.runs_begun);
        protected.series.runs_begun.clone()
    };
    let threefold: Vec<u64> = begun(&one).iter().map(|runs| 3 * runs).collect();
    assert_ne!(begun(&three), threefold);
}
