//! What a guard promises, on virtual time.
#![cfg(feature = "schema")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_agent::{
    Agent, AgentError, Answer, Context, ErrorKind, FaultyAgent, Guard, GuardError, Reply, Task,
    agent_fn,
};
use fusebox_breaker::{Breaker, Config, Counts, State};
use fusebox_policy::{
    Attempt, Bulkhead, CallError, Hooks, Policy, PolicyBuilder, Retry, Stop, TokioClock,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens after two failures in a row, for a minute.
fn breaker() -> Breaker {
    let config = Config::builder()
        .consecutive_failures(2)
        .without_count_window()
        .wait_duration_in_open(60 * SECOND)
        .build();
    Breaker::builder("data", config.expect("a valid configuration"))
        .clock(Arc::new(TokioClock::new()))
        .seed(7)
        .build()
}

fn policy() -> PolicyBuilder {
    Policy::builder(breaker()).attempt_timeout(ATTEMPT_TIMEOUT)
}

fn retrying(attempts: u32) -> Policy {
    let retry = Retry::new(attempts).with_base(SECOND).without_jitter();
    policy().retry(retry).build()
}

/// Answers `{"rows": [...]}`, and says so in its schema.
fn data() -> Arc<dyn Agent> {
    let agent = agent_fn("data", |task: Task, _cx| async move {
        Ok(Reply::new(json!({"rows": [task.input]})))
    });
    Arc::new(agent.with_output_schema(json!({
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array"}},
    })))
}

fn struck(rules: &[&str]) -> Arc<dyn Agent> {
    let rules = rules.iter().map(|rule| rule.parse().expect("a valid rule"));
    Arc::new(FaultyAgent::new(data(), rules.collect(), 7))
}

fn cached() -> Arc<dyn Agent> {
    Arc::new(agent_fn("cache", |_task, _cx| async {
        Ok(Reply::new(json!({"rows": []})))
    }))
}

fn cx() -> Context {
    Context::new("run", "data")
}

async fn call(guard: &Guard) -> Result<Answer, GuardError> {
    guard.call(Task::new(1), cx(), &()).await
}

async fn refused(guard: &Guard) -> GuardError {
    call(guard).await.expect_err("no answer is expected")
}

fn ended(counts: Counts) -> [u64; 5] {
    assert_eq!(counts.in_flight(), 0);
    [
        counts.succeeded,
        counts.failed,
        counts.timed_out,
        counts.ignored,
        counts.cancelled,
    ]
}

#[tokio::test(start_paused = true)]
async fn the_agents_own_answer_is_not_degraded() {
    let guard = Guard::new(data(), policy().build()).with_fallback(cached());
    let answer = call(&guard).await.expect("an answer");
    assert_eq!(answer.reply.output, json!({"rows": [1]}));
    assert_eq!((answer.attempts, answer.degraded), (1, None));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_its_own_context() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let agent = agent_fn("data", move |_task, cx: Context| {
        sink.lock().expect("no panic").push(cx);
        async { Err(AgentError::api("503")) }
    });
    let guard = Guard::new(Arc::new(agent), retrying(2));
    let outer = cx().with_attempt(4).with_idempotency_key("key");
    let started = Instant::now();
    let error = guard.call(Task::new(1), outer, &()).await;
    assert_eq!(error.expect_err("503").attempts(), 2);
    let seen = seen.lock().expect("no panic");
    let [first, second] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert_eq!((first.attempt(), second.attempt()), (4, 5));
    assert_eq!(
        (first.idempotency_key(), second.idempotency_key()),
        ("key", "key")
    );
    assert_eq!(first.deadline(), Some(started + ATTEMPT_TIMEOUT));
    assert_eq!(second.deadline(), Some(started + SECOND + ATTEMPT_TIMEOUT));
    assert!(first.cancellation().is_cancelled() && second.cancellation().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn the_nearest_deadline_is_the_attempts() {
    let agent = agent_fn("data", |_task, cx: Context| async move {
        let left = cx.remaining().map(|left| left.as_secs());
        Ok(Reply::new(left))
    });
    let guard = Guard::new(Arc::new(agent), policy().build());
    let cx = cx().with_deadline(Instant::now() + 3 * SECOND);
    let answer = guard.call(Task::new(1), cx, &()).await.expect("an answer");
    assert_eq!(answer.reply.output, json!(3));
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_charged_for_what_it_is_and_opens_the_breaker() {
    let (failed, timed_out) = ([0, 2, 0, 0, 0], [0, 0, 2, 0, 0]);
    for (rule, kind, expected) in [
        ("timeout:1", ErrorKind::TimedOut, timed_out),
        ("hang:1", ErrorKind::TimedOut, timed_out),
        ("latency:1,delay=6s", ErrorKind::TimedOut, timed_out),
        ("exhaustion:1", ErrorKind::ResourceExhausted, failed),
        ("api:1", ErrorKind::Api, failed),
        ("dependency:1", ErrorKind::DependencyUnavailable, failed),
        ("breaker-open:1", ErrorKind::BreakerOpen, failed),
        ("corruption:1", ErrorKind::InvalidOutput, failed),
    ] {
        let guard = Guard::new(struck(&[rule]), policy().build());
        for _ in 0..2 {
            let error = refused(&guard).await;
            assert_eq!(error.kind(), kind, "{rule}: {error:?}");
            assert!(!matches!(error.cause(), CallError::NotPermitted { .. }));
        }
        assert_eq!(guard.breaker().state(), State::Open, "{rule}");
        assert_eq!(ended(guard.breaker().counts()), expected, "{rule}");
        let error = refused(&guard).await;
        assert!(
            matches!(error.cause(), CallError::NotPermitted { .. }),
            "{rule}: {error:?}"
        );
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::BreakerOpen, 0)
        );
        assert!(error.retry_after().is_some() && !error.may_have_run());
    }
}

#[tokio::test(start_paused = true)]
async fn a_latency_within_the_timeout_is_an_answer() {
    let guard = Guard::new(struck(&["latency:1,delay=4s"]), policy().build());
    assert_eq!(call(&guard).await.expect("late").degraded, None);
    assert_eq!(ended(guard.breaker().counts()), [1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn no_corrupt_reply_ever_comes_out() {
    let config = Config::builder().without_count_window();
    let config = config.consecutive_failures(100_000).build();
    let breaker = Breaker::new("data", config.expect("a valid configuration"));
    let guard = Guard::new(
        struck(&["corruption:0.4"]),
        Policy::builder(breaker).build(),
    );
    let mut caught = 0;
    for _ in 0..200 {
        match call(&guard).await {
            Ok(answer) => assert_eq!(answer.reply.output, json!({"rows": [1]})),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidOutput);
                caught += 1;
            }
        }
    }
    assert!((50..110).contains(&caught), "{caught} of 200");
    assert_eq!(guard.breaker().counts().failed, caught);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_reply_is_tried_again() {
    let guard = Guard::new(struck(&["corruption:1,until=1s"]), retrying(2));
    let answer = call(&guard).await.expect("whole the second time");
    assert_eq!((answer.attempts, answer.degraded), (2, None));
}

#[tokio::test(start_paused = true)]
async fn the_fallback_covers_failure_time_out_and_rejection() {
    let text = |answer: &Answer| answer.degraded.clone().unwrap_or_default();

    let guard = Guard::new(struck(&["api:1"]), policy().build()).with_fallback(cached());
    let answer = call(&guard).await.expect("from the cache");
    assert_eq!(answer.reply.output, json!({"rows": []}));
    assert_eq!(answer.attempts, 1);
    let reason = text(&answer);
    assert!(
        reason.starts_with("agent `data`: failed at attempt 1"),
        "{reason}"
    );
    assert!(
        reason.ends_with(": injected: the model answered 503"),
        "{reason}"
    );

    call(&guard).await.expect("from the cache");
    assert_eq!(guard.breaker().state(), State::Open);
    let rejected = call(&guard).await.expect("from the cache");
    assert_eq!(rejected.attempts, 0);
    let reason = text(&rejected);
    assert!(
        reason.contains("not permitted by breaker `data`"),
        "{reason}"
    );

    let guard = Guard::new(struck(&["hang:1"]), policy().build()).with_fallback(cached());
    let late = call(&guard).await.expect("from the cache");
    assert!(text(&late).contains("no answer within 5s"), "{late:?}");

    let policy = policy().total_timeout(2 * SECOND).build();
    let guard = Guard::new(struck(&["hang:1"]), policy).with_fallback(cached());
    let late = call(&guard).await.expect("from the cache");
    assert!(text(&late).contains("not done within 2s"), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn the_fallback_covers_a_full_bulkhead() {
    let bulkhead = Bulkhead::new("pool", 1);
    let policy = policy().bulkhead(bulkhead.clone()).build();
    let guard = Guard::new(struck(&["hang:1"]), policy).with_fallback(cached());
    let first = tokio::spawn({
        let guard = guard.clone();
        async move { call(&guard).await }
    });
    while bulkhead.in_use() == 0 {
        tokio::task::yield_now().await;
    }
    let answer = call(&guard).await.expect("from the cache");
    assert!(
        answer
            .degraded
            .is_some_and(|reason| reason.contains("bulkhead `pool` is full"))
    );
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_held_to_the_schema_of_the_agent_it_stands_in_for() {
    let wrong = agent_fn("cache", |_task, _cx| async { Ok(Reply::new("no rows")) });
    let guard = Guard::new(struck(&["api:1"]), policy().build()).with_fallback(Arc::new(wrong));
    let error = refused(&guard).await;
    assert_eq!(error.kind(), ErrorKind::Api);
    let second = error.fallback_error().expect("it was asked");
    assert_eq!(second.kind, ErrorKind::InvalidOutput);
    assert!(error.may_have_run(), "the fallback ran");
    assert!(
        error.to_string().contains("its fallback `cache`"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_hangs_is_given_up() {
    let hang = || struck(&["hang:1"]);
    let guard = Guard::new(struck(&["api:1"]), policy().build()).with_fallback(hang());
    let started = Instant::now();
    let error = refused(&guard).await;
    assert_eq!(
        error.fallback_error().map(|e| e.kind),
        Some(ErrorKind::TimedOut)
    );
    assert_eq!(started.elapsed(), ATTEMPT_TIMEOUT);

    let guard = guard.with_fallback_timeout(SECOND);
    let started = Instant::now();
    refused(&guard).await;
    assert_eq!(started.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_no_longer_wants_an_answer_gets_no_fallback() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let fallback = agent_fn("cache", move |_task, _cx| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Reply::default()) }
    });
    let guard = Guard::new(struck(&["hang:1"]), policy().build()).with_fallback(Arc::new(fallback));

    let late = cx().with_deadline(Instant::now() + SECOND);
    let error = guard.call(Task::new(1), late, &()).await.expect_err("late");
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    let gone = cx();
    gone.cancellation().cancel();
    let error = guard.call(Task::new(1), gone, &()).await.expect_err("gone");
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Cancelled, 0));
    assert!(!error.may_have_run());

    struct Refuse;
    impl Hooks for Refuse {
        async fn before_attempt(&self, _: &Attempt) -> Result<(), Stop> {
            Err(Stop::new("the run was cancelled"))
        }
    }
    let error = guard
        .call(Task::new(1), cx(), &Refuse)
        .await
        .expect_err("stopped");
    assert!(
        matches!(error.cause(), CallError::Stopped { .. }),
        "{error:?}"
    );
    assert!(!error.may_have_run());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// An agent that never answers, says when it is at work, and shows the token it was given.
struct Watched {
    agent: Arc<dyn Agent>,
    at_work: Arc<Notify>,
    token: Arc<Mutex<Option<CancellationToken>>>,
}

impl Watched {
    fn new() -> Self {
        let (at_work, token) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
        let (notify, slot) = (Arc::clone(&at_work), Arc::clone(&token));
        let agent = agent_fn("data", move |_task, cx: Context| {
            *slot.lock().expect("no panic") = Some(cx.cancellation().clone());
            notify.notify_one();
            std::future::pending()
        });
        Self {
            agent: Arc::new(agent),
            at_work,
            token,
        }
    }

    fn was_told_to_stop(&self) -> bool {
        let token = self.token.lock().expect("no panic");
        token.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_gives_permit_and_slot_back_and_reaches_the_agent() {
    let watched = Watched::new();
    let bulkhead = Bulkhead::new("pool", 1);
    let guard = Guard::new(
        Arc::clone(&watched.agent),
        policy().bulkhead(bulkhead.clone()).build(),
    );
    let cx = cx();
    let cancel = cx.cancellation().clone();
    let (result, ()) = tokio::join!(guard.call(Task::new(1), cx, &()), async {
        watched.at_work.notified().await;
        cancel.cancel();
    });
    let error = result.expect_err("cancelled");
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Cancelled, 1));
    assert!(error.may_have_run());
    assert_eq!(ended(guard.breaker().counts()), [0, 0, 0, 0, 1]);
    assert_eq!(bulkhead.in_use(), 0);
    assert!(watched.was_told_to_stop());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_gives_permit_and_slot_back_and_reaches_the_agent() {
    let watched = Watched::new();
    let bulkhead = Bulkhead::new("pool", 1);
    let guard = Guard::new(
        Arc::clone(&watched.agent),
        policy().bulkhead(bulkhead.clone()).build(),
    );
    let outer = cx();
    tokio::select! {
        result = guard.call(Task::new(1), outer.clone(), &()) => panic!("{result:?}"),
        () = watched.at_work.notified() => {}
    }
    assert_eq!(ended(guard.breaker().counts()), [0, 0, 0, 0, 1]);
    assert_eq!(bulkhead.in_use(), 0);
    assert!(watched.was_told_to_stop());
    assert!(
        !outer.cancellation().is_cancelled(),
        "only the attempt is over"
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_cut_short_by_the_caller_is_not_charged() {
    // One that notices the deadline, one that does not.
    for rule in ["timeout:1", "hang:1"] {
        let guard = Guard::new(struck(&[rule]), policy().build());
        let cx = cx().with_deadline(Instant::now() + SECOND);
        let error = guard.call(Task::new(1), cx, &()).await.expect_err("late");
        assert!(
            matches!(error.cause(), CallError::TotalTimedOut { .. }),
            "{error:?}"
        );
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::TimedOut, 1));
        assert_eq!(ended(guard.breaker().counts()), [0, 0, 0, 0, 1], "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agents_own_time_out_before_any_deadline_is_charged() {
    let agent = agent_fn("data", |_task, _cx| async {
        Err(AgentError::timed_out("no connection within 1s"))
    });
    let guard = Guard::new(Arc::new(agent), policy().build());
    let error = refused(&guard).await;
    assert!(
        matches!(error.cause(), CallError::Failed { .. }),
        "{error:?}"
    );
    assert_eq!(ended(guard.breaker().counts()), [0, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_input_reaches_neither_agent_nor_breaker() {
    let agent = agent_fn("data", |_task, _cx| async { Ok(Reply::default()) });
    let agent = agent.with_input_schema(json!({"type": "string"}));
    let guard = Guard::new(Arc::new(agent), policy().build());
    let error = refused(&guard).await;
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0)
    );
    assert!(!error.may_have_run());
    assert_eq!(guard.breaker().counts().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_none_is_refused_before_any_call() {
    let agent = || {
        let agent = agent_fn("data", |_task, _cx| async { Ok(Reply::default()) });
        Arc::new(agent.with_output_schema(json!({"type": "nonsense"})))
    };
    let error = Guard::try_new(agent(), policy().build()).expect_err("no schema");
    assert_eq!(error.what, "output schema of agent `data`");
    let guard = Guard::new(agent(), policy().build());
    assert_eq!(refused(&guard).await.kind(), ErrorKind::InvalidInput);
    assert_eq!(guard.breaker().counts().total(), 0);
    let guard = Guard::new(data(), policy().build()).with_fallback(agent());
    assert!(guard.check().is_err(), "the fallback is checked, too");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_agent_counts_as_its_failure() {
    let agent = agent_fn("data", |_task, _cx| async { panic!("a bug in the agent") });
    let guard = Guard::new(Arc::new(agent), policy().build());
    let inner = guard.clone();
    let joined = tokio::spawn(async move { call(&inner).await }).await;
    assert!(joined.expect_err("the panic goes on").is_panic());
    assert_eq!(ended(guard.breaker().counts()), [0, 1, 0, 0, 0]);
}
