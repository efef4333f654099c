//! Two settings of a breaker under the same outage: which of them calls less in vain, and which is back sooner?

use std::error::Error;
use std::path::Path;

use fusebox_lab::{AgentFigures, Comparison, Plan};

const PLAN: &str = r#"
workflow = "search.toml"
duration = "60s"
every = "500ms"
seeds = 3
[agents.search]
latency = { median = "100ms", p99 = "800ms" }
[[faults]]
agent = "search"
kind = "timeout"
from = "10s"
for = "20s"
"#;

fn outage(wait_in_open: &str) -> Result<Comparison, Box<dyn Error>> {
    let workflow = format!(
        r#"
[workflow]
name = "search"
[agents.search]
kind = "command"
command = ["search"]
attempt_timeout = "1s"
max_attempts = 1
recovery_objective = "60s"
wait_duration_in_open = "{wait_in_open}"
max_wait_duration_in_open = "{wait_in_open}"
[[step]]
name = "search"
"#
    );
    let read = |_: &Path| Ok(workflow.clone());
    Ok(Plan::parse_with("outage.toml", PLAN, &read)?.simulate(&|_| {})?)
}

fn search(comparison: &Comparison) -> &AgentFigures {
    &comparison.sides[0].agents[0]
}

fn main() -> Result<(), Box<dyn Error>> {
    let (eager, patient) = (outage("1s")?, outage("10s")?);
    for comparison in [&eager, &patient] {
        assert_eq!(comparison.sides[0].runs.availability_ratio, Some(1.0));
    }
    let away = |agent: &AgentFigures| agent.verified_ms.map_or(0, |spread| spread.median);
    assert!(search(&eager).calls_in_vain > search(&patient).calls_in_vain);
    assert!(away(search(&eager)) < away(search(&patient)));
    println!(
        "lab: a short wait calls {} times in vain and is back after {} ms, a long one {} times and {} ms",
        search(&eager).calls_in_vain,
        away(search(&eager)),
        search(&patient).calls_in_vain,
        away(search(&patient)),
    );
    Ok(())
}
