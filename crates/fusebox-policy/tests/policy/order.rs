//! All stages together: their order, and what each gives back when the call is dropped, wherever that is.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use fusebox_breaker::Override;
use fusebox_policy::{
    Attempt, Budget, Bulkhead, Call, CallError, CallErrorKind, CallEvent, Fallback, Fingerprint,
    Hooks, Limits, LoopDetector, Policy, Priority, RateLimit, Spend, Stop,
};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bench::{Recorder, breaker, judge, ms, retry};

const ESTIMATE: Spend = Spend::new(100, 7);

fn fingerprint() -> Fingerprint {
    Fingerprint::of("search", "rust")
}

/// A policy with every stage, each of which makes the call wait, twice where it comes twice:
///
/// | ms | what happens |
/// |---|---|
/// | 0 | the rate limit has nothing left until 100 |
/// | 100 | the bulkhead's slot is taken until 130 |
/// | 130 | hook, then attempt 1 |
/// | 150 | it fails; 10 ms to the retry; another call takes the slot until 230 |
/// | 160 | the rate limit has nothing left until 200 |
/// | 200 | the slot is still taken |
/// | 230 | hook, then attempt 2 |
/// | 250 | it fails for good; the fallback takes 10 ms |
/// | 260 | the end |
struct World<F> {
    started: Instant,
    policy: Policy<F>,
    rate: RateLimit,
    pool: Bulkhead,
    budget: Budget,
    loops: LoopDetector,
    others: JoinSet<()>,
    others_inside: Arc<AtomicUsize>,
}

impl World<()> {
    async fn new() -> World<impl Fallback<u32, &'static str>> {
        let started = Instant::now();
        let rate = RateLimit::new("api", 10, ms(1_000))
            .with_burst(1)
            .with_max_wait(ms(1_000));
        let pool = Bulkhead::new("pool", 1).with_max_wait(ms(1_000));
        let budget = Budget::new(
            "agent",
            Limits::new()
                .with_tokens_per_window(10_000)
                .with_total_micro_dollars(10_000),
        );
        let loops = LoopDetector::new(9).with_max_repeats(1);
        let policy = Policy::builder(breaker(99))
            .budget(budget.clone())
            .loop_detector(loops.clone())
            .total_timeout(ms(900))
            .retry(retry(2).with_base(ms(10)))
            .rate_limit(rate.clone())
            .bulkhead(pool.clone())
            .attempt_timeout(ms(50))
            .fallback(|_: &CallError<&'static str>| async {
                sleep(ms(10)).await;
                Ok(Some(9))
            })
            .build();
        let first = Policy::builder(breaker(9)).rate_limit(rate.clone()).build();
        let made = first.call(&judge, &(), async |_| Ok(1)).await;
        assert!(made.is_ok());
        let mut world = World {
            started,
            policy,
            rate,
            pool,
            budget,
            loops,
            others: JoinSet::new(),
            others_inside: Arc::default(),
        };
        world.hold_the_slot(0, 130);
        world.hold_the_slot(140, 230);
        yield_now().await;
        world
    }
}

