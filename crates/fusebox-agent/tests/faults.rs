//! Fault injection: the same seed gives the same faults, and each fault is what it says.

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{
    Agent, AgentError, Context, ErrorKind, FaultPlan, FaultRule, FaultyAgent, Reply, Task, agent_fn,
};
use serde_json::json;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn healthy(name: &str) -> Arc<dyn Agent> {
    Arc::new(agent_fn(name, |task: Task, _cx| async {
        Ok(Reply::new(task.input))
    }))
}

fn faulty(name: &str, rules: &[&str], seed: u64) -> FaultyAgent {
    let rules = rules.iter().map(|rule| rule.parse().expect("a valid rule"));
    FaultyAgent::new(healthy(name), rules.collect(), seed)
}

fn cx() -> Context {
    Context::new("run", "step")
}

async fn call(agent: &FaultyAgent) -> Result<Reply, AgentError> {
    agent.call(Task::new(1), &cx()).await
}

/// The kinds of the first 100 results.
async fn sequence(agent: &FaultyAgent) -> Vec<Option<ErrorKind>> {
    let mut kinds = Vec::new();
    for _ in 0..100 {
        kinds.push(call(agent).await.err().map(|error| error.kind));
    }
    kinds
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_sequence() {
    let rules = ["api:0.3", "exhaustion:0.3", "dependency:0.5"];
    let first = sequence(&faulty("data", &rules, 7)).await;
    assert_eq!(sequence(&faulty("data", &rules, 7)).await, first);
    assert_ne!(sequence(&faulty("data", &rules, 8)).await, first);
    assert_ne!(sequence(&faulty("triage", &rules, 7)).await, first);
    for kind in [
        None,
        Some(ErrorKind::Api),
        Some(ErrorKind::ResourceExhausted),
        Some(ErrorKind::DependencyUnavailable),
    ] {
        assert!(first.contains(&kind), "{kind:?} never came");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draw_depends_on_the_attempt_and_not_on_the_time() {
    let slow = faulty("data", &["api:0.5"], 7);
    let mut kinds = Vec::new();
    for _ in 0..100 {
        tokio::time::advance(SECOND).await;
        kinds.push(call(&slow).await.err().map(|error| error.kind));
    }
    assert_eq!(kinds, sequence(&faulty("data", &["api:0.5"], 7)).await);
}

#[tokio::test(start_paused = true)]
async fn a_ratio_of_zero_never_strikes_and_one_always() {
    let never = sequence(&faulty("data", &["api:0"], 7)).await;
    assert!(never.iter().all(Option::is_none));
    let always = sequence(&faulty("data", &["api:1"], 7)).await;
    assert!(always.iter().all(|kind| *kind == Some(ErrorKind::Api)));
}

#[tokio::test(start_paused = true)]
async fn a_fault_ends_when_its_time_is_over() {
    let agent = faulty("data", &["api:1,from=2s,until=6s"], 7);
    let mut struck = Vec::new();
    for _ in 0..8 {
        struck.push(call(&agent).await.is_err());
        tokio::time::advance(SECOND).await;
    }
    let (on, off) = (true, false);
    assert_eq!(struck, [off, off, on, on, on, on, off, off]);
}

#[tokio::test(start_paused = true)]
async fn the_errors_at_once_have_their_kinds_and_have_not_run() {
    for (rule, kind) in [
        ("exhaustion:1", ErrorKind::ResourceExhausted),
        ("api:1", ErrorKind::Api),
        ("dependency:1", ErrorKind::DependencyUnavailable),
        ("breaker-open:1", ErrorKind::BreakerOpen),
    ] {
        let error = call(&faulty("data", &[rule], 7)).await.expect_err(rule);
        assert_eq!((error.kind, error.may_have_run), (kind, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_lasts_until_the_deadline_or_cancellation() {
    let agent = faulty("data", &["timeout:1"], 7);
    let started = Instant::now();
    let until = cx().with_deadline(started + 5 * SECOND);
    let error = agent.call(Task::new(1), &until).await.expect_err("late");
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(started.elapsed(), 5 * SECOND);

    let cx = cx();
    let (result, ()) = tokio::join!(agent.call(Task::new(1), &cx), async {
        tokio::time::sleep(SECOND).await;
        cx.cancellation().cancel();
    });
    assert_eq!(result.expect_err("given up").kind, ErrorKind::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_neither_at_the_deadline_nor_on_cancellation() {
    let agent = faulty("data", &["hang:1"], 7);
    let cx = cx().with_deadline(Instant::now() + SECOND);
    cx.cancellation().cancel();
    let call = agent.call(Task::new(1), &cx);
    assert!(timeout(1000 * SECOND, call).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_latency_delays_what_follows() {
    let started = Instant::now();
    let agent = faulty("data", &["latency:1,delay=300ms"], 7);
    assert_eq!(call(&agent).await.expect("late but whole").output, json!(1));
    assert_eq!(started.elapsed(), Duration::from_millis(300));
    let agent = faulty("data", &["latency:1,delay=300ms", "api:1"], 7);
    assert_eq!(call(&agent).await.expect_err("api").kind, ErrorKind::Api);
    assert_eq!(started.elapsed(), Duration::from_millis(600));
}

#[tokio::test(start_paused = true)]
async fn corruption_changes_the_agents_own_answer() {
    let agent = faulty("data", &["corruption:1"], 7);
    assert_ne!(call(&agent).await.expect("mangled").output, json!(1));
}

#[tokio::test]
async fn a_plan_wraps_only_the_agents_it_names() {
    let rule: FaultRule = "api:1".parse().expect("a valid rule");
    let plan = FaultPlan::new().with("data", rule);
    let struck = plan.wrap(healthy("data"), 7);
    assert!(struck.call(Task::new(1), &cx()).await.is_err());
    assert_eq!(struck.describe().name, "data");
    let spared = plan.wrap(healthy("triage"), 7);
    assert!(spared.call(Task::new(1), &cx()).await.is_ok());
}
