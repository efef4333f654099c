//! Held against a row of `docs/baselines.md`, which is made without this crate.

use crate::{both, plan, simulate, standard};

/// Supervisor, away, no fallback: of 60 runs, one a second, while every attempt at it fails for 60 s. Of the
/// page's 20 seeds six.
const PLAN: &str = r#"
duration = "60s"
every = "1s"
seeds = 6
[agents.default]
latency = "200ms"
[[faults]]
agent = "supervisor"
kind = "api"
for = "60s"
"#;

#[test]
fn availability_is_that_of_the_kept_baselines() {
    let kept = std::fs::read_to_string("../../docs/baselines.md").expect("the kept baselines");
    let row = kept
        .lines()
        .find(|line| line.starts_with("| supervisor | away |"));
    let cells: Vec<&str> = row.expect("its row").split('|').map(str::trim).collect();
    for (objective, cell) in [("30s", 3), ("300s", 4)] {
        let comparison = simulate(&plan(&standard(objective), PLAN));
        let (protected, _) = both(&comparison);
        assert_eq!(protected.runs.begun, 360);
        let available = protected.runs.availability_ratio.expect("360 runs");
        let kept = cells[cell]
            .strip_suffix(" %")
            .and_then(|number| number.parse::<f64>().ok());
        let kept = kept.expect("a percentage");
        // Not to the last run: there are fewer seeds, and agents are put into the engine in another order, so that
        // each draws another jitter.
        let off = (100.0 * available - kept).abs();
        assert!(
            off < 2.0,
            "objective {objective}: {available} instead of {kept} %"
        );
    }
}
