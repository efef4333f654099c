//! What calls cost, and answers that come in pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use fusebox_agent::{
    Agent, AgentError, Context, Description, ErrorKind, Guard, GuardError, Piece, Reply, Task,
};
use fusebox_breaker::{Breaker, Config};
use fusebox_policy::{Budget, CallError, Limits, Meter, Policy, Retry, Spend};
use tokio::sync::mpsc;

/// Costs at most 100 tokens. Its first attempt costs 30 and fails, its second costs 40.
struct Model {
    description: Description,
    calls: AtomicU32,
}

#[async_trait]
impl Agent for Model {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: Task, cx: &Context) -> Result<Reply, AgentError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        cx.piece("hel").await?;
        if cx.attempt() == 1 {
            cx.spend(Spend::tokens(30));
            return Err(AgentError::api("broke off"));
        }
        cx.piece("lo").await?;
        cx.spend(Spend::tokens(40));
        Ok(Reply::new("hello"))
    }

    fn estimate(&self, _: &Task) -> Spend {
        Spend::tokens(100)
    }
}

fn model() -> Arc<Model> {
    Arc::new(Model {
        description: Description::new("model", "test"),
        calls: AtomicU32::new(0),
    })
}

fn guard(model: &Arc<Model>, budget: &Budget) -> Guard {
    let config = Config::builder().build().expect("the default is valid");
    let policy = Policy::builder(Breaker::new("model", config))
        .budget(budget.clone())
        .retry(Retry::new(2))
        .build();
    Guard::new(Arc::clone(model) as Arc<dyn Agent>, policy)
}

fn budget(name: &str, tokens: u64) -> Budget {
    Budget::new(name, Limits::new().with_total_tokens(tokens))
}

#[tokio::test(start_paused = true)]
async fn every_budget_is_settled_to_what_each_attempt_said_it_cost() {
    let (agent, run) = (budget("agent", 1000), budget("run", 1000));
    let total = Meter::new();
    let cx = Context::new("run", "step")
        .with_budget(run.clone())
        .with_meter(total.clone());
    let answer = guard(&model(), &agent).call(Task::new(1), cx, &()).await;
    assert_eq!(answer.expect("the second attempt answers").attempts, 2);
    for spent in [agent.spent(), run.spent(), total.total()] {
        assert_eq!(spent, Spend::tokens(70));
    }
    assert_eq!(run.reserved(), Spend::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_afford_the_estimate_calls_nobody() {
    let model = model();
    let cx = Context::new("run", "step").with_budget(budget("run", 99));
    let guard = guard(&model, &budget("agent", 1000));
    let error = guard
        .call(Task::new(1), cx, &())
        .await
        .expect_err("99 < 100");
    assert!(matches!(error.cause(), CallError::BudgetExceeded { .. }));
    assert_eq!(model.calls.load(Ordering::Relaxed), 0);
    // The control: with one token more it is called.
    let cx = Context::new("run", "step").with_budget(budget("run", 100));
    assert!(guard.call(Task::new(1), cx, &()).await.is_err());
    assert_eq!(
        model.calls.load(Ordering::Relaxed),
        1,
        "no room for a retry"
    );
}

#[tokio::test(start_paused = true)]
async fn pieces_say_which_attempt_they_belong_to() {
    let (sender, mut pieces) = mpsc::channel(10);
    let cx = Context::new("run", "step").with_pieces(sender);
    let guard = guard(&model(), &budget("agent", 1000));
    guard.call(Task::new(1), cx, &()).await.expect("an answer");
    let mut seen = Vec::new();
    while let Ok(piece) = pieces.try_recv() {
        seen.push(piece);
    }
    let expected = [(1, "hel"), (2, "hel"), (2, "lo")];
    assert_eq!(
        seen,
        expected.map(|(attempt, text)| Piece::new(attempt, text))
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_is_no_failure_of_the_agent() {
    let (sender, pieces) = mpsc::channel(10);
    drop(pieces);
    let cx = Context::new("run", "step").with_pieces(sender);
    let guard = guard(&model(), &budget("agent", 1000));
    let error = guard
        .call(Task::new(1), cx, &())
        .await
        .expect_err("nobody reads");
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Cancelled, 1));
    let counts = guard.breaker().counts();
    assert_eq!((counts.ignored, counts.failed), (1, 0));
}

/// Answers for the model, at a cost that it estimates at `estimate` and that is 7 tokens.
struct StandIn {
    description: Description,
    estimate: Spend,
}

#[async_trait]
impl Agent for StandIn {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.spend(Spend::tokens(7));
        Ok(Reply::new("in its place"))
    }

    fn estimate(&self, _: &Task) -> Spend {
        self.estimate
    }
}

async fn asked_for_a_stand_in(estimate: Spend, run: &Budget) -> Result<Reply, GuardError> {
    let stand_in = StandIn {
        description: Description::new("stand-in", "test"),
        estimate,
    };
    let guard = guard(&model(), &budget("empty", 0)).with_fallback(Arc::new(stand_in));
    let cx = Context::new("run", "step").with_budget(run.clone());
    let answer = guard.call(Task::default(), cx, &()).await;
    answer.map(|answer| answer.reply)
}

#[tokio::test(start_paused = true)]
async fn what_a_fallback_costs_is_charged_to_the_budgets_of_the_call() {
    let run = budget("run", 100);
    let reply = asked_for_a_stand_in(Spend::tokens(10), &run).await;
    assert_eq!(reply.expect("it fits").output, "in its place");
    assert_eq!(
        (run.spent(), run.reserved()),
        (Spend::tokens(7), Spend::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_refuses_a_fallback_that_costs_too_much_but_not_one_that_may_be_free() {
    let run = budget("run", 5);
    let refused = asked_for_a_stand_in(Spend::tokens(10), &run).await;
    let refused = refused.expect_err("it costs more than is left");
    let fallback = refused.fallback_error().expect("it was to be asked");
    assert_eq!(fallback.kind, ErrorKind::ResourceExhausted);
    assert!(!refused.may_have_run() && run.spent() == Spend::ZERO);
    assert!(asked_for_a_stand_in(Spend::LEAST, &run).await.is_ok());
    assert_eq!(run.spent(), Spend::tokens(7));
}
