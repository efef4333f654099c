//! Servers that are programs, good ones and bad ones.

use std::process::{Command, Stdio};
use std::time::Duration;

use fusebox_agent::{Agent, Context, ErrorKind, Task};
use fusebox_endpoints::{McpLimits, McpServer, McpStdio, ToolErrors};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ear::Ear;
use crate::support::Witness;
use crate::{LONG, call, eager, eager_limits, program, serve};

#[tokio::test]
async fn a_call_is_answered_and_the_connection_shared() {
    for stdio in [serve(), McpStdio::new(program(), ["--serve"])] {
        let server = eager(stdio);
        let sum = call(&server, "add", json!({"a": 2, "b": 40})).await;
        assert_eq!(sum.expect("it adds"), json!({"sum": 42.0}));
        let text = call(&server, "echo", json!({"text": "hi"})).await;
        assert_eq!(text.expect("it echoes"), json!("hi"));
        let content = call(&server, "two", Value::Null).await;
        let content = content.expect("it has content");
        assert_eq!(content[1], json!({"type": "text", "text": "two"}));
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_start() {
    let server = eager(serve());
    let add = |n: u32| call(&server, "add", json!({"a": n, "b": 1}));
    let sums = tokio::join!(add(1), add(2), add(3), add(4));
    assert_eq!(sums.0.expect("it adds"), json!({"sum": 2.0}));
    assert_eq!(sums.3.expect("it adds"), json!({"sum": 5.0}));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_error_result_is_an_answer() {
    let server = eager(serve());
    let answer = call(&server, "fail", json!({}))
        .await
        .expect("it is an answer");
    assert_eq!(
        answer,
        json!({"is_error": true, "content": "no such order"})
    );
    let strict = server.tool("fail").with_tool_errors(ToolErrors::Error);
    let error = strict
        .call(Task::default(), &Context::new("run", "step"))
        .await;
    let error = error.expect_err("told to be an error");
    assert_eq!(
        (error.kind, error.may_have_run, error.retryable),
        (ErrorKind::InvalidInput, true, false)
    );
    assert!(
        error
            .message
            .ends_with("answered with an error: no such order"),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_caller_got_wrong_is_the_callers_fault() {
    let server = eager(serve());
    for (tool, input, why) in [
        ("none", json!({}), "unknown tool: none (-32602)"),
        ("add", json!({"a": 1}), "b is not a number (-32602)"),
        (
            "add",
            json!("one"),
            "takes an object as its arguments or null, not a string",
        ),
    ] {
        let error = call(&server, tool, input).await.expect_err(why);
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
        assert!(!error.may_have_run && !error.retryable);
        assert!(error.message.contains(why), "{error}");
        assert!(
            error
                .message
                .starts_with(&format!("tool `{tool}` of mcp server `test`: "))
        );
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_tool_that_breaks_is_no_fault_of_its_server() {
    let server = eager(serve());
    let error = call(&server, "break", json!({}))
        .await
        .expect_err("it breaks");
    assert_eq!((error.kind, error.retryable), (ErrorKind::Api, true));
    assert!(
        error.message.contains("the database is gone (-32603)"),
        "{error}"
    );
    call(&server, "echo", json!({}))
        .await
        .expect("the server is well");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_idempotency_key_goes_along() {
    let server = eager(serve());
    let meta = call(&server, "meta", json!({})).await.expect("it answers");
    assert_eq!(
        meta["io.github.fusebox-rs/idempotency-key"],
        json!("run/step")
    );
}

#[tokio::test]
async fn arguments_are_made_of_the_input() {
    let server = eager(serve());
    let tool = server
        .tool("echo")
        .with_name("data")
        .with_arguments(|input| {
            let text = input["upstream"]["triage"].as_str().ok_or("no triage")?;
            Ok(json!({"text": text}))
        });
    assert_eq!(
        (&*tool.describe().name, &*tool.describe().kind),
        ("data", "mcp")
    );
    let cx = Context::new("run", "data");
    let reply = tool
        .call(Task::new(json!({"upstream": {"triage": "urgent"}})), &cx)
        .await;
    assert_eq!(reply.expect("it echoes").output, json!("urgent"));
    let error = tool
        .call(Task::new(json!({})), &cx)
        .await
        .expect_err("no triage");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
}

#[tokio::test]
async fn tools_are_discovered_with_their_schemas() {
    let server = eager(serve());
    let tools = server
        .discover(&Context::new("run", "step"))
        .await
        .expect("it lists them");
    let add = tools
        .iter()
        .find(|tool| tool.describe().name == "add")
        .expect("it adds");
    let required =
        |schema: &Option<Value>| schema.as_ref().map(|schema| schema["required"].clone());
    assert_eq!(
        required(&add.describe().input_schema),
        Some(json!(["a", "b"]))
    );
    assert_eq!(
        required(&add.describe().output_schema),
        Some(json!(["sum"]))
    );
}

#[tokio::test]
async fn a_server_killed_in_mid_call_is_an_outage_and_started_again() {
    let mut ear = Ear::new();
    let server = eager(ear.on(serve()));
    let (error, ()) = tokio::join!(call(&server, "hang", json!({})), async {
        kill(ear.hears("hanging").await);
    });
    let error = error.expect_err("nobody is left to answer");
    assert_eq!(
        (error.kind, error.may_have_run, error.retryable),
        (ErrorKind::DependencyUnavailable, true, true)
    );
    assert!(
        error.message.contains("was killed by signal 9 (SIGKILL)"),
        "{error}"
    );
    call(&server, "echo", json!({}))
        .await
        .expect("it is started again");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_ends_says_how_and_what_it_said_last() {
    let server = eager(serve());
    let error = call(&server, "crash", json!({}))
        .await
        .expect_err("it ends");
    assert_eq!(error.kind, ErrorKind::DependencyUnavailable);
    let why =
        "the program exited with code 7; last on standard error: out of cheese, redo from start";
    assert!(error.message.ends_with(why), "{error}");
}

#[tokio::test]
async fn a_server_that_died_young_is_left_alone_for_a_while() {
    let limits = McpLimits::default().with_restart(2 * LONG, 4 * LONG);
    let server = McpServer::with_limits("test", serve(), limits);
    call(&server, "crash", json!({}))
        .await
        .expect_err("it ends");
    let error = call(&server, "echo", json!({}))
        .await
        .expect_err("it is left alone");
    assert_eq!(
        (error.kind, error.may_have_run, error.retryable),
        (ErrorKind::DependencyUnavailable, false, true)
    );
    let wait = error.retry_after.expect("it is said how long");
    assert!(
        (LONG - Duration::from_secs(30)..=2 * LONG).contains(&wait),
        "{wait:?}"
    );
    assert!(
        error.message.contains("the program exited with code 7"),
        "{error}"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_started_has_not_run() {
    for stdio in [
        McpStdio::new("/no/such/program", [""; 0]),
        McpStdio::new("/no/such/program", [""; 0]).with_supervisor(crate::support::run_command()),
        serve().with_env("MCP_MODE", "die"),
    ] {
        let error = call(&eager(stdio), "echo", json!({}))
            .await
            .expect_err("it is not there");
        assert_eq!(
            (error.kind, error.may_have_run, error.retryable),
            (ErrorKind::DependencyUnavailable, false, true)
        );
        let told = [
            "cannot be started: No such file",
            "exited with code 3; last on standard error: no license",
        ];
        assert!(
            told.iter().any(|why| error.message.contains(why)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_runs_out_of_time() {
    let limits = eager_limits().with_connect(Duration::from_millis(50));
    let server = McpServer::with_limits("test", serve().with_env("MCP_MODE", "mute"), limits);
    let error = call(&server, "echo", json!({}))
        .await
        .expect_err("it is mute");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::DependencyUnavailable, false)
    );
    assert!(
        error.message.ends_with("no handshake within 50ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_tool_that_never_answers_is_told_to_stop_and_its_server_lives() {
    let mut ear = Ear::new();
    let server = eager(ear.on(serve()));
    call(&server, "echo", json!({})).await.expect("it is up");
    let cx = Context::new("run", "step").with_deadline(Instant::now() + Duration::from_millis(100));
    let error = server.tool("hang").call(Task::default(), &cx).await;
    let error = error.expect_err("it hangs");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::TimedOut, true)
    );
    ear.hears("cancelled").await;
    call(&server, "echo", json!({})).await.expect("it still is");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_cancelled_call_sends_the_notice() {
    let mut ear = Ear::new();
    let server = eager(ear.on(serve()));
    let cx = Context::new("run", "step");
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
async fn a_dropped_call_sends_the_notice() {
    let mut ear = Ear::new();
    let server = eager(ear.on(serve()));
    let hang = call(&server, "hang", json!({}));
    tokio::select! {
        _ = hang => panic!("it hangs"),
        _ = ear.hears("hanging") => {}
    }
    ear.hears("cancelled").await;
}

#[tokio::test]
async fn a_server_that_never_answers_again_is_replaced() {
    let mut ear = Ear::new();
    let limits = eager_limits().with_ping(Duration::from_millis(50));
    let server = McpServer::with_limits("test", ear.on(serve()), limits);
    call(&server, "echo", json!({})).await.expect("it is up");
    let cx = Context::new("run", "step").with_deadline(Instant::now() + Duration::from_millis(100));
    let error = server.tool("freeze").call(Task::default(), &cx).await;
    assert_eq!(error.expect_err("it is frozen").kind, ErrorKind::TimedOut);
    let frozen = ear.hears("started").await;
    // The call that meets the end of the frozen one fails; the next finds a new one.
    let replaced = async {
        while server.connections() < 2 {
            let _ = call(&server, "echo", json!({})).await;
        }
    };
    let replaced = tokio::time::timeout(LONG / 2, replaced).await;
    replaced.expect("without a ping it is waited for");
    let fresh = ear.hears("started").await;
    assert_ne!(frozen, fresh);
}

#[tokio::test]
async fn a_greeting_is_overlooked_and_babble_is_not_the_protocol() {
    let greeting = eager(serve().with_env("MCP_MODE", "greet"));
    call(&greeting, "echo", json!({}))
        .await
        .expect("it only greets");
    let babbling = eager(serve().with_env("MCP_MODE", "babble"));
    let error = call(&babbling, "echo", json!({}))
        .await
        .expect_err("it babbles");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::DependencyUnavailable, false)
    );
    assert!(
        error.message.contains("does not speak the protocol"),
        "{error}"
    );
}

#[tokio::test]
async fn a_broken_message_is_an_outage_and_a_printed_line_is_not() {
    let server = eager(serve());
    let line = json!({"text": "just so you know"});
    assert_eq!(
        call(&server, "print", line).await.expect("overlooked"),
        json!("printed")
    );
    let broken = json!({"text": "{\"jsonrpc\": \"2.0\", \"id\""});
    let error = call(&server, "print", broken)
        .await
        .expect_err("half a message");
    assert_eq!(
        (error.kind, error.may_have_run),
        (ErrorKind::DependencyUnavailable, true)
    );
    assert!(error.message.contains("a line is no message"), "{error}");
    call(&server, "echo", json!({}))
        .await
        .expect("it is started again");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_huge_answer_is_refused_and_charged_to_the_tool() {
    let limits = eager_limits().with_message_bytes(100_000);
    let server = McpServer::with_limits("test", serve(), limits);
    call(&server, "huge", json!({"bytes": 90_000}))
        .await
        .expect("it fits");
    let error = call(&server, "huge", json!({"bytes": 100_000}))
        .await
        .expect_err("too much");
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::InvalidOutput, false)
    );
    assert!(error.message.contains("more than 100000 bytes"), "{error}");
    call(&server, "echo", json!({}))
        .await
        .expect("it is started again");
}

#[tokio::test]
async fn the_program_ends_with_the_last_handle_of_its_server() {
    let witness = Witness::new();
    let server = eager(serve().with_env("MCP_HOLD", witness.path()));
    let tool = server.tool("echo");
    drop(server);
    let cx = Context::new("run", "step");
    tool.call(Task::default(), &cx)
        .await
        .expect("the tool is a handle");
    assert_eq!(witness.first_line(), "up");
    drop(tool);
    tokio::task::spawn_blocking(move || witness.gone())
        .await
        .expect("it is gone");
}

#[test]
fn a_server_dies_with_its_host_killed_with_sigkill() {
    let witness = Witness::new();
    let mut host = Command::new(program());
    host.args(["--call", "freeze"])
        .env("MCP_HOLD", witness.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut host = host.spawn().expect("the host starts");
    assert_eq!(witness.first_line(), "up");
    host.kill().expect("the host runs");
    host.wait().expect("the host is ours");
    witness.gone();
}

fn kill(number: i32) {
    let process = Pid::from_raw(number).expect("a process number");
    kill_process(process, Signal::KILL).expect("it runs");
}
