//! Streams of a model, each judged when it is over, by its phase.

use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Context, ErrorKind, Piece, Reply, Task};
use fusebox_endpoints::{OpenAiAgent, OpenAiAgentBuilder, Phase, Price, WireLimits};
use fusebox_policy::{Meter, Spend};
use serde_json::json;
use tokio::sync::mpsc;

use crate::server::{Act, Server, events, send, stream};
use crate::{SOON, context, patient, told, wire};

const ROLE: &str = r#"{"model":"m-1","choices":[{"delta":{"role":"assistant","content":""}}]}"#;
const HEL: &str = r#"{"choices":[{"delta":{"content":"hel"},"finish_reason":null}]}"#;
const LO: &str = r#"{"choices":[{"delta":{"content":"lo"}}]}"#;
const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":10}}"#;
const DONE: &str = "[DONE]";

fn model(server: &Server) -> OpenAiAgentBuilder {
    OpenAiAgent::builder("triage", "m-1")
        .base_url(format!("{}/v1", server.url()))
        .price(Price::per_million(1_000_000, 2_000_000))
        .limits(patient())
}

async fn ask(builder: OpenAiAgentBuilder, cx: &Context) -> Result<Reply, AgentError> {
    let agent = builder.build().expect("a good agent");
    agent.call(Task::new("hello?"), cx).await
}

async fn fail(script: Vec<Act>, limits: WireLimits) -> AgentError {
    let server = Server::start(vec![script]).await;
    let result = ask(model(&server).limits(limits), &context()).await;
    result.expect_err("it cannot go well")
}

#[tokio::test]
async fn pieces_make_an_answer_and_its_usage_is_settled() {
    let server = Server::always(stream(&[ROLE, HEL, LO, STOP, USAGE, DONE])).await;
    let (sender, mut pieces) = mpsc::channel(8);
    let meter = Meter::new();
    let cx = context().with_pieces(sender).with_meter(meter.clone());
    let reply = ask(model(&server), &cx).await.expect("an answer");
    let expected = json!({
        "text": "hello", "finish_reason": "stop", "model": "m-1",
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    });
    assert_eq!(reply.output, expected);
    assert_eq!(meter.total(), Spend::new(30, 40));
    drop(cx);
    assert_eq!(pieces.recv().await, Some(Piece::new(0, "hel")));
    assert_eq!(pieces.recv().await, Some(Piece::new(0, "lo")));
    assert_eq!(pieces.recv().await, None);
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(r#""stream":true"#) && request.contains("include_usage"),
        "{request}"
    );
}

#[tokio::test]
async fn a_stream_that_finished_needs_no_done() {
    for script in [
        vec![stream(&[HEL, STOP])],
        vec![stream(&[HEL, DONE]), Act::Hold],
        vec![stream(&[HEL, STOP]), Act::Reset],
    ] {
        let server = Server::start(vec![script]).await;
        let reply = ask(model(&server), &context()).await.expect("an answer");
        assert_eq!(reply.output["text"], "hel");
    }
}

#[tokio::test]
async fn no_first_token_in_time_has_its_phase_and_a_sign_of_life_is_none() {
    let role = vec![stream(&[ROLE]), Act::Hold];
    let comments = vec![stream(&[]), send(": still here\n\n"), Act::Drip(b':')];
    for script in [role, comments] {
        let error = fail(script, patient().with_first_token(SOON)).await;
        assert_eq!(
            told(&error),
            (Phase::FirstToken, ErrorKind::TimedOut, true, true)
        );
    }
}

#[tokio::test]
async fn silence_after_the_first_token_is_an_idle_gap() {
    let error = fail(vec![stream(&[HEL]), Act::Hold], patient().with_idle(SOON)).await;
    assert_eq!(told(&error), (Phase::Idle, ErrorKind::TimedOut, true, true));
}

#[tokio::test]
async fn tokens_that_trickle_for_ever_run_into_the_total_limit() {
    let script = vec![stream(&[HEL]), Act::Drip(b':')];
    let error = fail(script, patient().with_total(SOON)).await;
    assert_eq!(
        told(&error),
        (Phase::Total, ErrorKind::TimedOut, true, true)
    );
}

