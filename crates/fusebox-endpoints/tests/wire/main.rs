//! Agents behind HTTP against real sockets that misbehave in every way at every moment.

mod breakers;
mod http;
mod http2;
#[path = "../support/logs.rs"]
mod logs;
mod openai;
mod secrets;
mod server;
mod streams;

use std::error::Error;
use std::time::Duration;

use fusebox_agent::{AgentError, Context, ErrorKind};
use fusebox_endpoints::{Phase, WireError, WireLimits};

/// A limit that is to strike.
const SOON: Duration = Duration::from_millis(150);

/// Limits of which none strikes in a test; the test sets the one that is to.
fn patient() -> WireLimits {
    let long = Duration::from_secs(120);
    WireLimits::default()
        .with_connect(long)
        .with_first_byte(long)
        .with_first_token(long)
        .with_idle(long)
        .with_total(long)
}

fn context() -> Context {
    Context::new("run-7", "step")
}

fn wire(error: &AgentError) -> &WireError {
    let source = error
        .source()
        .expect("every error of the wire has its source");
    source.downcast_ref().expect("and it is a wire error")
}

/// Phase, kind, whether it may have run, whether it is tried again.
fn told(error: &AgentError) -> (Phase, ErrorKind, bool, bool) {
    let phase = wire(error).phase();
    (phase, error.kind, error.may_have_run, error.retryable)
}
