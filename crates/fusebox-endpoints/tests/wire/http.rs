//! HTTP services, phase by phase.

use std::time::Duration;

use fusebox_agent::{Agent, AgentError, ErrorKind, Reply, Task};
use fusebox_endpoints::{HttpAgent, HttpAgentBuilder, HttpMethod, Phase, Redirects};
use serde_json::json;
use tokio::net::TcpListener;

use crate::server::{Act, Server, answer, nobody, send};
use crate::{SOON, context, patient, told, wire};

fn agent(url: &str) -> HttpAgentBuilder {
    HttpAgent::builder("orders", url).limits(patient())
}

async fn ask(builder: HttpAgentBuilder) -> Result<Reply, AgentError> {
    let agent = builder.build().expect("a good agent");
    agent.call(Task::new(json!({"day": 7})), &context()).await
}

async fn fail(builder: HttpAgentBuilder) -> AgentError {
    ask(builder).await.expect_err("it cannot go well")
}

#[tokio::test]
async fn json_goes_out_with_its_key_and_json_comes_back() {
    let server = Server::always(answer(200, "", r#"{"rows": 3}"#)).await;
    let reply = ask(agent(&format!("{}/search?v=1", server.url()))).await;
    assert_eq!(reply.expect("a good answer").output, json!({"rows": 3}));
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /search?v=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nidempotency-key: run-7/step\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\naccept: application/json\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\n{\"day\":7}"), "{request}");
}

#[tokio::test]
async fn a_retry_brings_the_same_key() {
    let server = Server::always(answer(200, "", "1")).await;
    let agent = agent(&server.url()).idempotency_header("x-key").build();
    let agent = agent.expect("a good agent");
    for attempt in [1, 2] {
        let cx = context().with_attempt(attempt);
        agent.call(Task::new(1), &cx).await.expect("an answer");
    }
    for request in server.requests() {
        assert!(request.contains("\r\nx-key: run-7/step\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_get_has_no_body_and_an_empty_answer_is_null() {
    let server = Server::always(send("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let reply = ask(agent(&server.url()).method(HttpMethod::Get)).await;
    assert_eq!(reply.expect("an answer").output, json!(null));
    assert!(server.requests()[0].ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn a_refused_connection_did_not_run() {
    let error = fail(agent(&format!("http://{}/", nobody().await))).await;
    let expected = (
        Phase::Connect,
        ErrorKind::DependencyUnavailable,
        false,
        true,
    );
    assert_eq!(told(&error), expected);
}

#[tokio::test]
async fn a_name_that_does_not_exist_did_not_run() {
    let error = fail(agent("http://no-such-host.invalid/")).await;
    let expected = (
        Phase::Connect,
        ErrorKind::DependencyUnavailable,
        false,
        true,
    );
    assert_eq!(told(&error), expected);
}

#[tokio::test]
async fn a_handshake_that_hangs_did_not_run() {
    // Takes the connection, and is silent where TLS should begin.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let held = tokio::spawn(async move { listener.accept().await });
    let error = fail(agent(&url).limits(patient().with_connect(SOON))).await;
    assert_eq!(
        told(&error),
        (Phase::Connect, ErrorKind::TimedOut, false, true)
    );
    held.abort();
}

#[tokio::test]
async fn silence_before_the_headers_may_have_run() {
    for script in [
        vec![Act::Hold],
        vec![send("HTTP/1.1 200 OK\r\nx: "), Act::Drip(b'y')],
    ] {
        let server = Server::start(vec![script]).await;
        let limits = patient().with_first_byte(SOON);
        let error = fail(agent(&server.url()).limits(limits)).await;
        assert_eq!(
            told(&error),
            (Phase::FirstByte, ErrorKind::TimedOut, true, true)
        );
    }
}

#[tokio::test]
async fn hanging_up_before_the_headers_may_have_run() {
    for script in [
        vec![],
        vec![Act::Reset],
        vec![send("HTTP/1.1 20"), Act::Reset],
    ] {
        let server = Server::start(vec![script]).await;
        let error = fail(agent(&server.url())).await;
        let expected = (
            Phase::FirstByte,
            ErrorKind::DependencyUnavailable,
            true,
            true,
        );
        assert_eq!(told(&error), expected);
        assert_eq!(server.requests().len(), 1, "nobody tried again in secret");
    }
}

#[tokio::test]
async fn silence_within_the_body_is_an_idle_gap() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123";
    let server = Server::start(vec![vec![send(head), Act::Hold]]).await;
    let error = fail(agent(&server.url()).limits(patient().with_idle(SOON))).await;
    assert_eq!(told(&error), (Phase::Idle, ErrorKind::TimedOut, true, true));
}

#[tokio::test]
async fn a_body_that_trickles_runs_into_the_total_limit() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let server = Server::start(vec![vec![send(head), Act::Drip(b' ')]]).await;
    let error = fail(agent(&server.url()).limits(patient().with_total(SOON))).await;
    assert_eq!(
        told(&error),
        (Phase::Total, ErrorKind::TimedOut, true, true)
    );
}

#[tokio::test]
async fn a_body_that_ends_early_is_truncated_and_a_reset_is_broken() {
    let length = send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"a\"");
    let chunked = send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"");
    for (script, phase) in [
        (vec![length.clone()], Phase::Truncated),
        (vec![chunked.clone()], Phase::Truncated),
        (vec![length, Act::Reset], Phase::Broken),
    ] {
        let server = Server::start(vec![script]).await;
        let error = fail(agent(&server.url())).await;
        assert_eq!(told(&error), (phase, ErrorKind::Api, true, true));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let announced = send("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n");
    let endless = send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    for script in [
        vec![announced, Act::Hold],
        vec![endless, send(vec![b' '; 1001]), Act::Hold],
    ] {
        let server = Server::start(vec![script]).await;
        let limits = patient().with_max_body_bytes(1000);
        let error = fail(agent(&server.url()).limits(limits)).await;
        assert_eq!(
            told(&error),
            (Phase::TooLarge, ErrorKind::InvalidOutput, true, false)
        );
    }
    // The control: one byte less is fine.
    let body = format!("{}1", " ".repeat(999));
    let server = Server::always(answer(200, "", &body)).await;
    let limits = patient().with_max_body_bytes(1000);
    assert!(ask(agent(&server.url()).limits(limits)).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_no_json_ran() {
    let server = Server::always(answer(200, "", "<html>")).await;
    let error = fail(agent(&server.url())).await;
    assert_eq!(
        told(&error),
        (Phase::Unreadable, ErrorKind::InvalidOutput, true, true)
    );
    assert_eq!(wire(&error).status(), Some(200));
}

#[tokio::test]
async fn a_refusal_is_judged_by_status_headers_and_body() {
    let body = r#"{"error": {"code": "slow_down", "message": "not so fast"}}"#;
    let headers = "retry-after: 20\r\nx-request-id: req-9\r\n";
    let server = Server::always(answer(429, headers, body)).await;
    let error = fail(agent(&server.url())).await;
    assert_eq!(
        told(&error),
        (Phase::Refused, ErrorKind::Overloaded, false, true)
    );
    assert_eq!(error.retry_after, Some(Duration::from_secs(20)));
    let wire = wire(&error);
    assert_eq!((wire.status(), wire.code()), (Some(429), Some("slow_down")));
    assert_eq!(wire.to_string(), "not so fast (request req-9)");
}

#[tokio::test]
async fn a_refusal_whose_body_is_cut_off_or_endless_counts_by_its_status() {
    let cut = send("HTTP/1.1 503 X\r\nretry-after: 9\r\ncontent-length: 10\r\n\r\n{");
    let endless = send("HTTP/1.1 503 X\r\nretry-after: 9\r\n\r\n");
    for script in [vec![cut], vec![endless, Act::Drip(b' ')]] {
        let server = Server::start(vec![script]).await;
        let limits = patient().with_max_body_bytes(20);
        let error = fail(agent(&server.url()).limits(limits)).await;
        assert_eq!(
            told(&error),
            (Phase::Refused, ErrorKind::Overloaded, true, true)
        );
        assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
    }
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let inside = Server::always(answer(200, "", r#""the crown jewels""#)).await;
    let to = format!("location: {}/\r\n", inside.url());
    for status in [301, 302, 303, 307, 308] {
        let outside = Server::always(answer(status, &to, "")).await;
        for redirects in [Redirects::Refuse, Redirects::SameOrigin] {
            let error = fail(agent(&outside.url()).redirects(redirects)).await;
            assert_eq!(told(&error), (Phase::Refused, ErrorKind::Api, false, false));
        }
    }
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn within_one_origin_a_redirect_is_followed_where_allowed() {
    let moved = answer(307, "connection: close\r\nlocation: /v2\r\n", "");
    let script = vec![vec![moved], vec![answer(200, "", "2")]];
    let server = Server::start(script).await;
    let reply = ask(agent(&server.url()).redirects(Redirects::SameOrigin)).await;
    assert_eq!(reply.expect("the other path").output, json!(2));
    let second = &server.requests()[1];
    assert!(
        second.starts_with("POST /v2 ") && second.ends_with("{\"day\":7}"),
        "{second}"
    );
    // A loop ends, and so does a redirect that would turn the request into another.
    for (status, requests) in [(307, 6), (302, 1)] {
        let again = answer(status, "connection: close\r\nlocation: /again\r\n", "");
        let server = Server::always(again).await;
        let error = fail(agent(&server.url()).redirects(Redirects::SameOrigin)).await;
        assert_eq!(told(&error), (Phase::Refused, ErrorKind::Api, false, false));
        assert_eq!(server.requests().len(), requests, "{status}");
    }
}

#[tokio::test]
async fn cancelling_ends_the_call_and_says_that_it_may_have_run() {
    let server = Server::always(Act::Hold).await;
    let agent = agent(&server.url()).build().expect("a good agent");
    let cx = context();
    let call = agent.call(Task::new(1), &cx);
    let cancel = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        cx.cancellation().cancel();
    };
    let (result, ()) = tokio::join!(call, cancel);
    let error = result.expect_err("cancelled");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::Cancelled, true)
    );
}

#[test]
fn what_cannot_be_sent_is_refused_when_the_agent_is_made() {
    use fusebox_endpoints::Secret;
    let good = || HttpAgent::builder("orders", "https://host/");
    let secret = Secret::new("line\nbreak");
    for (builder, says) in [
        (HttpAgent::builder("orders", "host/path"), "cannot be read"),
        (
            HttpAgent::builder("orders", "file:///etc/passwd"),
            "scheme `file` is not allowed",
        ),
        (
            HttpAgent::builder("orders", "https://u:hunter2@host/"),
            "a user or a password",
        ),
        (
            good().header("x y", Secret::new("z")),
            "`x y` cannot be the name of a header",
        ),
        (good().header("x", secret), "the value of header `x`"),
        (
            good().idempotency_header(""),
            "`` cannot be the name of a header",
        ),
        (
            good().certificates("-----BEGIN CERTIFICATE-----\n!"),
            "no PEM",
        ),
    ] {
        let error = builder.build().expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains("break\n"),
            "{error}"
        );
    }
}
