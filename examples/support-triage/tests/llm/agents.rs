//! A model that is well: answers, streams, tool calls, schemas, accounts.

use fusebox::agent::{Agent, ErrorKind, Piece};
use fusebox::endpoints::{Price, Tool};
use fusebox::policy::{Budget, Limits};
use fusebox::{Context, Task};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{LONG, agent, guard, line};

#[tokio::test]
async fn an_answer_is_settled_to_what_the_model_says_it_used() {
    let proxy = line().await;
    let agent = agent(&proxy)
        .streaming(false)
        .price(Price::per_million(1_000_000, 2_000_000));
    let guard = guard(agent, LONG);
    let budget = Budget::new("run", Limits::new().with_total_tokens(100_000));
    let cx = Context::new("run", "chat").with_budget(budget.clone());
    let answer = guard
        .call(Task::new("Hi"), cx, &())
        .await
        .expect("it answers");
    let output = answer.reply.output;
    assert!(!output["text"].as_str().expect("text").is_empty());
    let (prompt, completion) = (
        &output["usage"]["prompt_tokens"],
        &output["usage"]["completion_tokens"],
    );
    let (prompt, completion) = (
        prompt.as_u64().expect("a number"),
        completion.as_u64().expect("a number"),
    );
    assert!(prompt > 0 && (1..=24).contains(&completion), "{output}");
    assert_eq!(budget.spent().tokens, prompt + completion);
    assert_eq!(budget.spent().micro_dollars, prompt + 2 * completion);
    assert_eq!(budget.reserved().tokens, 0);
    assert_eq!(guard.breaker().counts().succeeded, 1);
}

#[tokio::test]
async fn a_stream_comes_in_pieces_that_are_the_answer() {
    let proxy = line().await;
    let guard = guard(agent(&proxy), LONG);
    let budget = Budget::new("run", Limits::new().with_total_tokens(100_000));
    let (sender, mut receiver) = mpsc::channel(4);
    let cx = Context::new("run", "chat")
        .with_pieces(sender)
        .with_budget(budget.clone());
    let task = Task::new("Tell me about the sea.");
    let estimate = guard.agent().estimate(&task);
    let read = async {
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(piece) = receiver.recv().await {
            pieces.push(piece);
        }
        pieces
    };
    let (answer, pieces) = tokio::join!(guard.call(task, cx, &()), read);
    let output = answer.expect("it answers").reply.output;
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.take == pieces[0].take));
    assert_eq!(output["text"], json!(text));
    // This server does not tell what a stream used: what was reserved is charged.
    assert!(output["usage"].is_null(), "{output}");
    assert_eq!(budget.spent().tokens, estimate.tokens);
}

#[tokio::test]
async fn a_reader_that_goes_away_says_nothing_about_the_model() {
    let proxy = line().await;
    let guard = guard(agent(&proxy).max_tokens(512), LONG);
    let (sender, mut receiver) = mpsc::channel(1);
    let cx = Context::new("run", "chat").with_pieces(sender);
    let leave = async move {
        receiver.recv().await.expect("a piece");
    };
    let (answer, ()) = tokio::join!(
        guard.call(Task::new("Count to a thousand."), cx, &()),
        leave
    );
    assert_eq!(
        answer.expect_err("nobody reads").kind(),
        ErrorKind::Cancelled
    );
    let counts = guard.breaker().counts();
    assert_eq!((counts.ignored + counts.cancelled, counts.failed), (1, 0));
}

#[tokio::test]
async fn a_tool_call_has_a_name_and_arguments() {
    let proxy = line().await;
    let city =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let forced = json!({"type": "function", "function": {"name": "weather"}});
    let agent = agent(&proxy)
        .tool(Tool::new("weather", "Tells the weather of a city.", city))
        .parameter("tool_choice", forced)
        .streaming(false);
    let answer = guard(agent, LONG)
        .call(
            Task::new("Weather in Oslo?"),
            Context::new("run", "tool"),
            &(),
        )
        .await;
    let output = answer.expect("it answers").reply.output;
    assert_eq!(output["tool_calls"][0]["name"], "weather", "{output}");
    assert!(
        output["tool_calls"][0]["arguments"]["city"].is_string(),
        "{output}"
    );
}

#[tokio::test]
async fn an_answer_fits_its_schema_streamed_or_not() {
    let proxy = line().await;
    let schema = json!({
        "type": "object",
        "required": ["label", "urgent"],
        "properties": {"label": {"enum": ["billing", "outage"]}, "urgent": {"type": "boolean"}},
    });
    for streams in [true, false] {
        let agent = agent(&proxy)
            .output_schema(schema.clone())
            .streaming(streams)
            .max_tokens(64);
        let answer = guard(agent, LONG)
            .call(
                Task::new("The site is down."),
                Context::new("run", "schema"),
                &(),
            )
            .await;
        let output = answer.expect("it fits, the guard has looked").reply.output;
        assert!(["billing", "outage"].contains(&output["label"].as_str().expect("text")));
    }
}

#[tokio::test]
async fn a_task_that_is_too_long_is_not_the_models_fault() {
    let proxy = line().await;
    // In a stream this server says nothing of it, it just ends.
    let guard = guard(agent(&proxy).streaming(false), LONG);
    let words = "many words ".repeat(4000);
    let error = guard
        .call(Task::new(words), Context::new("run", "long"), &())
        .await;
    assert_eq!(
        error.expect_err("it has 2048 tokens").kind(),
        ErrorKind::ContextTooLong
    );
    assert_eq!(guard.breaker().counts().ignored, 1);
}

#[tokio::test]
async fn a_probe_costs_a_token() {
    let proxy = line().await;
    let agent = agent(&proxy).build().expect("it is well described");
    let probe = agent.probe().expect("models can be tried");
    probe
        .probe(&Context::new("run", "probe"))
        .await
        .expect("it is there");
    assert!(probe.cost().tokens < 100, "{:?}", probe.cost());
}
