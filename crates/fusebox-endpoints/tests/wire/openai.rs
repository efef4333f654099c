//! What is asked of a model, and what its answers mean.

use fusebox_agent::{Agent, AgentError, ErrorKind, Reply, Task};
use fusebox_endpoints::{OpenAiAgent, OpenAiAgentBuilder, Phase, Secret, Tool};
use serde_json::{Value, json};

use crate::server::{Server, answer, stream};
use crate::{context, patient, told};

fn model(server: &Server) -> OpenAiAgentBuilder {
    OpenAiAgent::builder("triage", "m-1")
        .base_url(server.url())
        .limits(patient())
}

async fn ask(builder: OpenAiAgentBuilder, input: Value) -> Result<Reply, AgentError> {
    let agent = builder.build().expect("a good agent");
    agent.call(Task::new(input), &context()).await
}

fn completion(message: &Value, finish: &str) -> String {
    json!({"choices": [{"message": message, "finish_reason": finish}]}).to_string()
}

async fn said(message: &Value, finish: &str, schema: bool) -> Result<Reply, AgentError> {
    let server = Server::always(answer(200, "", &completion(message, finish))).await;
    let mut builder = model(&server);
    if schema {
        builder = builder.output_schema(json!({"type": "object"}));
    }
    ask(builder, json!("hello")).await
}

