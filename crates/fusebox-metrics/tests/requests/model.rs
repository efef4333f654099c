//! Requests to models.

use std::sync::Arc;
use std::time::Duration;

use fusebox_endpoints::{OpenAiAgent, OpenAiAgentBuilder};
use fusebox_orchestrator::{
    Alternatives, Engine, Resilience, RunOptions, RunReport, Step, Workflow,
};
use fusebox_state::MemoryStore;
use serde_json::json;

use crate::collector::{Received, Seen, ancestry};
use crate::server::{Act, Server, answer, stream};
use crate::{ask, header, only, unwatched, watched};

const HEL: &str = r#"{"id":"chat-7","model":"m-1-0613","choices":[{"delta":{"content":"hel"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":10}}"#;

fn model(name: &str, server: &Server) -> OpenAiAgentBuilder {
    OpenAiAgent::builder(name, "m-1").base_url(format!("{}/v1", server.url()))
}

fn whole(status: u16) -> Act {
    let body = json!({
        "id": "chat-8", "model": "m-1-0613",
        "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 20, "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 15},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    });
    answer(status, "", &body.to_string())
}

/// Asks a model that answers with these acts, and nobody else.
fn asked(acts: Vec<Act>) -> Received {
    let work = async {
        let server = Server::start(vec![acts]).await;
        let agent = model("triage", &server).build().unwrap();
        let _ = ask(&agent, "hello?").await;
    };
    watched(work).1
}

fn usage(span: &Seen) -> (Option<i64>, Option<i64>) {
    let tokens = |name| span.number(&format!("gen_ai.usage.{name}_tokens"));
    (tokens("input"), tokens("output"))
}

#[test]
fn a_stream_tells_the_model_its_tokens_and_when_it_began() {
    let (port, received) = watched(async {
        let server = Server::always(stream(&[HEL, STOP, USAGE, "[DONE]"])).await;
        let agent = model("triage", &server)
            .max_tokens(50)
            .parameter("temperature", 0.5)
            .parameter("seed", 7);
        ask(&agent.build().unwrap(), "hello?").await.unwrap();
        let parent = header(&server.requests()[0], "traceparent");
        (i64::from(server.address.port()), parent)
    });
    let (port, parent) = port;
    let span = only(&received);
    assert_eq!(parent, Some(span.traceparent()));
    assert_eq!(span.name, "chat m-1");
    assert!(span.is_client && !span.is_error, "{span:?}");
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "m-1"),
        ("gen_ai.output.type", "text"),
        ("gen_ai.response.model", "m-1-0613"),
        ("gen_ai.response.id", "chat-7"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(span.text(key), Some(value), "{key}");
    }
    assert_eq!(span.number("server.port"), Some(port));
    assert_eq!(span.is_set("gen_ai.request.stream"), Some(true));
    assert_eq!(span.number("gen_ai.request.max_tokens"), Some(50));
    assert_eq!(span.number("gen_ai.request.seed"), Some(7));
    assert_eq!(span.decimal("gen_ai.request.temperature"), Some(0.5));
    assert_eq!(span.decimal("gen_ai.request.top_p"), None);
    assert_eq!(usage(span), (Some(20), Some(10)));
    let reasons = span.texts("gen_ai.response.finish_reasons");
    assert_eq!(reasons, Some(vec!["stop"]));
    let waited = span.decimal("gen_ai.response.time_to_first_chunk");
    assert!(waited.is_some_and(|seconds| seconds > 0.0), "{waited:?}");
}

#[test]
fn an_answer_in_one_piece_tells_what_was_cached_and_thought_and_has_no_first_piece() {
    let (_, received) = watched(async {
        let server = Server::always(whole(200)).await;
        let agent = model("triage", &server)
            .streaming(false)
            .output_schema(json!({"type": "object"}));
        ask(&agent.build().unwrap(), "hello?").await.unwrap();
    });
    let span = only(&received);
    assert_eq!(usage(span), (Some(20), Some(10)));
    let tokens = |name| span.number(&format!("gen_ai.usage.{name}_tokens"));
    assert_eq!(tokens("cache_read.input"), Some(15));
    assert_eq!(tokens("reasoning.output"), Some(4));
    assert_eq!(span.text("gen_ai.output.type"), Some("json"));
    assert_eq!(span.is_set("gen_ai.request.stream"), None);
    assert_eq!(span.decimal("gen_ai.response.time_to_first_chunk"), None);
}

