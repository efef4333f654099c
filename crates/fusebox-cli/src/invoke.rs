//! `fusebox agent`: one built-in function in a process of its own, for workflow files that want it isolated.

use std::io::Read as _;
use std::process::ExitCode;

use fusebox::agent::{Context, Task};
use serde_json::Value;

use crate::args::AgentArgs;
use crate::failure::Failure;
use crate::output;
use crate::review;

/// EX_DATAERR: a command agent takes it as final.
const DATA_ERROR: u8 = 65;

pub(crate) async fn invoke(args: &AgentArgs) -> Result<ExitCode, Failure> {
    let agent = review::agent(&args.function, &args.function, None).ok_or_else(|| {
        let known = review::names().collect::<Vec<_>>().join(", ");
        Failure::misuse(format!(
            "there is no function `{}`; functions: {known}",
            args.function
        ))
    })?;
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::misuse(format!("stdin: {error}")))?;
    let input: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::misuse(format!("stdin holds no JSON document: {error}")))?;
    match agent.call(Task::new(input), &context()).await {
        Ok(reply) => {
            output::say(&reply.output.to_string());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            output::complain(&error.to_string());
            Ok(ExitCode::from(if error.retryable { 1 } else { DATA_ERROR }))
        }
    }
}

/// What the command agent around this process says of the call.
fn context() -> Context {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let mut context = Context::new(variable("FUSEBOX_RUN"), variable("FUSEBOX_STEP"))
        .with_idempotency_key(variable("FUSEBOX_IDEMPOTENCY_KEY"))
        .with_progress(output::remark);
    if let Some(directory) = std::env::var_os("FUSEBOX_ARTIFACTS") {
        context = context.with_artifacts(directory);
    }
    context
}
