//! Plans in, figures out: counted by hand, held against the kept baselines, repeated, and without protection.

mod baselines;
mod by_hand;
mod controls;
mod sides;

use std::path::Path;

use fusebox_lab::{Comparison, Plan, Side};

/// One agent, three attempts, and a breaker that three failures in a row open.
pub(crate) const ONE: &str = r#"
[workflow]
name = "one"
objective = "20s"

[agents.only]
kind = "command"
command = ["false"]
attempt_timeout = "1s"
max_attempts = 1
retry_cap = "1s"
consecutive_failures = 3
window_size = 10
minimum_number_of_calls = 10
wait_duration_in_open = "1s"
max_wait_duration_in_open = "1s"
successes_to_close = 1
max_concurrent_probes = 1
recovery_objective = "10s"

[[step]]
name = "only"
"#;

/// The six agents of `docs/baselines.md`.
pub(crate) fn standard(objective: &str) -> String {
    let edges: [(&str, &[&str]); 6] = [
        ("triage", &[]),
        ("supervisor", &["triage"]),
        ("data", &["supervisor", "triage"]),
        ("optimization", &["data", "supervisor"]),
        ("aggregation", &["optimization", "data"]),
        ("completion", &["aggregation"]),
    ];
    let mut text = format!("[workflow]\nname = \"standard\"\nobjective = \"{objective}\"\n");
    for (name, requires) in edges {
        text += &format!(
            "[agents.{name}]\nkind = \"command\"\ncommand = [\"false\"]\npreset = \"{name}\"\n"
        );
        text += &format!("[[step]]\nname = \"{name}\"\nrequires = {requires:?}\n");
    }
    text
}

pub(crate) fn plan(workflow: &str, plan: &str) -> Plan {
    let text = format!("workflow = \"w.toml\"\n{plan}");
    let read = |_: &Path| Ok(workflow.to_owned());
    Plan::parse_with("plan.toml", &text, &read).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn simulate(plan: &Plan) -> Comparison {
    plan.simulate(&|_| {})
        .expect("a workflow that the engine takes")
}

pub(crate) fn both(comparison: &Comparison) -> (&Side, &Side) {
    let [protected, unprotected] = &comparison.sides[..] else {
        panic!("two sides");
    };
    (protected, unprotected)
}
