//! Calls of tools.

use fusebox_endpoints::{McpServer, McpStdio};
use serde_json::{Value, json};

use crate::collector::Received;
use crate::{ask, only, watched};

/// A server in a shell, that answers a call of `trace` with the trace it came with, one of `fail` with an error result,
/// and any other with an error of the protocol.
const SERVER: &str = r#"
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}}\n' "$id" ;;
    *'"name":"trace"'*)
      parent=$(printf '%s' "$line" | sed -n 's/.*"traceparent":"\([^"]*\)".*/\1/p')
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":{"parent":"%s"}}}\n' "$id" "$parent" ;;
    *'"name":"fail"'*)
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"no such order"}],"isError":true}}\n' "$id" ;;
    *'"tools/call"'*)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"the database is gone"}}\n' "$id" ;;
  esac
done
"#;

fn called(tool: &'static str) -> (Result<Value, String>, Received) {
    watched(async move {
        let server = McpServer::new("shell", McpStdio::new("sh", ["-c", SERVER]));
        let agent = server.tool(tool).with_name("lookup");
        let reply = ask(&agent, json!({"text": "x"})).await;
        reply
            .map(|reply| reply.output)
            .map_err(|error| error.to_string())
    })
}

#[test]
fn a_call_of_a_tool_names_tool_and_protocol_and_the_server_is_told_the_trace() {
    let (answer, received) = called("trace");
    let span = only(&received);
    assert_eq!(answer, Ok(json!({"parent": span.traceparent()})));
    // By its own name, whatever the agent is called.
    assert_eq!(span.name, "execute_tool trace");
    assert!(span.is_client && !span.is_error, "{span:?}");
    for (key, value) in [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "trace"),
        ("gen_ai.tool.type", "extension"),
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", "2025-06-18"),
        ("network.transport", "pipe"),
        ("fusebox.mcp.server", "shell"),
    ] {
        assert_eq!(span.text(key), Some(value), "{key}");
    }
    assert_eq!(span.text("server.address"), None);
}

#[test]
fn an_error_result_is_an_error_of_the_tool_and_an_answer_all_the_same() {
    let (answer, received) = called("fail");
    assert_eq!(answer.unwrap()["is_error"], json!(true));
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("tool_error"));
    assert!(!format!("{received:?}").contains("no such order"));
}

#[test]
fn an_error_of_the_protocol_is_told_with_its_code() {
    let (answer, received) = called("other");
    answer.unwrap_err();
    let span = only(&received);
    assert!(span.is_error);
    assert_eq!(span.text("error.type"), Some("api"));
    assert_eq!(span.text("rpc.response.status_code"), Some("-32603"));
}
