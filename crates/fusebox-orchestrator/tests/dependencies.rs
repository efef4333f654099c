//! What several agents depend on has a breaker of its own: charged once for all of them, and kept with the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Reply, agent_fn};
use fusebox_breaker::{Config, Jitter, State};
use fusebox_orchestrator::{
    Action, By, Engine, EngineBuilder, EngineError, HealthStatus, OnUnavailable, Resilience,
    RunOptions, RunReport, RunStatus, Step, StepStatus, Workflow,
};
use fusebox_state::{MemoryStore, StateStore};

const SERVER: &str = "mcp.files";

fn rules() -> Config {
    Config::builder()
        .consecutive_failures(2)
        .wait_duration_in_open(Duration::from_secs(20))
        .max_wait_duration_in_open(Duration::from_secs(20))
        .jitter(Jitter::None)
        .successes_to_close(1)
        .build()
        .unwrap()
}

/// A tool that answers so; it counts its calls.
fn tool(
    name: &str,
    answer: impl Fn() -> Result<Reply, AgentError> + Send + Sync + 'static,
) -> (Arc<dyn Agent>, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let agent = agent_fn(name, move |_task, _cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(answer())
    });
    (Arc::new(agent), calls)
}

fn well() -> Result<Reply, AgentError> {
    Ok(Reply::new("answer"))
}

fn server_gone() -> Result<Reply, AgentError> {
    Err(AgentError::unavailable("files"))
}

fn twice() -> Resilience {
    Resilience::default().with_max_attempts(2)
}

/// First `search`, then, whatever comes of it, `read`.
fn workflow() -> Workflow {
    Workflow::builder("lookup")
        .step(Step::new("search").on_unavailable(OnUnavailable::Skip))
        .step(Step::new("read").optional(["search"]))
        .build()
        .unwrap()
}

fn builder(store: Arc<dyn StateStore>) -> EngineBuilder {
    Engine::builder(store).seed(7)
}

async fn run(engine: &Engine) -> RunReport {
    let options = RunOptions::default()
        .with_id("run-1".parse().unwrap())
        .without_waiting();
    engine.run(&workflow(), options).await.unwrap()
}

