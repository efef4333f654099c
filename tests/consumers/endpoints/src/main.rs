//! A program as an agent: JSON on its standard input, JSON on its standard output.

use std::error::Error;

use fusebox_agent::{Agent, Context, Task};
use fusebox_endpoints::{CommandAgent, OutputFormat, enter_shim_if_asked};
use serde_json::json;

#[tokio::main]
async fn run() -> Result<(), Box<dyn Error>> {
    let cx = Context::new("run-1", "step-1").with_idempotency_key("key-1");

    // `cat` gives back the JSON it was given.
    let echo = CommandAgent::new("echo", "cat", [] as [&str; 0]).with_output(OutputFormat::Json);
    let task = json!({"question": "what is six times seven?"});
    let reply = echo.call(Task::new(task.clone()), &cx).await?;
    assert_eq!(reply.output, task);

    // A program finds out what it is working on in its environment.
    let script = r#"cat >/dev/null; echo "$FUSEBOX_RUN $FUSEBOX_STEP $FUSEBOX_IDEMPOTENCY_KEY""#;
    let names = CommandAgent::new("names", "sh", ["-c", script]).with_output(OutputFormat::Text);
    let reply = names.call(Task::new(json!({})), &cx).await?;
    let text = reply.output["text"].as_str().unwrap_or_default();
    assert_eq!(text.trim(), "run-1 step-1 key-1");

    // An error keeps the exit code and the program's last words.
    let broken = CommandAgent::new("broken", "sh", ["-c", "echo disk full >&2; exit 3"]);
    let error = broken
        .call(Task::new(json!({})), &cx)
        .await
        .expect_err("it exits with 3");
    let text = error.to_string();
    assert!(text.contains('3') && text.contains("disk full"), "{text}");

    println!("endpoints: 2 programs answered, 1 failed with its reason");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // Lets the programs die with us, even if we are killed with -9.
    enter_shim_if_asked();
    run()
}
