//! What the command sends to a collector of OpenTelemetry.

#![cfg(target_os = "linux")]

#[path = "../../crates/fusebox-metrics/tests/collector/mod.rs"]
mod collector;

use collector::{Collector, Received, ancestry};
use fusebox_tests::{Outcome, Sandbox, Service};
use serde_json::json;

const KEY: &str = "sk-hunter2hunter2";

const FLOW: &str = r#"
[workflow]
name = "answers"

[agents.sum]
kind = "failover"
targets = ["far", "near"]

[agents.far]
kind = "openai"
model = "far-1"
base_url_env = "FAR_URL"
api_key_env = "FAR_KEY"
prompt = "how many?"
max_attempts = 1

[agents.near]
kind = "openai"
model = "near-1"
base_url_env = "NEAR_URL"
prompt = "how many?"
max_attempts = 1

[[step]]
name = "sum"
"#;

/// Runs the flow, whose first model refuses, with these arguments.
fn run(arguments: &[&str]) -> Outcome {
    let headers = || "content-type: application/json\r\n".to_owned();
    let far = Service::start(move |_| (503, headers(), "{}".to_owned()));
    let near = Service::start(move |_| {
        let choice = json!({"message": {"content": "twenty-three"}, "finish_reason": "stop"});
        let usage = json!({"prompt_tokens": 20, "completion_tokens": 10});
        let body = json!({"model": "near-1-0613", "choices": [choice], "usage": usage});
        (200, headers(), body.to_string())
    });
    let sandbox = Sandbox::new()
        .with_env("FAR_URL", far.url())
        .with_env("FAR_KEY", KEY)
        .with_env("NEAR_URL", near.url());
    sandbox.write("flow.toml", FLOW);
    let run = ["run", "flow.toml", "--id", "one", "--json"];
    sandbox.fusebox(&[&run[..], arguments].concat())
}

fn received(is_named: bool) -> Received {
    let collector = Collector::start();
    let url = collector.url();
    let arguments = ["--otlp", &url];
    let outcome = run(if is_named { &arguments } else { &[] }).exited(0);
    assert_eq!(outcome.json()["status"], "completed", "{outcome}");
    collector.stop()
}

#[test]
fn a_collector_gets_the_spans_and_the_metrics_of_a_run() {
    let received = received(true);
    let spans = &received.spans;
    let request = spans.iter().find(|span| span.name == "chat near-1");
    let request = request.unwrap_or_else(|| panic!("no request in {spans:?}"));
    let chain = [
        "run answers",
        "step sum",
        "invoke_agent sum",
        "invoke_agent near",
        "chat near-1",
    ];
    assert_eq!(ancestry(spans, request), chain);
    assert_eq!(request.text("gen_ai.response.model"), Some("near-1-0613"));
    assert_eq!(request.number("gen_ai.usage.input_tokens"), Some(20));
    assert_eq!(request.number("gen_ai.usage.output_tokens"), Some(10));
    let refused = spans.iter().find(|span| span.name == "chat far-1");
    let refused = refused.expect("the first choice was asked, too");
    assert_eq!(refused.text("error.type"), Some("overloaded"));
    for name in [
        "fusebox_runs_total",
        "fusebox_breaker_calls_total",
        "fusebox_step_duration_seconds",
    ] {
        assert!(received.rows.iter().any(|row| row.name == name), "{name}");
    }
    let wire = String::from_utf8_lossy(&received.bodies);
    for word in [KEY, "how many?", "twenty-three"] {
        assert!(!wire.contains(word), "{word} was told");
    }
}

#[test]
fn a_collector_that_is_not_named_gets_nothing() {
    let received = received(false);
    assert!(received.spans.is_empty() && received.rows.is_empty());
}

#[test]
fn a_collector_that_is_away_costs_a_run_nothing_and_is_told_once() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound")
    };
    let outcome = run(&["--otlp", &format!("http://{nobody}")]).exited(0);
    assert_eq!(outcome.json()["status"], "completed", "{outcome}");
    let said = outcome.to_string();
    let told = said.matches("deliveries to the collector failed").count();
    assert_eq!(told, 1, "{said}");
    assert!(said.contains(&format!("--otlp http://{nobody}")), "{said}");
}

#[test]
fn an_address_that_is_none_is_misuse_and_nothing_starts() {
    let outcome = run(&["--otlp", "nowhere"]).exited(2);
    let said = outcome.to_string();
    assert!(said.contains("http://127.0.0.1:4318"), "{said}");
}
