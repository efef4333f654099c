//! The agents that are plain code.

use fusebox::agent::Agent;
use fusebox::{Reply, agent_fn};
use serde_json::{Value, json};

use crate::models::team;

/// Puts together what there is, and says what is missing.
pub(crate) fn aggregation() -> impl Agent + 'static {
    agent_fn("aggregation", |task, _cx| async move {
        let upstream = &task.input["upstream"];
        let missing = ["orders", "runbook"].map(|step| (step, upstream[step].is_null()));
        let missing = missing.iter().filter(|(_, is_missing)| *is_missing);
        let missing: Vec<&str> = missing.map(|(step, _)| *step).collect();
        Ok(Reply::new(json!({
            "category": upstream["triage"]["category"],
            "urgent": upstream["triage"]["urgent"],
            "team": team(&upstream["supervisor"]),
            "draft": upstream["optimization"]["text"],
            "orders": upstream["orders"]["orders"],
            "runbook": upstream["runbook"]["steps"],
            "missing": missing,
        })))
    })
}

/// What goes to the customer and to the team.
pub(crate) fn completion() -> impl Agent + 'static {
    agent_fn("completion", |task, _cx| async move {
        let all = &task.input["upstream"]["aggregation"];
        let note = match all["missing"].as_array() {
            Some(missing) if !missing.is_empty() => {
                let missing: Vec<&str> = missing.iter().filter_map(Value::as_str).collect();
                format!("written without: {}", missing.join(", "))
            }
            _ => "complete".to_owned(),
        };
        Ok(Reply::new(json!({
            "to": all["team"],
            "category": all["category"],
            "urgent": all["urgent"],
            "answer": all["draft"],
            "note": note,
        })))
    })
}
