//! A workflow of one's own under test: an outage, a lost answer of the store, an hour in no time.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::AgentError;
use fusebox_breaker::{State, presets};
use fusebox_orchestrator::{Engine, Resilience, RtoVerdict, RunOptions, Step, Workflow};
use fusebox_testkit::{
    EventLog, FailingStore, Journal, Operation, ScriptedAgent, StoreFault, virtual_time,
};
use serde_json::json;

/// The virtual time one run takes.
fn outage(seed: u64) -> Result<Duration, Box<dyn Error>> {
    virtual_time(seed, async |time| {
        let down = AgentError::unavailable("warehouse");
        let data = ScriptedAgent::new("data")
            .fails(down)
            .times(8)
            .answers(json!({ "rows": 3 }));
        let report = ScriptedAgent::new("report").answers(json!("3 rows"));
        let store = Arc::new(FailingStore::new(time.memory_store()));
        let lost = StoreFault::unavailable_after().on(Operation::Commit);
        store.inject(lost.skipping(4).times(2));

        let workflow = Workflow::builder("nightly")
            .step(Step::new("data"))
            .step(Step::new("report").requires(["data"]))
            .objective(Duration::from_secs(3600))
            .build()?;
        let mut preset = presets::COLUMN_STORE;
        preset.successes_to_close = 1; // one run calls it once
        let engine = Engine::builder(store.clone())
            .agent(data.clone(), Resilience::preset(preset)?)
            .agent(report.clone(), Resilience::default())
            .seed(time.seed())
            .build()?;
        let mut log = EventLog::of(&engine);
        let options = RunOptions::default().with_id("tonight".parse()?);
        engine.run(&workflow, options).await?;

        Journal::read(&*store, "tonight")
            .await
            .assert_completed()
            .assert_shielded_by("report", "data")
            .assert_executions("report", 1)
            .assert_output("report", &json!("3 rows"));
        let seen = &report.inputs()[0]["upstream"];
        assert_eq!(*seen, json!({ "data": { "rows": 3 } }));
        assert!(log.moves("data", State::Open) > 1);
        assert_eq!(log.recovery("data"), Some(RtoVerdict::Breached));
        store.assert_struck();
        Ok(time.elapsed())
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let took = outage(7)?;
    assert_eq!(took, outage(7)?, "the same seed, the same test");
    assert_ne!(took, outage(8)?);
    println!(
        "testkit: an outage of {} minutes, three times over, without sleeping",
        took.as_secs() / 60
    );
    Ok(())
}
