//! Servers that are services, good ones and bad ones.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_agent::{Agent, Context, ErrorKind, Task};
use fusebox_endpoints::{McpHttp, McpServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::ear::Ear;
use crate::{call, eager_limits, program};

/// A service of its own process, killed with the test.
pub(crate) struct Service {
    child: Child,
    pub(crate) url: String,
}

impl Service {
    pub(crate) fn start(mode: &str, ear: Option<&Ear>) -> Self {
        let mut command = Command::new(program());
        command.arg("--serve-http").env("MCP_MODE", mode);
        if let Some(ear) = ear {
            command.env("MCP_WITNESS", ear.path());
        }
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the service starts");
        let stdout = child.stdout.take().expect("a pipe was asked for");
        let mut url = String::new();
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("it says where it listens");
        let url = url.trim().to_owned();
        Self { child, url }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn server(&self) -> McpServer {
        server(&self.url)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn server(url: &str) -> McpServer {
    let http = McpHttp::try_new(url).expect("the url is good");
    McpServer::with_limits("test", http, eager_limits())
}

/// Gives every request the same answer, and counts them.
async fn canned(answer: &str) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let requests = Arc::new(AtomicU32::new(0));
    let (count, answer) = (Arc::clone(&requests), answer.replace('\n', "\r\n"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut read = [0; 16 * 1024];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("http://{address}/mcp"), requests)
}

#[tokio::test]
async fn a_call_is_answered_in_a_stream_or_at_once() {
    for mode in ["", "json"] {
        let service = Service::start(mode, None);
        let server = service.server();
        let sum = call(&server, "add", json!({"a": 2, "b": 40})).await;
        assert_eq!(sum.expect("it adds"), json!({"sum": 42.0}));
        let answer = call(&server, "fail", json!({}))
            .await
            .expect("it is an answer");
        assert_eq!(
            answer,
            json!({"is_error": true, "content": "no such order"})
        );
        let error = call(&server, "none", json!({}))
            .await
            .expect_err("no such tool");
        assert_eq!(
            (error.kind, error.may_have_run),
            (ErrorKind::InvalidInput, false)
        );
        let error = call(&server, "break", json!({}))
            .await
            .expect_err("it breaks");
        assert_eq!(error.kind, ErrorKind::Api);
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_huge_answer_is_refused() {
    for mode in ["", "json"] {
        let service = Service::start(mode, None);
        let http = McpHttp::try_new(&service.url).expect("the url is good");
        let limits = eager_limits().with_message_bytes(50_000);
        let server = McpServer::with_limits("test", http, limits);
        call(&server, "huge", json!({"bytes": 40_000}))
            .await
            .expect("it fits");
        let error = call(&server, "huge", json!({"bytes": 60_000}))
            .await
            .expect_err("too much");
        let kinds = [ErrorKind::InvalidOutput, ErrorKind::DependencyUnavailable];
        assert!(kinds.contains(&error.kind), "{mode}: {error}");
        call(&server, "echo", json!({}))
            .await
            .expect("the server is well");
    }
}

#[tokio::test]
async fn a_cancelled_call_sends_the_notice() {
    let mut ear = Ear::new();
    let service = Service::start("", Some(&ear));
    let (server, cx) = (service.server(), Context::new("run", "step"));
    let hang = server.tool("hang");
    let (error, ()) = tokio::join!(hang.call(Task::default(), &cx), async {
        ear.hears("hanging").await;
        cx.cancellation().cancel();
    });
    assert_eq!(
        error.expect_err("it was cancelled").kind,
        ErrorKind::Cancelled
    );
    ear.hears("cancelled").await;
}

#[tokio::test]
async fn a_service_killed_in_mid_call_may_have_run_and_afterwards_has_not() {
    let mut ear = Ear::new();
    let mut service = Service::start("", Some(&ear));
    let server = service.server();
    let (error, ()) = tokio::join!(call(&server, "hang", json!({})), async {
        ear.hears("hanging").await;
        service.kill();
    });
    let error = error.expect_err("nobody is left to answer");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::DependencyUnavailable, true)
    );
    let error = call(&server, "echo", json!({}))
        .await
        .expect_err("it is gone");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::DependencyUnavailable, false)
    );
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let seven = Some(Duration::from_secs(7));
    for (answer, kind, hint, retryable) in [
        (
            "429 Slow\nretry-after: 7",
            ErrorKind::RateLimited,
            seven,
            true,
        ),
        ("429 Slow", ErrorKind::RateLimited, None, true),
        (
            "503 Busy\nretry-after: 7",
            ErrorKind::Overloaded,
            seven,
            true,
        ),
        ("529 Busy", ErrorKind::Overloaded, None, true),
        ("500 Broken", ErrorKind::DependencyUnavailable, None, true),
        ("502 Broken", ErrorKind::DependencyUnavailable, None, true),
        (
            "401 Who\nwww-authenticate: Bearer",
            ErrorKind::Unauthorized,
            None,
            false,
        ),
        ("401 Who", ErrorKind::Unauthorized, None, false),
        (
            "403 No\nwww-authenticate: Bearer",
            ErrorKind::Unauthorized,
            None,
            false,
        ),
        ("403 No", ErrorKind::Unauthorized, None, false),
        ("404 Where", ErrorKind::DependencyUnavailable, None, true),
        (
            "200 OK\ncontent-type: text/html",
            ErrorKind::DependencyUnavailable,
            None,
            true,
        ),
        (
            "200 OK\ncontent-type: application/json",
            ErrorKind::DependencyUnavailable,
            None,
            true,
        ),
    ] {
        let (url, _) = canned(&format!("HTTP/1.1 {answer}\ncontent-length: 5\n\nhello")).await;
        let error = call(&server(&url), "echo", json!({}))
            .await
            .expect_err(answer);
        assert_eq!(error.kind, kind, "{answer}: {error}");
        assert_eq!(
            (error.retry_after, error.retryable),
            (hint, retryable),
            "{answer}"
        );
        assert!(
            !error.may_have_run,
            "{answer}: not even the handshake was done"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, requests) = canned("HTTP/1.1 200 OK\ncontent-length: 0\n\n").await;
    for status in [301, 302, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Over\nlocation: {elsewhere}\ncontent-length: 0\n\n");
        let (url, _) = canned(&answer).await;
        let error = call(&server(&url), "echo", json!({}))
            .await
            .expect_err("it is elsewhere");
        assert_eq!(error.kind, ErrorKind::DependencyUnavailable);
        assert!(!error.message.contains(&elsewhere), "{error}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn nothing_is_tried_twice() {
    let (url, requests) = canned("HTTP/1.1 503 Busy\ncontent-length: 0\n\n").await;
    let server = server(&url);
    for calls in 1..=3 {
        call(&server, "echo", Value::Null)
            .await
            .expect_err("it is busy");
        assert_eq!(requests.load(Ordering::Relaxed), calls);
    }
}

#[test]
fn a_url_that_cannot_be_is_refused_without_being_shown() {
    for url in [
        "",
        "orders",
        "ftp://host/",
        "http://",
        "file:///etc/passwd",
        "http://me:pa55@host/",
    ] {
        let error = McpHttp::try_new(url).expect_err(url).to_string();
        assert!(!error.contains("pa55"), "{error}");
    }
}
