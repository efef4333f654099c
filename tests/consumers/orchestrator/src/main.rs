//! A run whose second agent is away ends as waiting; another engine resumes it and delivers.

use std::error::Error;
use std::sync::Arc;

use fusebox_agent::{Agent, AgentError, Reply, agent_fn};
use fusebox_orchestrator::{
    Engine, Resilience, RunId, RunOptions, RunStatus, Step, StepStatus, Workflow, load_output,
    load_run,
};
use fusebox_state::{MemoryStore, StateStore};
use serde_json::json;

fn engine(store: &Arc<MemoryStore>, data: impl Agent + 'static) -> Result<Engine, Box<dyn Error>> {
    let triage = agent_fn("triage", |_, _| async {
        Ok(Reply::new(json!({ "label": "bug" })))
    });
    let answer = agent_fn("answer", |task, _| async move {
        let rows = &task.input["upstream"]["data"]["rows"];
        Ok(Reply::new(json!({ "text": format!("{rows} rows") })))
    });
    let engine = Engine::builder(store.clone())
        .agent(triage, Resilience::default())
        .agent(data, Resilience::default())
        .agent(answer, Resilience::default());
    Ok(engine.build()?)
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let workflow = Workflow::builder("support")
        .step(Step::new("triage"))
        .step(Step::new("data").requires(["triage"]))
        .step(Step::new("answer").requires(["data"]))
        .build()?;
    let store = Arc::new(MemoryStore::new());
    let id: RunId = "ticket-7".parse()?;

    let down = agent_fn("data", |_, _| async { Err(AgentError::api("503")) });
    let options = RunOptions::default().with_id(id.clone()).without_waiting();
    let report = engine(&store, down)?.run(&workflow, options).await?;
    assert_eq!(report.status, RunStatus::Waiting);
    let status = |step| report.step(step).map(|step| step.status);
    assert_eq!(status("triage"), Some(StepStatus::Succeeded));
    assert_eq!(status("answer"), Some(StepStatus::Shielded));

    let up = agent_fn("data", |_, _| async {
        Ok(Reply::new(json!({ "rows": 3 })))
    });
    let options = RunOptions::default();
    let report = engine(&store, up)?.resume(&workflow, &id, options).await?;
    assert_eq!((report.status, report.processes), (RunStatus::Completed, 2));

    // Anyone can read the journal: triage ran once, in the first engine.
    let store: &dyn StateStore = &*store;
    let record = load_run(store, &id).await?.expect("it was run");
    assert_eq!(record.steps["triage"].executions, 1);
    let output = load_output(store, &id, "answer").await?;
    let text = String::from_utf8(output.expect("it was delivered"))?;
    assert_eq!(text, r#"{"text":"3 rows"}"#);

    println!("orchestrator: a run waited for 1 agent, was resumed and kept what it had");
    Ok(())
}
