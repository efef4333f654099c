//! What is secret shows nowhere.

use fusebox_endpoints::{McpHttp, McpServer, McpStdio, Secret};
use serde_json::json;

use crate::http::Service;
use crate::{call, eager_limits, logs, serve};

const SECRET: &str = "s3cr3t-d0nt-show";

async fn shown(server: &McpServer) -> String {
    let error = call(server, "echo", json!({"text": "x"}))
        .await
        .expect_err("it fails");
    let tool = server.tool("echo");
    format!("{error} {error:?} {server:?} {tool:?} {tool}")
}

#[tokio::test]
async fn the_environment_of_a_program_shows_nowhere() {
    let stdio = McpStdio::new("/no/such/program", [""; 0]).with_env("MCP_SECRET", SECRET);
    let text = shown(&McpServer::new("test", stdio)).await;
    assert!(
        !text.contains(SECRET) && text.contains("MCP_SECRET") && text.contains("[redacted]"),
        "{text}"
    );
    let dying = serve()
        .with_env("MCP_MODE", "die")
        .with_env("MCP_SECRET", SECRET);
    let text = shown(&McpServer::new("test", dying)).await;
    assert!(
        !text.contains(SECRET) && text.contains("no license for token [redacted]"),
        "{text}"
    );
}

#[tokio::test]
async fn token_headers_and_query_show_nowhere() {
    for answer in [
        None,
        Some("401 Who"),
        Some("500 Broken"),
        Some("400 Bad"),
        Some("200 OK"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        match answer {
            None => drop(listener),
            Some(status) => {
                let body = format!("{SECRET} is no good");
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                tokio::spawn(async move {
                    while let Ok((mut stream, _)) = listener.accept().await {
                        use tokio::io::{AsyncReadExt, AsyncWriteExt};
                        let _ = stream.read(&mut [0; 16 * 1024]).await;
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                });
            }
        }
        let http = McpHttp::try_new(&format!("http://{address}/mcp?key={SECRET}"));
        let http = http
            .expect("the url is good")
            .with_token(Secret::new(SECRET));
        let http = http
            .try_with_header("x-api-key", Secret::new(SECRET))
            .expect("the header is good");
        let text = shown(&McpServer::with_limits("test", http, eager_limits())).await;
        assert!(!text.contains(SECRET), "{answer:?}: {text}");
    }
}

/// The client of the protocol and that of HTTP log what they send and read; a token, a header and the query are in none
/// of it, and neither is an environment.
#[tokio::test]
async fn at_the_finest_level_of_anybody_no_secret_is_logged() {
    logs::listen();
    for mode in ["", "json"] {
        let service = Service::start(mode, None);
        let http = McpHttp::try_new(&format!("{}?key={SECRET}", service.url))
            .expect("the url is good")
            .with_token(Secret::new(SECRET))
            .try_with_header("x-api-key", Secret::new(SECRET))
            .expect("the header is good");
        let server = McpServer::with_limits("test", http, eager_limits());
        for tool in ["echo", "fail", "break"] {
            let _ = call(&server, tool, json!({"text": "said"})).await;
        }
        drop(service);
        call(&server, "echo", json!({"text": "x"}))
            .await
            .expect_err("nobody is there");
    }
    let stdio = serve().with_env("MCP_SECRET", SECRET);
    let server = McpServer::with_limits("test", stdio, eager_limits());
    call(&server, "echo", json!({"text": "said"}))
        .await
        .expect("it is there");
    let logs = logs::so_far();
    for target in ["rmcp", "reqwest", "hyper_util"] {
        assert!(logs.contains(target), "the control: {target} logs");
    }
    assert!(
        logs.contains("tools/call") || logs.contains("CallTool"),
        "the control: requests are logged"
    );
    let line = logs.lines().find(|line| line.contains(SECRET));
    assert_eq!(line, None);
}
