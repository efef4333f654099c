//! What a failover promises, on virtual time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fusebox_agent::{
    Agent, AgentError, Context, Description, ErrorKind, Failover, Guard, Order, Piece, Probe,
    Reply, Task,
};
use fusebox_breaker::{Breaker, Config, State};
use fusebox_policy::{Budget, Limits, Meter, Policy, Spend, TokioClock};
use tokio::sync::mpsc;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

/// Answers with its name, or with the error it was told; each task costs 100 tokens, a probe 5.
struct Target {
    description: Description,
    error: Mutex<Option<AgentError>>,
    tasks: AtomicU32,
    probes: AtomicU32,
}

impl Target {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            description: Description::new(name, "test"),
            error: Mutex::default(),
            tasks: AtomicU32::new(0),
            probes: AtomicU32::new(0),
        })
    }

    fn failing(name: &str, error: AgentError) -> Arc<Self> {
        let target = Self::new(name);
        target.now(Some(error));
        target
    }

    fn now(&self, error: Option<AgentError>) {
        *self.error.lock().expect("no panic under it") = error;
    }

    fn answer(&self) -> Result<(), AgentError> {
        self.error
            .lock()
            .expect("no panic under it")
            .clone()
            .map_or(Ok(()), Err)
    }

    fn asked(&self) -> (u32, u32) {
        (
            self.tasks.load(Ordering::Relaxed),
            self.probes.load(Ordering::Relaxed),
        )
    }
}

#[async_trait]
impl Agent for Target {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: Task, cx: &Context) -> Result<Reply, AgentError> {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        cx.spend(Spend::tokens(100));
        cx.piece("part").await?;
        let name = self.description.name.as_str();
        self.answer().map(|()| Reply::new(name))
    }

    fn estimate(&self, _: &Task) -> Spend {
        Spend::tokens(100)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        Some(self)
    }
}

#[async_trait]
impl Probe for Target {
    fn cost(&self) -> Spend {
        Spend::tokens(10)
    }

    async fn probe(&self, cx: &Context) -> Result<(), AgentError> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        cx.spend(Spend::tokens(5));
        self.answer()
    }
}

/// Opens at the first failure, for a minute without jitter; two probes close it.
fn breaker(name: &str) -> Breaker {
    let config = Config::builder()
        .consecutive_failures(1)
        .without_count_window()
        .wait_duration_in_open(60 * SECOND)
        .jitter(fusebox_breaker::Jitter::None)
        .successes_to_close(2);
    Breaker::builder(name, config.build().expect("a valid configuration"))
        .clock(Arc::new(TokioClock::new()))
        .build()
}

fn guarded(target: &Arc<Target>) -> Guard {
    let policy = Policy::builder(breaker(&target.description.name)).attempt_timeout(5 * SECOND);
    Guard::new(Arc::clone(target) as Arc<dyn Agent>, policy.build())
}

fn failover(targets: &[&Arc<Target>]) -> Failover {
    Failover::new("model", targets.iter().map(|target| guarded(target)))
}

