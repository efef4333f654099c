//! Several agents away at once: they are probed in the order of the graph, and those behind a failed probe stay back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox::breaker::Config;
use fusebox::{
    AgentError, Context, Engine, Reply, Resilience, RunOptions, RunStatus, Step, Task, Workflow,
    agent_fn,
};
use fusebox_testkit::{VirtualTime, virtual_time};
use serde_json::json;
use tokio::time::Instant;

/// Who was called when, in seconds from the beginning, and whether it answered.
type Calls = Arc<Mutex<Vec<(&'static str, f64, bool)>>>;

const BACK: Duration = Duration::from_secs(66);

/// Two agents, one after the other, both away until `BACK`; runs wait for either.
async fn outage(time: VirtualTime, paced: bool) -> Vec<(&'static str, f64, bool)> {
    let (calls, begun) = (Calls::default(), Instant::now());
    let agent = |name: &'static str, down_from: Duration| {
        let calls = Arc::clone(&calls);
        agent_fn(name, move |_: Task, _: Context| {
            let at = begun.elapsed();
            let is_up = at < down_from || at >= BACK;
            calls.lock().unwrap().push((name, at.as_secs_f64(), is_up));
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if is_up {
                    Ok(Reply::new(json!(name)))
                } else {
                    Err(AgentError::api("503"))
                }
            }
        })
    };
    let breaker = Config::builder()
        .consecutive_failures(1)
        .without_count_window()
        .successes_to_close(1)
        .wait_duration_in_open(Duration::from_secs(10))
        .max_wait_duration_in_open(Duration::from_secs(10))
        .jitter(fusebox::breaker::Jitter::None)
        .build()
        .unwrap();
    let resilience = Resilience::default()
        .with_breaker(breaker)
        .with_max_attempts(1);
    let engine = Engine::builder(Arc::new(time.memory_store()))
        .agent(
            agent("first", Duration::from_millis(1500)),
            resilience.clone(),
        )
        .agent(agent("second", Duration::ZERO), resilience)
        .seed(time.seed())
        .paced(paced)
        .build()
        .unwrap();
    let workflow = Workflow::builder("both")
        .step(Step::new("first"))
        .step(Step::new("second").requires(["first"]))
        .objective(Duration::from_secs(3600))
        .build()
        .unwrap();
    let run = || {
        let (engine, workflow) = (engine.clone(), workflow.clone());
        tokio::spawn(async move { engine.run(&workflow, RunOptions::default()).await })
    };
    // One gets past the first agent and waits for the second; the other one waits for the first.
    let past = run();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = run();
    for report in [past, before] {
        let report = report.await.unwrap().unwrap();
        assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
    }
    let calls = calls.lock().unwrap();
    calls.clone()
}

/// Probes of an agent that failed.
fn vain(calls: &[(&str, f64, bool)], agent: &str) -> usize {
    let failed = |(name, at, is_up): &&(&str, f64, bool)| *name == agent && *at > 5.0 && !is_up;
    calls.iter().filter(failed).count()
}

/// When an agent first answered after the outage.
fn back(calls: &[(&str, f64, bool)], agent: &str) -> f64 {
    let answered = |(name, at, is_up): &&(&str, f64, bool)| *name == agent && *at > 5.0 && *is_up;
    calls.iter().find(answered).expect("it came back").1
}

fn assert_in_waves(calls: &[(&str, f64, bool)]) {
    let (first, second) = (vain(calls, "first"), vain(calls, "second"));
    assert!(first >= 4 && second >= 1, "both are probed: {calls:?}");
    assert!(
        second < first,
        "the one behind is probed less often: {calls:?}"
    );
    let (first, second) = (back(calls, "first"), back(calls, "second"));
    assert!(first < second, "the one behind was asked first: {calls:?}");
}

#[test]
fn agents_come_back_in_the_order_of_the_graph() {
    virtual_time(1, async |time| assert_in_waves(&outage(time, true).await));
}

#[test]
#[should_panic(expected = "is probed less often")]
fn agents_come_back_as_it_happens_without_protection() {
    virtual_time(1, async |time| assert_in_waves(&outage(time, false).await));
}