impl<F: Fallback<u32, &'static str>> World<F> {
    fn hold_the_slot(&mut self, from: u64, to: u64) {
        let policy = Policy::builder(breaker(9))
            .bulkhead(self.pool.clone())
            .build();
        let (started, inside) = (self.started, self.others_inside.clone());
        self.others.spawn(async move {
            sleep_until(started + ms(from)).await;
            let op = async |_| {
                inside.fetch_add(1, Ordering::Relaxed);
                sleep_until(started + ms(to)).await;
                inside.fetch_sub(1, Ordering::Relaxed);
                Ok(1)
            };
            assert!(policy.call(&judge, &(), op).await.is_ok());
        });
    }

    async fn call(&self, hooks: &impl Hooks) -> Result<(u32, u32), CallError<&'static str>> {
        let call = Call::new()
            .with_estimate(ESTIMATE)
            .with_fingerprint(fingerprint());
        let op = async |attempt: Attempt| {
            sleep(ms(20)).await;
            Err(["reset", "fatal"][attempt.number as usize - 1])
        };
        let answer = self.policy.call_with(call, &judge, hooks, op).await?;
        assert_eq!(
            answer.degraded.map(|degraded| degraded.cause),
            Some(CallErrorKind::Failed)
        );
        Ok((answer.value, answer.attempts))
    }

    /// Nothing is held any more, and what was used is what `attempts` started attempts use.
    async fn assert_all_back(mut self, attempts: u32, at: &str) {
        // Calls that were woken by a slot come to take it, in no time.
        for _ in 0..5 {
            yield_now().await;
        }
        let counts = self.policy.breaker().counts();
        assert_eq!(counts.in_flight(), 0, "permit, {at}");
        let others = self.others_inside.load(Ordering::Relaxed);
        assert_eq!(self.pool.in_use(), others, "slot, {at}");
        assert_eq!(self.budget.reserved(), Spend::ZERO, "reservation, {at}");
        let n = u64::from(attempts);
        let spent = Spend::new(n * ESTIMATE.tokens, n * ESTIMATE.micro_dollars);
        assert_eq!(self.budget.spent(), spent, "charge, {at}");
        assert_eq!(
            self.loops.enter(fingerprint()).is_ok(),
            attempts == 0,
            "loops, {at}"
        );
        assert_eq!(self.rate.queued(), 0, "the rate limit's queue, {at}");
        let due = self.started + ms(100) * (attempts + 1);
        let early = Policy::builder(breaker(9))
            .rate_limit(self.rate.clone().with_max_wait(ms(0)))
            .build()
            .call(&judge, &(), async |_| Ok(1))
            .await;
        let after = early.err().and_then(|error| error.retry_after());
        let left = due.saturating_duration_since(Instant::now());
        assert_eq!(after.unwrap_or_default(), left, "units, {at}");
        while let Some(other) = self.others.join_next().await {
            other.expect("the others go on");
        }
        assert_eq!((self.pool.in_use(), self.pool.queued()), (0, 0), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_stage_comes_in_its_place() {
    let world = World::new().await;
    let recorder = Recorder::default();
    let answer = world.call(&recorder).await;
    assert_eq!(answer, Ok((9, 2)));
    assert_eq!(
        recorder.lines(),
        [
            "throttled for 100ms",
            "queued",
            "hook 1",
            "started 1",
            "ended 1 after 20ms: Failure(Error)",
            "retrying 2 after 10ms",
            "throttled for 40ms",
            "queued",
            "hook 2",
            "started 2",
            "ended 2 after 20ms: Failure(Error)",
            "fell back: failed",
        ]
    );
    assert_eq!(world.started.elapsed(), ms(260));
    world.assert_all_back(2, "at the end").await;
}

/// Writes down like the recorder, and takes its time in the hook.
#[derive(Default)]
struct Slow(Recorder);

impl Hooks for Slow {
    async fn before_attempt(&self, attempt: &Attempt) -> Result<(), Stop> {
        self.0.before_attempt(attempt).await?;
        yield_now().await;
        Ok(())
    }

    fn event(&self, event: CallEvent) {
        self.0.event(event);
    }
}

/// Polls `future` at most `polls` times and drops it there.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_the_call_gives_everything_back() {
    let mut dropped_at = BTreeSet::new();
    for polls in 0.. {
        let world = World::new().await;
        let hooks = Slow::default();
        let result = drop_after(polls, world.call(&hooks)).await;
        let lines = hooks.0.lines();
        let last = lines.last().map_or("never polled", String::as_str);
        let started = lines.iter().filter(|line| line.starts_with("started"));
        let (attempts, at) = (started.count() as u32, format!("{polls} polls: {last}"));
        world.assert_all_back(attempts, &at).await;
        if result.is_some() {
            break;
        }
        dropped_at.insert(format!("{attempts} {last}"));
    }
    let every_await = [
        "0 never polled",
        "0 throttled for 100ms",
        "0 queued",
        "0 hook 1",
        "1 started 1",
        "1 retrying 2 after 10ms",
        "1 throttled for 40ms",
        "1 queued",
        "1 hook 2",
        "2 started 2",
        // In the fallback.
        "2 ended 2 after 20ms: Failure(Error)",
    ];
    assert_eq!(dropped_at, every_await.map(String::from).into());
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_millisecond_too() {
    for elapsed in 0..=260 {
        let world = World::new().await;
        let recorder = Recorder::default();
        let limit = world.started + ms(elapsed);
        let result = tokio::time::timeout_at(limit, world.call(&recorder)).await;
        assert_eq!(result.is_ok(), elapsed == 260);
        let lines = recorder.lines();
        let started = lines.iter().filter(|line| line.starts_with("started"));
        world
            .assert_all_back(started.count() as u32, &format!("after {elapsed} ms"))
            .await;
    }
}

/// A stage that turns the call away, in a policy with every other stage. What lies outside of it gets back what it gave,
/// what lies inside is not asked.
#[tokio::test(start_paused = true)]
async fn a_stage_that_refuses_asks_nothing_inside_and_frees_all_outside() {
    use CallErrorKind::{
        BudgetExceeded, BulkheadFull, LoopDetected, NotPermitted, RateLimited, TotalTimedOut,
    };
    let refusals = [
        LoopDetected,
        BudgetExceeded,
        TotalTimedOut,
        RateLimited,
        BulkheadFull,
        NotPermitted,
    ];
    for (refuses, kind) in refusals.into_iter().enumerate() {
        // Every stage from this one inwards would refuse; the outermost of them does.
        let would = |stage: usize| refuses <= stage;
        let rate = RateLimit::new("api", 10, ms(1_000)).with_burst(if would(3) { 1 } else { 2 });
        let pool = Bulkhead::new("pool", 1);
        let budget = Budget::new("agent", Limits::new().with_total_tokens(100));
        let loops = LoopDetector::new(1);
        let policy = Policy::builder(breaker(99))
            .loop_detector(loops.clone())
            .budget(budget.clone())
            .total_timeout(ms(if would(2) { 0 } else { 900 }))
            .retry(retry(3))
            .rate_limit(rate.clone())
            .bulkhead(pool.clone())
            .build();
        policy.breaker().force_open(Override::new("test", "test"));
        if would(0) {
            let mut visit = loops.enter(fingerprint()).expect("the first");
            visit.begin();
            visit.end(true);
        }
        let holder = Policy::builder(breaker(9))
            .rate_limit(rate.clone())
            .bulkhead(pool.clone())
            .build();
        let hold = holder.call(&judge, &(), async |_| {
            if would(4) {
                std::future::pending::<()>().await;
            }
            Ok(1)
        });
        let mut hold = pin!(hold);
        assert_eq!(drop_after(1, &mut hold).await.is_none(), would(4));
        let (units, slots) = (rate.available(), pool.in_use());
        let call = Call::new()
            .with_estimate(Spend::tokens(if would(1) { 101 } else { 100 }))
            .with_fingerprint(fingerprint());
        let recorder = Recorder::default();
        let result = policy
            .call_with(call, &judge, &recorder, async |_| Ok(1))
            .await;
        let error = result.expect_err("refused");
        assert_eq!((error.kind(), error.attempts()), (kind, 0));
        let events: &[&str] = if kind == NotPermitted {
            &["not permitted"]
        } else {
            &[]
        };
        assert_eq!(recorder.lines(), events, "never retried");
        assert_eq!(rate.available(), units, "{kind}");
        assert_eq!((pool.in_use(), pool.queued()), (slots, 0), "{kind}");
        assert_eq!(
            (budget.reserved(), budget.spent()),
            (Spend::ZERO, Spend::ZERO)
        );
        let counts = policy.breaker().counts();
        assert_eq!(
            (counts.admitted, counts.rejected),
            (0, u64::from(kind == NotPermitted))
        );
        assert_eq!(loops.enter(fingerprint()).is_ok(), !would(0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_fallback_lies_outside_of_the_total_time_and_the_attempts_time_inside_of_the_queues() {
    let world = World::new().await;
    let policy = Policy::builder(breaker(9))
        .total_timeout(ms(170))
        .rate_limit(world.rate.clone())
        .bulkhead(world.pool.clone())
        .attempt_timeout(ms(30))
        .fallback_timeout(ms(500))
        .fallback(|_: &CallError<&'static str>| async {
            sleep(ms(400)).await;
            Ok(Some(9))
        })
        .build();
    let answer = policy
        .call(&judge, &(), async |attempt: Attempt| {
            assert_eq!(attempt.deadline, Some(Instant::now() + ms(30)));
            std::future::pending().await
        })
        .await
        .expect("covered");
    assert_eq!(
        answer.degraded.expect("marked").cause,
        CallErrorKind::TimedOut
    );
    assert_eq!(world.started.elapsed(), ms(130 + 30 + 400));
}

#[tokio::test(start_paused = true)]
async fn at_every_moment_of_a_busy_policy_the_books_are_right() {
    let rate = RateLimit::new("api", 150, ms(1_000))
        .with_burst(10)
        .with_max_wait(ms(120));
    let pool = Bulkhead::new("pool", 3)
        .with_max_wait(ms(50))
        .with_max_queue(4)
        .with_tenant_weight("a", 2);
    let budget = Budget::new("all", Limits::new().with_tokens_per_window(40_000));
    let policy = Policy::builder(breaker(9_999))
        .budget(budget.clone())
        .total_timeout(ms(400))
        .retry(retry(3).with_base(ms(20)))
        .rate_limit(rate.clone())
        .bulkhead(pool.clone())
        .attempt_timeout(ms(60))
        .build();
    let (started, kinds) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(std::sync::Mutex::new(BTreeSet::new())),
    );
    let mut calls = JoinSet::new();
    for number in 0..600_u64 {
        let (policy, started, kinds) = (policy.clone(), started.clone(), kinds.clone());
        let budget = budget.clone();
        calls.spawn(async move {
            sleep(ms(number * 37 % 6_000)).await;
            let call = Call::new()
                .with_estimate(ESTIMATE)
                .with_weight(1 + (number % 3) as u32)
                .with_tenant(["a", "b", "c"][number as usize % 3])
                .with_priority(Priority::new((number % 2) as u8));
            let op = async |_| {
                started.fetch_add(1, Ordering::Relaxed);
                assert!(budget.reserved().tokens >= ESTIMATE.tokens);
                sleep(ms(number * 31 % 80)).await;
                if number % 3 == 0 { Err("reset") } else { Ok(1) }
            };
            // Given up at moments that fall into the queues, the operation and the waits.
            let patience = ms(20 + number * 13 % 300);
            let call = policy.call_with(call, &judge, &(), op);
            let kind = match tokio::time::timeout(patience, call).await {
                Ok(Ok(_)) => "answered".to_owned(),
                Ok(Err(error)) => error.kind().to_string(),
                Err(_) => "given up".to_owned(),
            };
            kinds.lock().expect("no panic").insert(kind);
        });
    }
    calls.join_all().await;
    let counts = policy.breaker().counts();
    assert_eq!(counts.in_flight(), 0);
    assert_eq!((pool.in_use(), pool.queued(), rate.queued()), (0, 0, 0));
    assert_eq!(budget.reserved(), Spend::ZERO);
    let started = started.load(Ordering::Relaxed) as u64;
    assert_eq!(budget.spent().tokens, started * ESTIMATE.tokens);
    let kinds = kinds.lock().expect("no panic").clone();
    for kind in [
        "answered",
        "given up",
        "attempt timed out",
        "bulkhead full",
        "over budget",
        "rate limited",
        "failed",
    ] {
        assert!(kinds.contains(kind), "{kind} of {kinds:?}");
    }
}