#[tokio::test]
async fn a_stream_without_an_end_is_truncated_however_clean_the_connection_closed() {
    let chunked = send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let chunk = send(format!(
        "{:x}\r\n{}\r\n",
        events(&[HEL]).len(),
        events(&[HEL])
    ));
    for script in [
        vec![stream(&[ROLE, HEL, LO])],
        vec![stream(&[])],
        vec![stream(&[HEL]), send(format!("data: {STOP}"))],
        vec![chunked.clone(), chunk.clone(), send("0\r\n\r\n")],
        vec![chunked, chunk],
    ] {
        let error = fail(script, patient()).await;
        assert_eq!(told(&error), (Phase::Truncated, ErrorKind::Api, true, true));
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_is_broken() {
    let error = fail(vec![stream(&[HEL]), Act::Reset], patient()).await;
    assert_eq!(told(&error), (Phase::Broken, ErrorKind::Api, true, true));
}

#[tokio::test]
async fn an_error_in_the_middle_has_the_verdict_of_its_kind_and_ran() {
    for (error, kind, retryable) in [
        (
            r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            ErrorKind::Overloaded,
            true,
        ),
        (
            r#"{"error":{"code":429,"message":"slow down"}}"#,
            ErrorKind::RateLimited,
            true,
        ),
        (
            r#"{"error":{"message":"boom","type":"server_error"}}"#,
            ErrorKind::Api,
            true,
        ),
        (
            r#"{"error":{"code":"content_filter","message":"no"}}"#,
            ErrorKind::ContentFiltered,
            false,
        ),
        (r#"{"error":"out of memory"}"#, ErrorKind::Api, true),
    ] {
        let error = fail(vec![stream(&[HEL, error])], patient()).await;
        assert_eq!(told(&error), (Phase::MidStream, kind, true, retryable));
    }
    let named = send("event: error\ndata: {}\n\n");
    let error = fail(vec![stream(&[HEL]), named], patient()).await;
    assert_eq!(told(&error), (Phase::MidStream, ErrorKind::Api, true, true));
}

#[tokio::test]
async fn a_stream_of_nonsense_is_unreadable() {
    let error = fail(vec![stream(&[HEL, "{nonsense", DONE])], patient()).await;
    assert_eq!(
        told(&error),
        (Phase::Unreadable, ErrorKind::InvalidOutput, true, true)
    );
}

#[tokio::test]
async fn an_endless_stream_is_cut_at_its_size() {
    let script = vec![stream(&[HEL]), send(vec![b'x'; 2000]), Act::Hold];
    let error = fail(script, patient().with_max_body_bytes(1000)).await;
    assert_eq!(
        told(&error),
        (Phase::TooLarge, ErrorKind::InvalidOutput, true, false)
    );
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_call_and_the_model_is_not_charged() {
    let server = Server::start(vec![vec![stream(&[HEL]), Act::Hold]]).await;
    let (sender, mut pieces) = mpsc::channel(1);
    let cx = context().with_pieces(sender);
    let reader = tokio::spawn(async move {
        pieces.recv().await.expect("the first piece");
    });
    let error = ask(model(&server), &cx).await.expect_err("nobody reads");
    assert_eq!((error.kind, error.retryable), (ErrorKind::Cancelled, false));
    reader.await.expect("it read one piece");
}

#[tokio::test]
async fn waiting_for_a_slow_reader_does_not_count_against_the_model() {
    let whole = [HEL, LO, LO, LO, STOP, DONE];
    let server = Server::always(stream(&whole)).await;
    let (sender, mut pieces) = mpsc::channel(1);
    let cx = context().with_pieces(sender);
    let limit = Duration::from_millis(400);
    let builder = model(&server).limits(patient().with_total(limit).with_idle(limit));
    // Takes a piece every so often; all of them together take longer than the total limit.
    let reader = tokio::spawn(async move {
        let mut read = 0;
        while pieces.recv().await.is_some() {
            read += 1;
            tokio::time::sleep(limit).await;
        }
        read
    });
    let reply = ask(builder, &cx).await.expect("an answer");
    assert_eq!(reply.output["text"], "hellololo");
    drop(cx);
    assert_eq!(reader.await.expect("no panic"), 4);
}

/// What a meter reads after a script: `None` if nothing was reported, so that the estimate counts.
async fn spent(script: Vec<Act>) -> Spend {
    use fusebox_breaker::{Breaker, Config};
    use fusebox_policy::{Budget, Limits, Policy};
    let server = Server::start(vec![script]).await;
    let agent = model(&server)
        .max_tokens(1000)
        .build()
        .expect("a good agent");
    let budget = Budget::new("run", Limits::new().with_total_tokens(1_000_000));
    let config = Config::builder().build().expect("the default is valid");
    let policy = Policy::builder(Breaker::new("m-1", config))
        .budget(budget.clone())
        .build();
    let guard = fusebox_agent::Guard::new(std::sync::Arc::new(agent), policy);
    let _ = guard.call(Task::new("hello?"), context(), &()).await;
    assert_eq!(budget.reserved(), Spend::ZERO, "all is settled");
    budget.spent()
}

#[tokio::test]
async fn a_budget_pays_what_was_used_nothing_for_a_refusal_and_the_estimate_for_a_broken_stream() {
    let refused = crate::server::answer(429, "", "{}");
    assert_eq!(spent(vec![refused]).await, Spend::ZERO);
    let whole = stream(&[HEL, STOP, USAGE, DONE]);
    assert_eq!(spent(vec![whole]).await, Spend::new(30, 40));
    let broken = spent(vec![stream(&[HEL]), Act::Reset]).await;
    assert!(
        broken.tokens > 1000 && broken.micro_dollars > 2000,
        "{broken:?}"
    );
}

#[tokio::test]
async fn the_status_of_a_stream_is_kept_with_its_error() {
    let error = fail(vec![stream(&[HEL])], patient()).await;
    assert_eq!(wire(&error).status(), Some(200));
    assert!(
        error
            .to_string()
            .starts_with("model `m-1` at http://127.0.0.1:"),
        "{error}"
    );
}
