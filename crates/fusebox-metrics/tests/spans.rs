//! What a collector of OpenTelemetry is sent of a run.

mod collector;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task, agent_fn};
use fusebox_metrics::otlp::Spans;
use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus, Step, Workflow};
use fusebox_state::MemoryStore;
use tracing_subscriber::layer::SubscriberExt;

use self::collector::{Collector, Seen};

/// An agent that fails at its first call.
struct Remote {
    description: Description,
    calls: AtomicU32,
}

impl Remote {
    fn new(name: &str, kind: &str) -> Self {
        Self {
            description: Description::new(name, kind),
            calls: AtomicU32::new(0),
        }
    }
}

impl Agent for Remote {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn call<'a, 'b, 'c>(
        &'a self,
        _: Task,
        _: &'b Context,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Reply, AgentError>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
    {
        let is_first = self.calls.fetch_add(1, Ordering::Relaxed) == 0;
        Box::pin(async move {
            match is_first {
                true => Err(AgentError::api("503")),
                false => Ok(Reply::new("answer")),
            }
        })
    }
}

/// A run of three steps whose model fails once, before the eyes of a collector or not.
async fn run() {
    let plain = agent_fn("plain", |_task, _cx| async { Ok(Reply::new("done")) });
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(Remote::new("writer", "openai"), Resilience::default())
        .agent(Remote::new("search", "mcp"), Resilience::default())
        .agent(plain, Resilience::default())
        .build()
        .unwrap();
    let workflow = Workflow::builder("review")
        .step(Step::new("search"))
        .step(Step::new("writer").requires(["search"]))
        .step(Step::new("plain").requires(["writer"]))
        .build()
        .unwrap();
    let options = RunOptions::default().with_id("run-1".parse().unwrap());
    let report = engine.run(&workflow, options).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed);
}

fn collected() -> Vec<Seen> {
    let collector = Collector::start();
    let spans = Spans::to(&collector.url(), "test").unwrap();
    let subscriber = tracing_subscriber::registry().with(spans.layer());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(run()));
    spans.finish().unwrap();
    collector.stop().spans
}

#[test]
fn a_collector_is_sent_run_step_and_attempt_one_within_the_other() {
    let seen = collected();
    let chains: Vec<Vec<&str>> = seen
        .iter()
        .filter(|span| !seen.iter().any(|other| other.parent == span.id))
        .map(|span| collector::ancestry(&seen, span))
        .collect();
    let model = ["run review", "step writer", "invoke_agent writer"];
    let tool = ["run review", "step search", "invoke_agent search"];
    let plain = ["run review", "step plain", "invoke_agent plain"];
    let times = |wanted: &[&str]| chains.iter().filter(|chain| *chain == wanted).count();
    // A failed attempt and its retry.
    assert_eq!(
        (times(&model), times(&tool), times(&plain)),
        (2, 2, 1),
        "{chains:?}"
    );
    assert_eq!(chains.len(), 5, "{chains:?}");
    assert!(seen.iter().all(|span| span.trace == seen[0].trace));
}

#[test]
fn spans_have_the_attributes_of_the_conventions_and_errors_their_type() {
    let seen = collected();
    let find = |name: &'static str| seen.iter().filter(move |span| span.name == name);
    let run = find("run review").next().unwrap();
    assert_eq!(run.text("fusebox.status"), Some("completed"));
    assert_eq!(run.text("gen_ai.conversation.id"), Some("run-1"));
    let mut attempts: Vec<_> = find("invoke_agent writer").collect();
    attempts.sort_by_key(|span| span.number("fusebox.attempt"));
    assert_eq!(attempts[0].number("fusebox.attempt"), Some(1));
    assert_eq!(attempts[0].text("error.type"), Some("api"));
    assert!(attempts[0].is_error && !attempts[1].is_error);
    assert_eq!(attempts[1].text("error.type"), None);
    for attempt in attempts {
        assert_eq!(attempt.text("gen_ai.operation.name"), Some("invoke_agent"));
        assert_eq!(attempt.text("gen_ai.agent.name"), Some("writer"));
    }
    let step = find("step writer").next().unwrap();
    assert_eq!(step.number("fusebox.attempts"), Some(2));
}

#[test]
fn a_collector_that_is_away_changes_no_run_and_is_told_once_at_the_end() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let spans = Spans::to(&format!("http://{nobody}"), "test").unwrap();
    let subscriber = tracing_subscriber::registry().with(spans.layer());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(run()));
    let lost = spans.finish().unwrap_err().to_string();
    assert!(
        lost.starts_with("1 of 1 deliveries to the collector failed"),
        "{lost}"
    );
}

/// It takes connections and answers nothing.
#[test]
fn a_collector_that_hangs_keeps_nobody_for_ever() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let spans = Spans::to(&format!("http://{}", silent.local_addr().unwrap()), "test").unwrap();
    let subscriber = tracing_subscriber::registry().with(spans.layer());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(run()));
    let lost = spans.finish().unwrap_err().to_string();
    assert!(
        lost.contains("deliveries to the collector failed"),
        "{lost}"
    );
}

#[test]
fn what_is_no_address_is_refused_with_an_example_and_a_password_without_being_shown() {
    let error = Spans::to("not an address", "test").unwrap_err();
    assert!(
        error.to_string().contains("http://127.0.0.1:4318"),
        "{error}"
    );
    let error = Spans::to("http://me:hunter2@host:4318/", "test").unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(
        !said.contains("hunter2") && said.contains("host:4318"),
        "{said}"
    );
}