#[test]
fn a_refusal_tells_its_status_and_what_it_means_and_no_tokens() {
    let body = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
    let received = asked(vec![answer(429, "x-request-id: req-9\r\n", body)]);
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("rate_limited"));
    assert_eq!(span.number("http.response.status_code"), Some(429));
    assert_eq!(span.text("fusebox.phase"), Some("refused"));
    assert_eq!(span.text("fusebox.request_id"), Some("req-9"));
    assert_eq!(usage(span), (None, None));
    assert_eq!(span.text("gen_ai.response.model"), None);
}

#[test]
fn a_stream_that_breaks_tells_its_phase_and_who_had_begun_to_answer() {
    let received = asked(vec![stream(&[HEL])]);
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("api"));
    assert_eq!(span.text("fusebox.phase"), Some("truncated"));
    assert_eq!(span.number("http.response.status_code"), Some(200));
    assert_eq!(span.text("gen_ai.response.model"), Some("m-1-0613"));
    assert!(
        span.decimal("gen_ai.response.time_to_first_chunk")
            .is_some()
    );
    assert_eq!(usage(span), (None, None));
    assert_eq!(span.texts("gen_ai.response.finish_reasons"), None);
}

#[test]
fn a_request_that_is_not_waited_for_is_cancelled() {
    let (_, received) = watched(async {
        let server = Server::always(Act::Hold).await;
        let agent = model("triage", &server).build().unwrap();
        tokio::select! {
            biased;
            _ = ask(&agent, "hello?") => panic!("it never answers"),
            () = asked_at_all(&server) => {}
        }
    });
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("cancelled"));
}

async fn asked_at_all(server: &Server) {
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// A model out of two, of which the first is overloaded, in a run of one step.
async fn fail_over() -> RunReport {
    let (bad, good) = (
        Server::always(answer(503, "", "{}")).await,
        Server::always(whole(200)).await,
    );
    let once = || Resilience::default().with_max_attempts(1);
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(model("far", &bad).build().unwrap(), once())
        .agent(model("near", &good).build().unwrap(), once())
        .failover(Alternatives::new("model", ["far", "near"]), once())
        .build()
        .unwrap();
    let workflow = Workflow::builder("review").step(Step::new("model"));
    let workflow = workflow.build().unwrap();
    engine.run(&workflow, RunOptions::default()).await.unwrap()
}

#[test]
fn a_failover_is_two_requests_under_one_attempt() {
    let (report, received) = watched(fail_over());
    assert_eq!(report.status.exit_code(), 0);
    let spans = &received.spans;
    let requests = spans.iter().filter(|span| span.name == "chat m-1");
    let mut chains: Vec<_> = requests.map(|span| (ancestry(spans, span), span)).collect();
    chains.sort_by_key(|(chain, _)| chain[3]);
    let [(far, first), (near, second)] = chains.as_slice() else {
        panic!("two requests were to come: {chains:?}");
    };
    let attempt = ["run review", "step model", "invoke_agent model"];
    assert_eq!((&far[..3], far[3]), (&attempt[..], "invoke_agent far"));
    assert_eq!((&near[..3], near[3]), (&attempt[..], "invoke_agent near"));
    assert_eq!(first.text("error.type"), Some("overloaded"));
    assert_eq!(usage(second), (Some(20), Some(10)));
    let attempts = spans.iter().filter(|span| span.name == attempt[2]).count();
    assert_eq!(attempts, 1);
}

#[test]
fn an_attempt_that_takes_too_long_ends_its_request_too() {
    let (_, received) = watched(async {
        let server = Server::always(Act::Hold).await;
        let resilience = Resilience::default()
            .with_max_attempts(1)
            .with_attempt_timeout(Duration::from_millis(100));
        let engine = Engine::builder(Arc::new(MemoryStore::new()))
            .agent(model("triage", &server).build().unwrap(), resilience)
            .build()
            .unwrap();
        let workflow = Workflow::builder("review").step(Step::new("triage"));
        let options = RunOptions::default().without_waiting();
        let workflow = workflow.build().unwrap();
        engine.run(&workflow, options).await.unwrap();
    });
    for name in ["invoke_agent triage", "chat m-1"] {
        let span = received.spans.iter().find(|span| span.name == name);
        let span = span.expect(name);
        assert_eq!(span.text("error.type"), Some("timed_out"), "{span:?}");
    }
}

/// The control: with nobody who collects spans, no request bears the trace of one.
#[test]
fn without_a_collector_requests_name_no_trace() {
    let request = unwatched(async {
        let server = Server::always(whole(200)).await;
        let agent = model("triage", &server).streaming(false);
        ask(&agent.build().unwrap(), "hello?").await.unwrap();
        server.requests().remove(0)
    });
    assert_eq!(header(&request, "traceparent"), None);
}
