//! An agent under a guard: its reply is checked, its faults are injected, a fallback stands by.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Agent, Context, FaultRule, FaultyAgent, Guard, Reply, Task, agent_fn};
use fusebox_breaker::{Breaker, Config, State};
use fusebox_policy::{Policy, Retry};
use serde_json::json;

/// Counts words, and promises an object with the number in it.
fn counter() -> Arc<dyn Agent> {
    let schema = json!({
        "type": "object",
        "required": ["words"],
        "properties": {"words": {"type": "integer", "minimum": 0}},
    });
    let agent = agent_fn("counter", |task: Task, _: Context| async move {
        let text = task.input["text"].as_str().unwrap_or_default();
        Ok(Reply::new(
            json!({"words": text.split_whitespace().count()}),
        ))
    });
    Arc::new(agent.with_output_schema(schema))
}

fn guard(agent: Arc<dyn Agent>) -> Result<Guard, Box<dyn Error>> {
    let config = Config::builder().consecutive_failures(2).build()?;
    let policy = Policy::builder(Breaker::new("counter", config))
        .retry(Retry::new(2).with_base(Duration::from_millis(50)))
        .attempt_timeout(Duration::from_secs(1))
        .build();
    Ok(Guard::new(agent, policy))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let task = || Task::new(json!({"text": "one two three"}));

    let well = guard(counter())?;
    let answer = well
        .call(task(), Context::new("run-1", "count"), &())
        .await?;
    assert_eq!(answer.reply.output, json!({"words": 3}));
    assert_eq!((answer.attempts, answer.degraded), (1, None));

    // Every reply mangled: the schema finds it, the breaker is told, the fallback answers.
    let rules: Vec<FaultRule> = vec!["corruption:1.0".parse()?];
    let corrupted = Arc::new(FaultyAgent::new(counter(), rules, 7));
    let estimate = agent_fn("estimate", |_: Task, _: Context| async {
        Ok(Reply::new(json!({"words": 4})))
    });
    let ill = guard(corrupted)?.with_fallback(Arc::new(estimate));
    let answer = ill
        .call(task(), Context::new("run-1", "count"), &())
        .await?;
    assert_eq!(answer.reply.output, json!({"words": 4}));
    let reason = answer.degraded.expect("the fallback answered");
    assert_eq!(ill.breaker().state(), State::Open);

    println!("agent: 3 words counted, then an estimate because {reason}");
    Ok(())
}
