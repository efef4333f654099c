//! What no span may tell.

use fusebox_endpoints::{HttpAgent, McpServer, McpStdio, OpenAiAgent, Secret};
use serde_json::json;

use crate::server::{Server, answer, stream};
use crate::{ask, watched};

const SECRET: &str = "s3cr3t-t0ken";
const ASKED: &str = "what-was-asked";
const ANSWERED: &str = "what-was-answered";

/// A server that gives everything back: as an answer, as an error result, as an error.
const ECHO: &str = r#"
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}}\n' "$id" ;;
    *'"tools/call"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"what-was-answered to what-was-asked"}],"isError":true}}\n' "$id" ;;
  esac
done
"#;

#[test]
fn what_is_asked_answered_or_sent_in_secret_is_in_no_span_nor_any_span_of_others() {
    let tattle = format!("{SECRET} {ASKED} {ANSWERED}");
    let words = json!({"error": {"message": tattle}}).to_string();
    let said = json!({"choices": [{"delta": {"content": tattle}, "finish_reason": "stop"}]});
    let acts = vec![
        vec![answer(400, "", &words)],
        vec![answer(429, "", &words)],
        vec![answer(200, "", &tattle)],
        vec![stream(&[&words])],
        vec![stream(&[&said.to_string(), "[DONE]"])],
    ];
    let (requests, received) = watched(async move {
        let mut requests = String::new();
        for acts in acts {
            let server = Server::start(vec![acts]).await;
            let url = format!("{}/v1?key={SECRET}", server.url());
            let model = OpenAiAgent::builder("model", "m-1")
                .base_url(&url)
                .key(Secret::new(SECRET))
                .system(ASKED)
                .build();
            let _ = ask(&model.unwrap(), ASKED).await;
            let service = HttpAgent::builder("service", &url)
                .bearer(Secret::new(SECRET))
                .build();
            let _ = ask(&service.unwrap(), ASKED).await;
            requests += &server.requests().join("");
        }
        let echo = McpStdio::new("sh", ["-c", ECHO]).with_env("TOKEN", SECRET);
        let tool = McpServer::new("shell", echo).tool("echo");
        ask(&tool, json!({"text": ASKED})).await.unwrap();
        requests
    });
    // The control: it was asked and sent.
    assert!(requests.contains(ASKED) && requests.contains(SECRET));
    assert_eq!(received.spans.len(), 11);
    let known = ["chat m-1", "POST", "execute_tool echo"];
    for span in &received.spans {
        assert!(known.contains(&&*span.name), "{} is not ours", span.name);
        assert_eq!(span.events, 0, "{span:?}");
    }
    let wire = String::from_utf8_lossy(&received.bodies);
    for word in [SECRET, ASKED, ANSWERED] {
        assert!(
            !wire.contains(word),
            "{word} was told: {:?}",
            received.spans
        );
    }
}
