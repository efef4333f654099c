//! Agents that call others: their retries come out of one purse, and silence is not taken for work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fusebox_agent::{Agent, AgentError, Context, ErrorKind, Guard, Reply, Task, agent_fn};
use fusebox_breaker::{Breaker, Config};
use fusebox_policy::{Bulkhead, Policy, Retry, RetryBudget};
use tokio::time::Instant;

/// Three attempts, and a breaker that would never open.
fn guard(agent: Arc<dyn Agent>) -> Guard {
    let config = Config::builder()
        .consecutive_failures(1_000)
        .without_count_window();
    let breaker = Breaker::new("any", config.build().unwrap());
    Guard::new(agent, Policy::builder(breaker).retry(Retry::new(3)).build())
}

/// How often a leaf is called that fails under two levels of agents, each of which tries three times.
async fn calls_of_the_leaf(cx: Context) -> u32 {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let leaf = agent_fn("leaf", move |_: Task, _: Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err::<Reply, _>(AgentError::api("503")) }
    });
    let mut guarded = guard(Arc::new(leaf));
    for name in ["middle", "top"] {
        let inner = guarded;
        let agent = agent_fn(name, move |task: Task, cx: Context| {
            let inner = inner.clone();
            async move {
                let answer = inner.call(task, cx, &()).await;
                answer
                    .map(|answer| answer.reply)
                    .map_err(|error| AgentError::api(error.to_string()))
            }
        });
        guarded = guard(Arc::new(agent));
    }
    let result = guarded.call(Task::default(), cx, &()).await;
    assert!(result.is_err());
    calls.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn the_retries_of_agents_inside_agents_come_out_of_one_purse() {
    let purse = RetryBudget::new(0.0, 4);
    let cx = Context::new("run", "top").with_retry_budget(purse.clone());
    assert_eq!(calls_of_the_leaf(cx).await, 1 + 4);
    assert_eq!(purse.available(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_retries_of_agents_inside_agents_multiply_without_a_purse() {
    assert_eq!(
        calls_of_the_leaf(Context::new("run", "top")).await,
        3 * 3 * 3
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_falls_silent_is_given_up_and_charged() {
    let silent = agent_fn("silent", |_: Task, cx: Context| async move {
        cx.progress("begun");
        std::future::pending::<Result<Reply, AgentError>>().await
    });
    let config = Config::builder().build().unwrap();
    let policy = Policy::builder(Breaker::new("silent", config)).build();
    let guard = Guard::new(Arc::new(silent), policy).with_max_silence(Duration::from_secs(5));
    let begun = Instant::now();
    let error = guard
        .call(Task::default(), Context::new("run", "step"), &())
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(guard.breaker().counts().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_shows_signs_of_life_may_take_its_time() {
    let slow = agent_fn("slow", |_: Task, cx: Context| async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            cx.heartbeat();
        }
        Ok(Reply::default())
    });
    let config = Config::builder().build().unwrap();
    let policy = Policy::builder(Breaker::new("slow", config)).build();
    let guard = Guard::new(Arc::new(slow), policy);
    let limited = guard.clone().with_max_silence(Duration::from_secs(5));
    let cx = || Context::new("run", "step");
    assert!(limited.call(Task::default(), cx(), &()).await.is_ok());
    // The same work counts as silence where the signs are too far apart.
    let strict = guard.with_max_silence(Duration::from_secs(3));
    assert!(strict.call(Task::default(), cx(), &()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_tenant_of_a_call_takes_its_turn_in_the_queue() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let agent = agent_fn("pool", move |_: Task, cx: Context| {
        seen.lock().unwrap().push(cx.tenant().unwrap().to_string());
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Reply::default())
        }
    });
    let config = Config::builder().build().unwrap();
    let bulkhead = Bulkhead::new("pool", 1).with_max_wait(Duration::from_secs(60));
    let policy = Policy::builder(Breaker::new("pool", config))
        .bulkhead(bulkhead)
        .build();
    let guard = Guard::new(Arc::new(agent), policy);
    let calls = ["loud", "loud", "loud", "loud", "quiet"].map(|tenant| {
        let (guard, tenant) = (guard.clone(), Arc::<str>::from(tenant));
        async move {
            let cx = Context::new("run", "step").with_tenant(tenant);
            guard.call(Task::default(), cx, &()).await.is_ok()
        }
    });
    let [a, b, c, d, e] = calls;
    let all = tokio::join!(a, b, c, d, e);
    assert_eq!(all, (true, true, true, true, true));
    assert_eq!(
        *order.lock().unwrap(),
        ["loud", "loud", "quiet", "loud", "loud"]
    );
}