async fn ask(agent: &Failover) -> Result<String, AgentError> {
    let reply = agent
        .call(Task::new("hi"), &Context::new("run", "step"))
        .await?;
    Ok(reply.output.as_str().expect("a name").to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_next_target_answers_for_one_that_fails_and_is_asked_alone_while_it_is_open() {
    let (far, near) = (
        Target::failing("far", AgentError::api("500")),
        Target::new("near"),
    );
    let model = failover(&[&far, &near]);
    for _ in 0..10 {
        assert_eq!(ask(&model).await.expect("near answers"), "near");
    }
    assert_eq!((far.asked(), near.asked()), ((1, 0), (10, 0)));
    assert_eq!(model.targets()[0].breaker().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_charged_its_own_time_out_and_left() {
    struct Hangs(Description);
    #[async_trait]
    impl Agent for Hangs {
        fn describe(&self) -> &Description {
            &self.0
        }
        async fn call(&self, _: Task, _: &Context) -> Result<Reply, AgentError> {
            std::future::pending().await
        }
    }
    let hangs: Arc<dyn Agent> = Arc::new(Hangs(Description::new("far", "test")));
    let policy = Policy::builder(breaker("far")).attempt_timeout(5 * SECOND);
    let near = Target::new("near");
    let model = Failover::new("model", [Guard::new(hangs, policy.build()), guarded(&near)]);
    assert_eq!(ask(&model).await.expect("near answers"), "near");
    assert_eq!(model.targets()[0].breaker().counts().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_next_target_cannot_mend_is_told_at_once() {
    for (error, goes_on) in [
        (AgentError::invalid_input("no text"), false),
        (AgentError::content_filtered("no"), false),
        (AgentError::cancelled("gone"), false),
        (AgentError::context_too_long("9000 of 8192"), true),
        (AgentError::unauthorized("401"), true),
        (AgentError::invalid_output("no JSON"), true),
    ] {
        let kind = error.kind;
        let (far, near) = (Target::failing("far", error), Target::new("near"));
        let result = ask(&failover(&[&far, &near])).await;
        assert_eq!(result.is_ok(), goes_on, "{kind}");
        assert_eq!(near.asked().0, u32::from(goes_on), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn effects_that_may_have_happened_are_not_made_again_where_asked_not_to() {
    for (may_have_run, asked) in [(true, 0), (false, 1)] {
        let error = AgentError::api("503").may_have_run(may_have_run);
        let (far, near) = (Target::failing("far", error), Target::new("near"));
        let _ = ask(&failover(&[&far, &near]).only_if_not_run()).await;
        assert_eq!(near.asked().0, asked);
    }
}

#[tokio::test(start_paused = true)]
async fn with_every_target_open_the_error_says_when_the_first_is_due() {
    let far = Target::failing("far", AgentError::rate_limited(90 * SECOND));
    let near = Target::failing("near", AgentError::overloaded(70 * SECOND));
    let model = failover(&[&far, &near]);
    for calls in [1, 1] {
        let error = ask(&model).await.expect_err("both are away");
        assert_eq!(
            (error.kind, error.retryable),
            (ErrorKind::BreakerOpen, true)
        );
        assert_eq!(error.retry_after, Some(70 * SECOND));
        assert_eq!((far.asked().0, near.asked().0), (calls, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_around_it_opens_until_the_first_target_is_due() {
    let far = Target::failing("far", AgentError::api("500"));
    let near = Target::failing("near", AgentError::rate_limited(90 * SECOND));
    let policy = Policy::builder(breaker("model")).build();
    let parent = Guard::new(Arc::new(failover(&[&far, &near])), policy);
    let call = || parent.call(Task::new("hi"), Context::new("run", "step"), &());
    assert!(call().await.is_err());
    assert_eq!(parent.breaker().state(), State::Open);
    far.now(None);
    advance(59 * SECOND).await;
    assert_eq!(
        call().await.expect_err("open").kind(),
        ErrorKind::BreakerOpen
    );
    advance(SECOND).await;
    assert_eq!(call().await.expect("far is due").reply.output, "far");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_due_is_probed_cheaply_before_it_gets_a_task() {
    let (far, near) = (
        Target::failing("far", AgentError::api("500")),
        Target::new("near"),
    );
    let budget = Budget::new("probes", Limits::new().with_total_tokens(100));
    let model = failover(&[&far, &near]).with_probe_budget(budget.clone());
    assert_eq!(ask(&model).await.expect("near answers"), "near");
    advance(60 * SECOND).await;
    assert_eq!(ask(&model).await.expect("near answers"), "near");
    assert_eq!(far.asked(), (1, 1), "the probe failed, no task was risked");
    assert_eq!(budget.spent(), Spend::tokens(5));
    far.now(None);
    advance(120 * SECOND).await;
    assert_eq!(ask(&model).await.expect("far answers"), "far");
    assert_eq!(far.asked(), (2, 2));
    assert_eq!(model.targets()[0].breaker().state(), State::Closed);
    assert_eq!(ask(&model).await.expect("far answers"), "far");
    assert_eq!(far.asked(), (3, 2), "a closed breaker needs no probe");
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_for_probes_a_due_target_is_asked_only_for_want_of_others() {
    let (far, near) = (
        Target::failing("far", AgentError::api("500")),
        Target::new("near"),
    );
    let budget = Budget::new("probes", Limits::new().with_total_tokens(9));
    let model = failover(&[&far, &near]).with_probe_budget(budget);
    assert_eq!(ask(&model).await.expect("near answers"), "near");
    far.now(None);
    advance(60 * SECOND).await;
    assert_eq!(ask(&model).await.expect("near answers"), "near");
    assert_eq!(far.asked(), (1, 0));
    near.now(Some(AgentError::api("500")));
    assert_eq!(ask(&model).await.expect("far answers"), "far");
    assert_eq!(far.asked(), (2, 0), "the task was the probe");
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_by_weight() {
    let (a, b) = (Target::new("a"), Target::new("b"));
    let model = failover(&[&a, &b]).with_order(&Order::Weighted(vec![3, 1]));
    for _ in 0..40 {
        ask(&model).await.expect("an answer");
    }
    assert_eq!((a.asked().0, b.asked().0), (30, 10));
}

#[tokio::test(start_paused = true)]
async fn a_run_pays_once_for_each_target_that_was_asked() {
    let (far, near) = (
        Target::failing("far", AgentError::api("500")),
        Target::new("near"),
    );
    let run = Budget::new("run", Limits::new().with_total_tokens(1000));
    let policy = Policy::builder(breaker("model")).build();
    let parent = Guard::new(Arc::new(failover(&[&far, &near])), policy);
    let total = Meter::new();
    let cx = Context::new("run", "step")
        .with_budget(run.clone())
        .with_meter(total.clone());
    parent
        .call(Task::new("hi"), cx, &())
        .await
        .expect("near answers");
    assert_eq!(
        (run.spent(), run.reserved()),
        (Spend::tokens(200), Spend::ZERO)
    );
    assert_eq!(total.total(), Spend::tokens(200));
}

#[tokio::test(start_paused = true)]
async fn pieces_of_the_target_that_failed_are_void() {
    let (far, near) = (
        Target::failing("far", AgentError::api("500")),
        Target::new("near"),
    );
    let (sender, mut pieces) = mpsc::channel(8);
    let cx = Context::new("run", "step").with_pieces(sender);
    failover(&[&far, &near])
        .call(Task::new("hi"), &cx)
        .await
        .expect("near answers");
    drop(cx);
    let mut seen: Vec<Piece> = Vec::new();
    while let Some(piece) = pieces.recv().await {
        seen.push(piece);
    }
    assert_eq!(seen.len(), 2);
    assert!(seen[0].take < seen[1].take, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_ends_the_search() {
    let late = AgentError::api("500");
    let (far, near) = (Target::failing("far", late), Target::new("near"));
    let cx = Context::new("run", "step");
    cx.cancellation().cancel();
    let error = failover(&[&far, &near])
        .call(Task::new("hi"), &cx)
        .await
        .expect_err("cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert_eq!((far.asked().0, near.asked().0), (0, 0));
}
