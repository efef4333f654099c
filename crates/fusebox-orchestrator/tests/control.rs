//! An engine looked at and operated through its socket.
#![cfg(all(feature = "control", unix))]

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::control::{
    Client, ControlError, Inbox, Listener, Request, Told, Watch, find,
};
use fusebox_orchestrator::{
    Action, By, Engine, Event, EventKind, HealthStatus, Resilience, RunOptions, RunStatus, Step,
    Workflow,
};
use fusebox_state::MemoryStore;
use serde_json::json;
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

async fn event(watch: &mut Watch) -> Event {
    match watch.next().await.unwrap().unwrap() {
        Told::Event(event) => *event,
        other => panic!("{other:?}"),
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
    let told = event(&mut watch).await;
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
    while !matches!(event(&mut watch).await.kind, EventKind::StepWaiting { .. }) {}
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
        while !matches!(event(&mut watch).await.kind, EventKind::StepStarted { .. }) {}
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

/// Has an agent say so many lines in one breath, before the eyes of a watch; gives how many events it missed.
async fn missed_of(lines: usize) -> u64 {
    let chatty = agent_fn("chatty", move |_, cx| async move {
        (0..lines).for_each(|line| cx.progress(&format!("line {line}")));
        Ok(Reply::default())
    });
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(chatty, Resilience::default())
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let _listener = Listener::start(&engine, directory.path()).unwrap();
    let [client] = find(directory.path()).await.try_into().unwrap();
    let mut watch = client.watch().await.unwrap();
    let step = Step::new("chatty");
    let workflow = Workflow::builder("w").step(step).build().unwrap();
    engine.run(&workflow, RunOptions::default()).await.unwrap();
    let mut missed = 0;
    loop {
        match watch.next().await.unwrap().unwrap() {
            Told::Missed(some) => missed += some,
            Told::Event(event) if matches!(event.kind, EventKind::RunEnded { .. }) => {
                return missed;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_watch_is_told_how_many_events_it_missed() {
    assert_eq!(missed_of(10).await, 0);
    // An engine keeps 1024 events for whoever is behind.
    let missed = missed_of(1500).await;
    assert!((400..=1500).contains(&missed), "{missed}");
}

#[tokio::test]
async fn an_engine_tells_what_it_has_counted_and_at_its_end_every_inbox() {
    let stage = stage();
    let refused = stage.client().await.figures().await;
    let Err(ControlError::Refused(why)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(why, "this engine does not count");

    let directory = tempfile::tempdir().unwrap();
    let builder = Listener::builder(&stage.engine);
    let counting = builder.figures(|| async { json!({ "calls": 3 }) });
    let counting = counting.start(directory.path()).unwrap();
    let [client] = find(directory.path()).await.try_into().unwrap();
    assert_eq!(client.figures().await.unwrap(), json!({ "calls": 3 }));

    let mut inboxes = [0, 1].map(|_| Inbox::open(directory.path()).unwrap());
    // An inbox is no engine.
    assert_eq!(find(directory.path()).await.len(), 1);
    counting.close().await;
    assert!(find(directory.path()).await.is_empty());
    for inbox in &mut inboxes {
        let [last] = inbox.take().try_into().unwrap();
        assert_eq!(&last.engine, client.engine());
        assert_eq!(last.figures, json!({ "calls": 3 }));
        assert!(inbox.take().is_empty());
    }
    // The control: one that is only dropped says nothing.
    let dropped = Listener::builder(&stage.engine).figures(|| async { json!(1) });
    drop(dropped.start(directory.path()).unwrap());
    assert!(inboxes[0].take().is_empty());
    drop(inboxes);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn inboxes_that_are_dead_or_hang_keep_no_engine_from_ending() {
    let stage = stage();
    let directory = tempfile::tempdir().unwrap();
    let notice = |name: &str, socket: &std::path::Path| {
        let text = json!({ "inbox": socket }).to_string();
        std::fs::write(directory.path().join(name), text).unwrap();
    };
    notice("1-0.inbox", "/nonexistent/x.sock".as_ref());
    let hangs = directory.path().join("hangs.sock");
    let _hangs = std::os::unix::net::UnixListener::bind(&hangs).unwrap();
    notice("2-0.inbox", &hangs);
    let mut inbox = Inbox::open(directory.path()).unwrap();
    let listener = Listener::builder(&stage.engine).figures(|| async { json!(1) });
    let listener = listener.start(directory.path()).unwrap();
    listener.close().await;
    assert_eq!(inbox.take().len(), 1);
    assert!(!directory.path().join("1-0.inbox").exists());
    assert!(inbox.is_there());
    std::fs::remove_dir_all(directory.path()).unwrap();
    assert!(!inbox.is_there());
}

#[tokio::test]
async fn two_engines_of_one_process_are_never_taken_for_one() {
    let stage = stage();
    let directory = tempfile::tempdir().unwrap();
    let all: Vec<Listener> = (0..20)
        .map(|_| Listener::start(&stage.engine, directory.path()).unwrap())
        .collect();
    let found = find(directory.path()).await;
    let starts = found.iter().map(|client| client.engine().started_ms);
    let starts: std::collections::BTreeSet<u64> = starts.collect();
    assert_eq!(starts.len(), all.len());
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
