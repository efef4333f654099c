//! Supervisor: which checks apply to this workspace?

use fusebox::agent::{AgentError, Context, Reply, Task};
use serde_json::json;

pub(super) async fn call(task: Task, cx: Context) -> Result<Reply, AgentError> {
    let path = super::path(&task)?;
    let triage = super::upstream(&task, "triage")?;
    let manifest = path.join("Cargo.toml");
    if !manifest.is_file() {
        let message = format!(
            "{} has no Cargo.toml; give a Cargo workspace with --input path=DIR",
            path.display()
        );
        return Err(AgentError::invalid_input(message));
    }
    let mut checks = vec![
        json!({ "name": "dependencies", "why": "there is a Cargo.toml" }),
        json!({ "name": "sizes", "why": "every workspace has code" }),
        json!({ "name": "tests", "why": "every workspace should have tests" }),
    ];
    if path.join("Cargo.lock").is_file() {
        checks.push(json!({ "name": "duplicates", "why": "there is a Cargo.lock" }));
    }
    let commits = triage["commits"].as_array().map_or(0, Vec::len);
    if commits > 1 {
        checks
            .push(json!({ "name": "churn", "why": format!("there are {commits} recent commits") }));
    }
    cx.progress(&format!("{} checks apply", checks.len()));
    Ok(Reply::new(json!({ "path": path, "checks": checks })))
}
