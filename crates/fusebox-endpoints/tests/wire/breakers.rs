//! What a breaker around a model makes of its answers, on real sockets.

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Agent, ErrorKind, Failover, Guard, Task};
use fusebox_breaker::{Availability, Breaker, Config, State};
use fusebox_endpoints::OpenAiAgent;
use fusebox_policy::{Policy, Retry};

use crate::server::{Act, Server, answer, send, stream};
use crate::{SOON, context, patient};

const PIECE: &str = r#"{"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;

/// Opens after three failures in a row, for a second at first; tries a call three times.
fn guard(server: &Server, limits: fusebox_endpoints::WireLimits) -> Guard {
    let agent = OpenAiAgent::builder("model", "m-1")
        .base_url(server.url())
        .limits(limits)
        .build()
        .expect("a good agent");
    let config = Config::builder()
        .consecutive_failures(3)
        .without_count_window()
        .wait_duration_in_open(Duration::from_secs(1));
    let breaker = Breaker::new("model", config.build().expect("a good configuration"));
    let retry = Retry::new(3).with_base(Duration::from_millis(1));
    let policy = Policy::builder(breaker).retry(retry).build();
    Guard::new(Arc::new(agent), policy)
}

async fn ask(guard: &Guard) -> Result<String, ErrorKind> {
    let answer = guard.call(Task::new("hi"), context(), &()).await;
    answer
        .map(|answer| answer.reply.output["text"].to_string())
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn a_hint_opens_the_breaker_at_once_until_the_hint_and_its_jitter() {
    for status in [429, 503, 529] {
        let server = Server::always(answer(status, "retry-after: 100\r\n", "{}")).await;
        let guard = guard(&server, patient());
        assert!(ask(&guard).await.is_err());
        let Availability::NotBefore(due) = guard.breaker().availability() else {
            panic!("{status}: {:?}", guard.breaker().state());
        };
        let seconds = due.as_secs_f64();
        // The wait of a second is what the jitter is drawn from.
        assert!((90.0..=102.0).contains(&seconds), "{status}: {seconds}");
        for _ in 0..20 {
            assert_eq!(ask(&guard).await, Err(ErrorKind::BreakerOpen));
        }
        assert_eq!(server.requests().len(), 1, "{status}: left alone");
    }
}

#[tokio::test]
async fn without_a_hint_it_takes_a_row_of_failures() {
    let server = Server::always(answer(429, "", "{}")).await;
    let guard = guard(&server, patient());
    assert_eq!(ask(&guard).await, Err(ErrorKind::RateLimited));
    assert_eq!(
        guard.breaker().state(),
        State::Open,
        "after the third attempt"
    );
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_is_not_the_models_fault_moves_nothing_however_often() {
    for body in [
        r#"{"error": {"code": "context_length_exceeded"}}"#,
        r#"{"error": {"code": "content_filter"}}"#,
        r#"{"error": {"message": "bad"}}"#,
    ] {
        let server = Server::always(answer(400, "", body)).await;
        let guard = guard(&server, patient());
        for _ in 0..10 {
            assert!(ask(&guard).await.is_err());
        }
        assert_eq!(guard.breaker().state(), State::Closed, "{body}");
        assert_eq!(server.requests().len(), 10, "none was tried again: {body}");
    }
}

#[tokio::test]
async fn a_refused_key_is_never_tried_again_and_opens_the_breaker_in_time() {
    let server = Server::always(answer(401, "", "{}")).await;
    let guard = guard(&server, patient());
    for _ in 0..3 {
        assert_eq!(ask(&guard).await, Err(ErrorKind::Unauthorized));
    }
    assert_eq!(guard.breaker().state(), State::Open);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_stream_is_charged_by_its_end_whatever_its_headers_said() {
    let stalls = vec![stream(&[]), Act::Hold];
    let resets = vec![
        stream(&[r#"{"choices":[{"delta":{"content":"h"}}]}"#]),
        Act::Reset,
    ];
    let ends = vec![stream(&[])];
    let errs = vec![stream(&[r#"{"error":{"message":"boom"}}"#])];
    let loris = vec![
        send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"),
        Act::Drip(b':'),
    ];
    for script in [stalls, resets, ends, errs, loris] {
        let server = Server::start(vec![script.clone()]).await;
        let limits = patient().with_first_token(SOON).with_idle(SOON);
        let guard = guard(&server, limits);
        assert!(ask(&guard).await.is_err());
        assert_eq!(guard.breaker().state(), State::Open, "{script:?}");
        let counts = guard.breaker().counts();
        assert_eq!(counts.failed + counts.timed_out, 3, "{script:?}");
    }
    // The control: a stream that ends well.
    let server = Server::always(stream(&[PIECE])).await;
    let guard = guard(&server, patient());
    assert!(ask(&guard).await.is_ok());
    assert_eq!(guard.breaker().counts().succeeded, 1);
}

#[tokio::test]
async fn while_the_first_model_is_away_the_second_answers_and_the_first_is_left_alone() {
    let far = Server::always(answer(529, "retry-after: 100\r\n", "{}")).await;
    let near = Server::always(stream(&[PIECE])).await;
    let model = Failover::new("model", [guard(&far, patient()), guard(&near, patient())]);
    for _ in 0..10 {
        let reply = model.call(Task::new("hi"), &context()).await;
        assert_eq!(reply.expect("the second answers").output["text"], "hi");
    }
    assert_eq!((far.requests().len(), near.requests().len()), (1, 10));
}
