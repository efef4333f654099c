//! Agents against a real model, good and harmed. Run by `cargo xtask llm`, which brings the model.
//!
//! The model is tiny, so nothing here is about what it says: shapes, phases and accounts.

mod agents;
mod faults;
mod outage;
mod runs;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fusebox::agent::{AgentError, Guard};
use fusebox::breaker::{Breaker, Config};
use fusebox::endpoints::{OpenAiAgent, OpenAiAgentBuilder, Phase, WireError, WireLimits};
use fusebox::policy::Policy;
use fusebox_fault_proxy::Proxy;

/// Longer than the model takes on any machine.
const LONG: Duration = Duration::from_secs(120);

/// Where the model is, `host:port`, and the path of its API.
fn model() -> (String, String) {
    let url = std::env::var("OPENAI_BASE_URL").expect("run it by `cargo xtask llm`");
    let rest = url
        .strip_prefix("http://")
        .expect("the model is on this machine");
    let (address, path) = rest.split_once('/').expect("an API has a path");
    (address.to_owned(), format!("/{path}"))
}

fn name() -> String {
    std::env::var("OPENAI_MODEL").expect("run it by `cargo xtask llm`")
}

/// A proxy before the model.
async fn line() -> Proxy {
    Proxy::start(model().0).await.expect("it starts")
}

/// An agent that asks the model by way of a proxy.
fn agent(proxy: &Proxy) -> OpenAiAgentBuilder {
    OpenAiAgent::builder("model", name())
        .base_url(format!("{}{}", proxy.url(), model().1))
        .parameter("temperature", 0)
        .limits(patient())
        .max_tokens(24)
}

fn patient() -> WireLimits {
    WireLimits::default()
        .with_first_byte(LONG)
        .with_first_token(LONG)
        .with_idle(LONG)
}

/// A guard whose breaker opens at the first failure, for `open` and half of it at the most.
fn guard(agent: OpenAiAgentBuilder, open: Duration) -> Guard {
    let config = Config::builder()
        .consecutive_failures(1)
        .wait_duration_in_open(open)
        .max_wait_duration_in_open(open)
        .build()
        .expect("the configuration is valid");
    let breaker = Breaker::new("model", config);
    let agent = agent.build().expect("it is well described");
    Guard::new(
        Arc::new(agent),
        Policy::builder(breaker).attempt_timeout(LONG * 2).build(),
    )
}

fn phase(error: &AgentError) -> Option<Phase> {
    Some(error.source()?.downcast_ref::<WireError>()?.phase())
}

/// The example's program, which is also its services.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_support-triage"))
}