/// The body of the only request.
fn body(server: &Server) -> Value {
    let request = server.requests().remove(0);
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn everything_that_was_set_is_sent() {
    let server = Server::always(answer(
        200,
        "",
        &completion(&json!({"content": "{}"}), "stop"),
    ))
    .await;
    let schema = json!({"type": "object"});
    let builder = model(&server)
        .key(Secret::new("sk-1234"))
        .system("Be brief.")
        .prompt("Sum {/rows}.")
        .tool(Tool::new("add", "Adds.", json!({"type": "object"})))
        .output_schema(schema.clone())
        .max_completion_tokens(50)
        .parameter("temperature", 0)
        .streaming(false);
    ask(builder, json!({"rows": [1, 2]}))
        .await
        .expect("an answer");
    let function = json!({"name": "add", "description": "Adds.", "parameters": {"type": "object"}});
    let expected = json!({
        "model": "m-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Sum [1,2]."},
        ],
        "tools": [{"type": "function", "function": function}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "triage", "schema": schema}},
        "max_completion_tokens": 50,
        "temperature": 0,
    });
    assert_eq!(body(&server), expected);
    let request = server.requests().remove(0);
    assert!(
        request.contains("\r\nauthorization: Bearer sk-1234\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn an_input_is_the_message_or_the_conversation() {
    let user = |content: &str| json!([{"role": "user", "content": content}]);
    for (input, messages) in [
        (json!("hi"), user("hi")),
        (json!({"a": 1}), user(r#"{"a":1}"#)),
        (json!({"messages": user("hi")}), user("hi")),
    ] {
        let server = Server::always(answer(
            200,
            "",
            &completion(&json!({"content": ""}), "stop"),
        ))
        .await;
        ask(model(&server), input).await.expect("an answer");
        assert_eq!(body(&server)["messages"], messages);
    }
}

#[tokio::test]
async fn a_prompt_that_names_what_is_not_there_is_never_sent() {
    let server = Server::always(answer(200, "", "{}")).await;
    let error = ask(model(&server).prompt("Sum {/rows}"), json!({}))
        .await
        .expect_err("no rows");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::InvalidInput, false)
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn with_a_schema_the_output_is_the_json_even_in_a_fence() {
    for content in [
        r#"{"a": 1}"#,
        "```json\n{\"a\": 1}\n```",
        "```\n{\"a\": 1}```",
    ] {
        let reply = said(&json!({"content": content}), "stop", true).await;
        assert_eq!(reply.expect("an answer").output, json!({"a": 1}));
    }
}

#[tokio::test]
async fn answers_that_are_no_good_are_told_apart() {
    let bad_call =
        json!({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{x"}}]});
    for (message, finish, kind, retryable) in [
        (
            json!({"content": "sure!"}),
            "stop",
            ErrorKind::InvalidOutput,
            true,
        ),
        (
            json!({"content": "{\"a\""}),
            "length",
            ErrorKind::InvalidOutput,
            false,
        ),
        (bad_call, "tool_calls", ErrorKind::InvalidOutput, true),
        (
            json!({"content": ""}),
            "content_filter",
            ErrorKind::ContentFiltered,
            false,
        ),
        (
            json!({"content": null, "refusal": "I can't."}),
            "stop",
            ErrorKind::ContentFiltered,
            false,
        ),
    ] {
        let error = said(&message, finish, true).await.expect_err(finish);
        assert_eq!(
            told(&error),
            (Phase::Unreadable, kind, true, retryable),
            "{message}"
        );
    }
    let server = Server::always(answer(200, "", r#"{"choices": []}"#)).await;
    let error = ask(model(&server), json!("hi"))
        .await
        .expect_err("no choice");
    assert_eq!(
        told(&error),
        (Phase::Unreadable, ErrorKind::InvalidOutput, true, true)
    );
}

#[tokio::test]
async fn tool_calls_come_whole_and_in_pieces() {
    let expected = json!([
        {"id": "c1", "name": "weather", "arguments": {"city": "Oslo"}},
        {"id": "c2", "name": "time", "arguments": {}},
    ]);
    let message = json!({"content": null, "tool_calls": [
        {"id": "c1", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}},
        {"id": "c2", "function": {"name": "time", "arguments": ""}},
    ]});
    let reply = said(&message, "tool_calls", false)
        .await
        .expect("an answer");
    assert_eq!(reply.output["tool_calls"], expected);

    let pieces = [
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":" \"Oslo\"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"time"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":99999999,"id":"x"}]},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ];
    let server = Server::always(stream(&pieces)).await;
    let reply = ask(model(&server), json!("hi")).await.expect("an answer");
    assert_eq!(reply.output["tool_calls"], expected);
    assert_eq!(reply.output["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_good_status_with_an_error_in_its_body_is_a_refusal() {
    let gone = r#"{"error": {"code": 502, "message": "Provider returned error"}}"#;
    let server = Server::always(answer(200, "", gone)).await;
    let error = ask(model(&server), json!("hi"))
        .await
        .expect_err("an error");
    let expected = (Phase::Refused, ErrorKind::DependencyUnavailable, true, true);
    assert_eq!(told(&error), expected);
}

#[tokio::test]
async fn each_refusal_of_a_provider_has_its_kind() {
    let context_length = r#"{"error": {"code": "context_length_exceeded", "message": "too long"}}"#;
    for (status, headers, body, kind, ran) in [
        (
            429,
            "retry-after: 2\r\n",
            "{}",
            ErrorKind::RateLimited,
            false,
        ),
        (
            529,
            "",
            r#"{"error": {"type": "overloaded_error"}}"#,
            ErrorKind::Overloaded,
            false,
        ),
        (503, "", "", ErrorKind::Overloaded, true),
        (500, "", "", ErrorKind::Api, true),
        (401, "", "", ErrorKind::Unauthorized, false),
        (400, "", context_length, ErrorKind::ContextTooLong, false),
        (
            400,
            "",
            r#"{"error": {"code": "content_filter"}}"#,
            ErrorKind::ContentFiltered,
            false,
        ),
        (400, "", "{}", ErrorKind::InvalidInput, false),
    ] {
        let server = Server::always(answer(status, headers, body)).await;
        let error = ask(model(&server), json!("hi")).await.expect_err("refused");
        assert_eq!((error.kind, error.may_have_run), (kind, ran), "{status}");
    }
}

#[tokio::test]
async fn a_probe_asks_for_one_token_and_knows_its_cost() {
    let server = Server::always(answer(
        200,
        "",
        &completion(&json!({"content": "p"}), "length"),
    ))
    .await;
    let agent = model(&server)
        .system("long")
        .max_tokens(500)
        .build()
        .expect("a good agent");
    let probe = agent.probe().expect("models can be probed");
    assert!(probe.cost().tokens < 60, "{:?}", probe.cost());
    probe.probe(&context()).await.expect("it answers");
    let expected =
        json!({"model": "m-1", "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]});
    assert_eq!(body(&server), expected);
    // The control: a model that refuses fails its probe.
    let server = Server::always(answer(503, "", "")).await;
    let agent = model(&server).build().expect("a good agent");
    assert!(
        agent
            .probe()
            .expect("as before")
            .probe(&context())
            .await
            .is_err()
    );
}