fn status(report: &RunReport, step: &str) -> StepStatus {
    let found = report.steps.iter().find(|known| known.name == step);
    found.unwrap().status
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_learned_once_for_all_its_tools_and_charged_to_none() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
    let (search, searches) = tool("search", server_gone);
    let (read, reads) = tool("read", well);
    let engine = builder(Arc::clone(&store))
        .dependency(SERVER, rules())
        .agent_behind(search, SERVER, twice())
        .agent_behind(read, SERVER, twice())
        .build()
        .unwrap();
    let report = run(&engine).await;
    assert_eq!(report.status, RunStatus::Waiting, "{report:?}");
    assert_eq!(status(&report, "read"), StepStatus::Waiting, "{report:?}");
    assert_eq!(engine.breaker(SERVER).unwrap().state(), State::Open);
    // The second tool is well, and was not called: its server is known to be gone.
    assert_eq!(searches.load(Ordering::Relaxed), 2);
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    for agent in ["search", "read"] {
        let counts = engine.breaker(agent).unwrap().counts();
        assert_eq!(counts.failed, 0, "{agent} is not to blame");
    }
    let health = engine.health();
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.dependencies[0].state, "open");
    let listed: Vec<_> = health
        .breakers()
        .map(|it| (it.agent.clone(), it.state.clone()))
        .collect();
    assert_eq!(listed.last(), Some(&(SERVER.to_owned(), "open".to_owned())));
    assert_eq!(listed.len(), 3);
    assert!(health.reasons[0].contains("`mcp.files`, which agents depend on, is open"));
    let known: Vec<String> = engine.breakers().map(|it| it.name().to_string()).collect();
    assert_eq!(known, ["read", "search", SERVER]);

    // Another process that goes on with the run knows it, too.
    let (search, _) = tool("search", well);
    let (read, reads) = tool("read", well);
    let next = builder(store)
        .dependency(SERVER, rules())
        .agent_behind(search, SERVER, twice())
        .agent_behind(read, SERVER, twice())
        .build()
        .unwrap();
    let options = || RunOptions::default().without_waiting();
    let id = "run-1".parse().unwrap();
    let report = next.resume(&workflow(), &id, options()).await.unwrap();
    assert_eq!(report.status, RunStatus::Waiting);
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    // And lets the run go on when it is back.
    tokio::time::advance(Duration::from_secs(20)).await;
    let waiting = RunOptions::default();
    let report = next.resume(&workflow(), &id, waiting).await.unwrap();
    assert!(report.status.is_delivered(), "{report:?}");
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert_eq!(next.breaker(SERVER).unwrap().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_breaks_is_charged_itself_and_its_server_is_not() {
    let (search, _) = tool("search", || Err(AgentError::api("the index is broken")));
    let (read, reads) = tool("read", well);
    let engine = builder(Arc::new(MemoryStore::new()))
        .dependency(SERVER, rules())
        .agent_behind(search, SERVER, twice().with_breaker(rules()))
        .agent_behind(read, SERVER, twice())
        .build()
        .unwrap();
    let report = run(&engine).await;
    assert_eq!(status(&report, "read"), StepStatus::Succeeded, "{report:?}");
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    assert_eq!(engine.breaker("search").unwrap().state(), State::Open);
    let server = engine.breaker(SERVER).unwrap();
    assert_eq!((server.state(), server.counts().failed), (State::Closed, 0));
}

/// The control: without what they share, each tool has to learn for itself that the server is gone.
#[tokio::test(start_paused = true)]
async fn without_a_breaker_of_its_own_a_server_is_charged_to_each_tool() {
    let (search, _) = tool("search", server_gone);
    let (read, reads) = tool("read", server_gone);
    let engine = builder(Arc::new(MemoryStore::new()))
        .shared_agent(search, twice().with_breaker(rules()))
        .shared_agent(read, twice().with_breaker(rules()))
        .build()
        .unwrap();
    run(&engine).await;
    assert_eq!(reads.load(Ordering::Relaxed), 2);
    for agent in ["search", "read"] {
        assert_eq!(engine.breaker(agent).unwrap().state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dependency_is_held_and_released_by_hand_as_an_agent_is() {
    let (read, reads) = tool("read", well);
    let (search, _) = tool("search", well);
    let engine = builder(Arc::new(MemoryStore::new()))
        .dependency(SERVER, rules())
        .agent_behind(search, SERVER, twice())
        .agent_behind(read, SERVER, twice())
        .build()
        .unwrap();
    let by = By::new("ops", "maintenance");
    engine.operate(SERVER, Action::ForceOpen, &by).unwrap();
    let report = run(&engine).await;
    assert!(!report.status.is_delivered(), "{report:?}");
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    // A run that waits for it looks again at once when it is released.
    let id = "run-1".parse().unwrap();
    let (workflow, begun) = (workflow(), tokio::time::Instant::now());
    let (report, ()) = tokio::join!(
        engine.resume(&workflow, &id, RunOptions::default()),
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            engine.operate(SERVER, Action::Release, &by).unwrap();
        }
    );
    let report = report.unwrap();
    assert!(report.status.is_delivered(), "{report:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    let error = engine.operate("mcp.none", Action::Trip, &by).unwrap_err();
    assert!(error.to_string().contains(SERVER), "{error}");
}

/// One that opened by itself makes no move when its next probe is due at once: the run looks all the same.
#[tokio::test(start_paused = true)]
async fn a_dependency_that_opened_by_itself_is_tried_at_once_when_it_is_released() {
    let gone = Arc::new(AtomicU32::new(2));
    let left = Arc::clone(&gone);
    let (search, _) = tool("search", move || {
        let is_gone = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if is_gone.is_ok() {
            server_gone()
        } else {
            well()
        }
    });
    let (read, reads) = tool("read", well);
    let engine = builder(Arc::new(MemoryStore::new()))
        .dependency(SERVER, rules())
        .agent_behind(search, SERVER, twice())
        .agent_behind(read, SERVER, twice())
        .build()
        .unwrap();
    let (workflow, begun) = (workflow(), tokio::time::Instant::now());
    let (report, ()) = tokio::join!(engine.run(&workflow, RunOptions::default()), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(reads.load(Ordering::Relaxed), 0);
        let by = By::new("ops", "it is back");
        engine.operate(SERVER, Action::Release, &by).unwrap();
    });
    let report = report.unwrap();
    assert!(report.status.is_delivered(), "{report:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[test]
fn a_dependency_that_is_not_there_and_a_name_that_is_taken_are_refused() {
    let make = |dependency: &str, behind: &str| {
        let (read, _) = tool("read", well);
        builder(Arc::new(MemoryStore::new()))
            .dependency(dependency, rules())
            .agent_behind(read, behind, twice())
            .build()
    };
    let error = make(SERVER, "mcp.file").unwrap_err();
    assert!(matches!(error, EngineError::UnknownDependency { .. }));
    assert!(error.to_string().contains("it has: mcp.files"), "{error}");
    let error = make("read", "read").unwrap_err();
    assert!(matches!(error, EngineError::DuplicateAgent(_)), "{error}");
}
