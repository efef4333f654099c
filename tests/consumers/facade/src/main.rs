//! Runs that outlive their engine, kept in one file: the facade with its default features.

use std::error::Error;

use fusebox::orchestrator::list_runs;
use fusebox::{
    AgentError, Engine, Reply, Resilience, RunId, RunOptions, RunStatus, Step, StepStatus,
    Workflow, agent_fn, presets,
};
use serde_json::json;

/// An engine of its own over the file, as a process of its own would have.
async fn engine(url: &str) -> Result<Engine, Box<dyn Error>> {
    let triage = agent_fn("triage", |task, _| async move {
        let text = task.input["input"]["text"].as_str().unwrap_or_default();
        let urgent = text.to_lowercase().contains("down");
        Ok(Reply::new(json!({ "urgent": urgent })))
    });
    let model = agent_fn("model", |_, _| async {
        Err(AgentError::invalid_input("the model takes no tables"))
    });
    let template = agent_fn("template", |_, _| async {
        Ok(Reply::new(json!("thank you, we will look into it")))
    });
    let store = fusebox::state::open(url).await?;
    let engine = Engine::builder(store)
        .agent(triage, Resilience::preset(presets::TRIAGE)?)
        .agent(model, Resilience::preset(presets::LLM_FAST)?)
        .fallback("model", std::sync::Arc::new(template));
    Ok(engine.build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite:{}", directory.path().join("runs.db").display());
    let workflow = Workflow::builder("support")
        .step(Step::new("triage"))
        .step(Step::new("reply").with_agent("model").requires(["triage"]))
        .build()?;
    let id: RunId = "ticket-7".parse()?;

    let options = RunOptions::default()
        .with_id(id.clone())
        .with_input(json!({ "text": "The site is down" }));
    let report = engine(&url).await?.run(&workflow, options).await?;
    // The fallback answered, and the run does not call that a plain success.
    assert_eq!(report.status, RunStatus::Degraded);
    assert_eq!(report.status.exit_code(), 3);
    assert_eq!(report.durability.as_deref(), Some("local_fsync"));
    let reply = report.step("reply").expect("a step of the workflow");
    assert_eq!(reply.status, StepStatus::Degraded);

    // Another engine finds it delivered and runs nothing again.
    let options = RunOptions::default();
    let again = engine(&url).await?.resume(&workflow, &id, options).await?;
    assert_eq!(again.status, RunStatus::Degraded);
    assert!(again.steps.iter().all(|step| step.executions == 1));
    let runs = list_runs(&*fusebox::state::open(&url).await?).await?;
    assert_eq!(runs.len(), 1);

    println!("facade: 1 run in 1 file, degraded by a fallback, found again by another engine");
    Ok(())
}
