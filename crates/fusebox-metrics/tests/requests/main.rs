//! What a collector is sent of real requests: to models, services and tools on real sockets, good and bad.

#[path = "../collector/mod.rs"]
mod collector;
mod http;
mod model;
#[path = "../../../fusebox-endpoints/tests/wire/server.rs"]
#[allow(dead_code, reason = "it can do more than these tests need")]
mod server;
mod tool;
mod untold;

use fusebox_agent::{Agent, AgentError, Context, Reply, Task};
use fusebox_metrics::otlp::Spans;
use tracing_subscriber::layer::SubscriberExt;

use self::collector::{Collector, Received, Seen};

/// Runs `work` before the eyes of a collector; gives what it returned and what was sent.
fn watched<T>(work: impl Future<Output = T>) -> (T, Received) {
    let collector = Collector::start();
    let spans = Spans::to(&collector.url(), "test").unwrap();
    let subscriber = tracing_subscriber::registry().with(spans.layer());
    let result = tracing::subscriber::with_default(subscriber, || unwatched(work));
    spans.finish().unwrap();
    (result, collector.stop())
}

/// Runs it while nobody looks.
fn unwatched<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

async fn ask(agent: &dyn Agent, input: impl Into<serde_json::Value>) -> Result<Reply, AgentError> {
    let task = Task::new(input);
    agent.call(task, &Context::new("run-1", "step")).await
}

fn only(received: &Received) -> &Seen {
    let [span] = received.spans.as_slice() else {
        panic!("one span was to come: {:?}", received.spans);
    };
    span
}

/// The value of a header of a request.
fn header(request: &str, name: &str) -> Option<String> {
    request.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        let is_it = known.eq_ignore_ascii_case(name);
        is_it.then(|| value.trim().to_owned())
    })
}
