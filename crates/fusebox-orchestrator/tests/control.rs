//! An engine looked at and operated through its socket.
#![cfg(all(feature = "control", unix))]

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::control::{Client, ControlError, Listener, Request, find};
use fusebox_orchestrator::{
    Action, By, Engine, EventKind, HealthStatus, Resilience, RunOptions, RunStatus, Step, Workflow,
};
use fusebox_state::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// An engine whose agent `a` answers once it is let, and a directory to find it in.
struct Stage {
    engine: Engine,
    go: Arc<Notify>,
    directory: tempfile::TempDir,
    listener: Listener,
}

fn stage() -> Stage {
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let agent = agent_fn("a", move |_, _| {
        let held = Arc::clone(&held);
        async move {
            held.notified().await;
            Ok(Reply::default())
        }
    });
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(agent, Resilience::default())
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let listener = Listener::start(&engine, directory.path()).unwrap();
    Stage {
        engine,
        go,
        directory,
        listener,
    }
}

impl Stage {
    async fn client(&self) -> Client {
        let [client] = find(self.directory.path()).await.try_into().unwrap();
        client
    }
}

fn operate(action: Action, by: By) -> Request {
    Request::Operate {
        agent: "a".into(),
        action,
        by,
    }
}

#[tokio::test]
async fn an_engine_is_found_looked_at_and_gone() {
    let stage = stage();
    let client = stage.client().await;
    assert_eq!(client.engine().pid, std::process::id());
    let overview = client.overview().await.unwrap();
    assert_eq!(overview.health.status, HealthStatus::Healthy);
    assert_eq!((overview.health.agents.len(), overview.runs.len()), (1, 0));
    drop(stage.listener);
    assert!(find(stage.directory.path()).await.is_empty());
    assert!(matches!(
        client.overview().await,
        Err(ControlError::Gone(_))
    ));
    assert_eq!(
        std::fs::read_dir(stage.directory.path()).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn a_breaker_is_forced_open_and_released_and_listeners_hear_who_and_why() {
    let stage = stage();
    let client = stage.client().await;
    let mut watch = client.watch().await.unwrap();
    let by = By::new("ops", "the vendor called");
    client
        .tell(&operate(Action::ForceOpen, by.clone()))
        .await
        .unwrap();
    let health = client.overview().await.unwrap().health;
    assert_eq!(health.agents[0].state, "forced_open");
    assert!(
        health.agents[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("the vendor called")
    );
    let told = watch.next().await.unwrap().unwrap();
    let EventKind::Operated { by, action, .. } = told.kind else {
        panic!("{told:?}");
    };
    assert_eq!(
        (by.as_str(), action, told.run),
        ("ops", Action::ForceOpen, None)
    );
    client
        .tell(&operate(Action::Release, By::new("ops", "over")))
        .await
        .unwrap();
    assert_eq!(
        client.overview().await.unwrap().health.status,
        HealthStatus::Healthy
    );
    let again = client
        .tell(&operate(Action::Release, By::new("ops", "over")))
        .await;
    let Err(ControlError::Refused(why)) = again else {
        panic!("{again:?}");
    };
    assert_eq!(
        why,
        "the breaker of agent `a` is closed: nothing to release"
    );
}

#[tokio::test]
async fn a_run_that_waits_for_a_forced_breaker_goes_on_when_it_is_released() {
    let stage = stage();
    let client = stage.client().await;
    client
        .tell(&operate(Action::ForceOpen, By::new("ops", "hold")))
        .await
        .unwrap();
    let mut watch = client.watch().await.unwrap();
    let workflow = Workflow::builder("w").step(Step::new("a")).build().unwrap();
    let engine = stage.engine.clone();
    let run = tokio::spawn(async move { engine.run(&workflow, RunOptions::default()).await });
    while !matches!(
        watch.next().await.unwrap().unwrap().kind,
        EventKind::StepWaiting { .. }
    ) {}
    stage.go.notify_one();
    client
        .tell(&operate(Action::Release, By::new("ops", "go")))
        .await
        .unwrap();
    assert_eq!(run.await.unwrap().unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn a_run_is_cancelled_with_who_and_why_and_no_other_is() {
    let stage = stage();
    let client = stage.client().await;
    let workflow = Workflow::builder("w").step(Step::new("a")).build().unwrap();
    // Two runs that one caller could cancel together.
    let options = RunOptions::default();
    let mut watch = client.watch().await.unwrap();
    let runs = ["one", "two"].map(|name| {
        let (engine, workflow) = (stage.engine.clone(), workflow.clone());
        let options = options.clone().with_id(name.parse().unwrap());
        tokio::spawn(async move { engine.run(&workflow, options).await })
    });
    for _ in 0..2 {
        while !matches!(
            watch.next().await.unwrap().unwrap().kind,
            EventKind::StepStarted { .. }
        ) {}
    }
    assert_eq!(client.overview().await.unwrap().runs.len(), 2);
    let cancel = |run: &str| Request::Cancel {
        run: run.into(),
        by: By::new("ops", "wrong input"),
    };
    client.tell(&cancel("one")).await.unwrap();
    let [one, two] = runs;
    let one = one.await.unwrap().unwrap();
    assert_eq!(one.status, RunStatus::Cancelled);
    let reason = one.reason.unwrap();
    assert!(
        reason.starts_with("cancelled by ops: wrong input"),
        "{reason}"
    );
    let gone = client.tell(&cancel("one")).await;
    assert!(matches!(gone, Err(ControlError::Refused(_))), "{gone:?}");
    stage.go.notify_one();
    assert_eq!(two.await.unwrap().unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn nonsense_is_answered_with_an_error_and_the_dead_are_not_found() {
    let stage = stage();
    let socket = std::fs::read_dir(stage.directory.path()).unwrap();
    let socket = socket.map(|entry| entry.unwrap().path());
    let socket = socket
        .into_iter()
        .find(|path| path.extension().unwrap() == "sock")
        .unwrap();
    for nonsense in ["\n", "{}\n", "{\"op\":\"explode\"}\n", "\u{0}\u{0}\n"] {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("{\"error\":"), "{nonsense:?}: {answer}");
    }
    let mut endless = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let sent = endless.write_all(&vec![b' '; 1024 * 1024]).await;
    let mut answer = Vec::new();
    let read =
        tokio::time::timeout(Duration::from_secs(60), endless.read_to_end(&mut answer)).await;
    assert!(
        sent.is_err() || read.is_ok(),
        "a line without an end ends the connection"
    );
    // A notice whose engine died without taking it away.
    let dead = stage.directory.path().join("1-0.json");
    let text = r#"{"socket":"/nonexistent/x.sock","engine":{"pid":1,"started_ms":0}}"#;
    std::fs::write(&dead, text).unwrap();
    assert_eq!(find(stage.directory.path()).await.len(), 1);
    assert!(!dead.exists());
}

#[tokio::test]
async fn only_its_owner_may_enter() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage();
    let inner = stage.directory.path().join("engines");
    let _listener = Listener::start(&stage.engine, &inner).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for entry in std::fs::read_dir(&inner).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "sock" {
            assert_eq!(mode(&path), 0o600);
        }
    }
}

#[tokio::test]
async fn a_directory_too_long_for_a_socket_is_no_hindrance() {
    let stage = stage();
    let deep = stage.directory.path().join("d".repeat(90)).join("engines");
    let _listener = Listener::start(&stage.engine, &deep).unwrap();
    let [client] = find(&deep).await.try_into().unwrap();
    assert!(client.overview().await.is_ok());
}
