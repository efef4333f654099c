//! A breaker for the server, and one for each tool: each failure is charged to the one it belongs to.

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Behind, Context, ErrorKind, Guard, Task};
use fusebox_breaker::{Breaker, Config, State};
use fusebox_endpoints::{McpServer, McpStdio};
use fusebox_policy::{CallError, Policy};
use serde_json::{Value, json};

use crate::ear::Ear;
use crate::{LONG, eager, serve};

/// Two tools of a server, with three breakers that open at the third failure.
struct Guarded {
    server: Breaker,
    good: Guard,
    bad: Guard,
}

fn guarded(server: &McpServer, bad: &str, limit: Duration) -> Guarded {
    let shared = breaker("server");
    let guard = |tool: &str, limit: Duration| {
        let agent = Behind::new(Arc::new(server.tool(tool)), shared.clone());
        let policy = Policy::builder(breaker(tool)).attempt_timeout(limit);
        Guard::try_new(Arc::new(agent), policy.build()).expect("it has no schema")
    };
    let (good, bad) = (guard("echo", LONG), guard(bad, limit));
    Guarded {
        server: shared,
        good,
        bad,
    }
}

fn breaker(name: &str) -> Breaker {
    let config = Config::builder().consecutive_failures(3).build();
    Breaker::new(name, config.expect("the configuration is valid"))
}

async fn ask(guard: &Guard) -> Result<Value, ErrorKind> {
    let input = json!({"text": "hi"});
    let answer = guard
        .call(Task { input }, Context::new("run", "step"), &())
        .await;
    match answer {
        Ok(answer) => Ok(answer.reply.output),
        Err(error) => Err(match error.cause() {
            CallError::Failed { source, .. } => source.kind,
            CallError::NotPermitted { .. } => ErrorKind::BreakerOpen,
            _ => ErrorKind::TimedOut,
        }),
    }
}

#[tokio::test]
async fn a_tool_that_breaks_opens_its_own_breaker_only() {
    let server = eager(serve());
    let all = guarded(&server, "break", LONG);
    for _ in 0..3 {
        assert_eq!(ask(&all.bad).await, Err(ErrorKind::Api));
    }
    assert_eq!(all.bad.breaker().state(), State::Open);
    assert_eq!(ask(&all.bad).await, Err(ErrorKind::BreakerOpen));
    assert_eq!(ask(&all.good).await, Ok(json!("hi")));
    assert_eq!(
        (all.server.state(), all.server.counts().succeeded),
        (State::Closed, 4)
    );
}

#[tokio::test]
async fn a_tool_that_hangs_opens_its_own_breaker_only() {
    let mut ear = Ear::new();
    let server = eager(ear.on(serve()));
    let all = guarded(&server, "hang", Duration::from_millis(100));
    assert_eq!(ask(&all.good).await, Ok(json!("hi")));
    for _ in 0..3 {
        assert_eq!(ask(&all.bad).await, Err(ErrorKind::TimedOut));
        ear.hears("cancelled").await;
    }
    assert_eq!(all.bad.breaker().state(), State::Open);
    assert_eq!(
        (all.server.state(), all.server.counts().failed),
        (State::Closed, 0)
    );
    assert_eq!(ask(&all.good).await, Ok(json!("hi")));
}

#[tokio::test]
async fn an_error_result_opens_nothing() {
    let server = eager(serve());
    let all = guarded(&server, "fail", LONG);
    for _ in 0..5 {
        assert_eq!(
            ask(&all.bad).await.expect("it is an answer")["is_error"],
            json!(true)
        );
    }
    let counts = all.bad.breaker().counts();
    assert_eq!((counts.succeeded, all.server.counts().succeeded), (5, 5));
}

#[tokio::test]
async fn a_server_that_is_gone_opens_its_breaker_and_charges_no_tool() {
    let server = eager(McpStdio::new("/no/such/program", [""; 0]));
    let all = guarded(&server, "other", LONG);
    for guard in [&all.good, &all.bad, &all.good] {
        assert_eq!(ask(guard).await, Err(ErrorKind::DependencyUnavailable));
    }
    assert_eq!(all.server.state(), State::Open);
    // Neither tool is asked while the server's breaker is open, and neither is to blame.
    assert_eq!(ask(&all.good).await, Err(ErrorKind::BreakerOpen));
    assert_eq!(ask(&all.bad).await, Err(ErrorKind::BreakerOpen));
    assert_eq!(all.server.counts().admitted, 3);
    for tool in [all.good.breaker(), all.bad.breaker()] {
        let counts = tool.counts();
        assert_eq!(
            (tool.state(), counts.failed, counts.rejected),
            (State::Closed, 0, 0)
        );
    }
}

#[tokio::test]
async fn without_a_breaker_of_its_own_a_server_is_charged_to_the_tool() {
    let server = eager(McpStdio::new("/no/such/program", [""; 0]));
    let policy = Policy::builder(breaker("tool")).attempt_timeout(LONG);
    let guard = Guard::new(Arc::new(server.tool("echo")), policy.build());
    for _ in 0..3 {
        assert_eq!(ask(&guard).await, Err(ErrorKind::DependencyUnavailable));
    }
    assert_eq!(guard.breaker().state(), State::Open);
}
