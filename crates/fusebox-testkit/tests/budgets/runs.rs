//! The budget of one run.

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::{
    Engine, EventKind, Resilience, RunOptions, RunStatus, StepStatus, load_events, load_run,
};
use fusebox_state::{Commit, Expect, Key, LeaseRequest, StateStore, WriteId};
use fusebox_testkit::{Operation, virtual_time};
use serde_json::{Value, json};

use super::*;

#[test]
fn no_more_calls_are_made_than_the_budget_has_and_a_refused_step_says_so() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let engine = world.engine().build().unwrap();
        let options = named("r").with_budget(tokens(350));
        let report = engine.run(&wide(10), options).await.unwrap();
        assert_eq!(report.status, RunStatus::Failed);
        assert_eq!((world.bill.calls(), spent(&report)), (3, 300));
        assert_eq!(count(&report, StepStatus::Succeeded), 3);
        let refused = report
            .steps
            .iter()
            .find(|step| step.status == StepStatus::Failed);
        let refused = refused.expect("seven did not fit");
        assert_eq!((refused.attempts, refused.executions), (0, 0));
        let reason = refused.reason.as_deref().unwrap();
        assert!(
            reason.contains("`run r` has 50 of 350 tokens left where 100 are needed")
                && reason.contains("waiting does not help"),
            "{reason}"
        );
        // Nobody waited for what could not come, and the agent is not charged for it.
        assert_eq!(time.elapsed(), Duration::from_secs(1));
        let counts = engine.breaker("model").unwrap().counts();
        assert_eq!((counts.total(), counts.failed), (3, 0));
    });
}

#[test]
fn a_step_waits_for_calls_in_flight_that_may_leave_enough() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 30);
        let engine = world.engine().build().unwrap();
        let options = named("r").with_budget(tokens(350));
        let report = engine.run(&wide(10), options).await.unwrap();
        // With 240 spent another 100 fit, with 270 they do not.
        assert_eq!((world.bill.calls(), spent(&report)), (9, 270));
        assert_eq!(count(&report, StepStatus::Failed), 1);
        let events = load_events(&*world.store, &"r".parse().unwrap())
            .await
            .unwrap();
        let waits = events
            .iter()
            .filter(|event| matches!(event.event, EventKind::StepWaiting { .. }));
        assert_eq!(
            waits.count(),
            0,
            "they are left as they are until there is room"
        );
    });
}

#[test]
fn no_retry_is_made_that_does_not_fit_and_each_attempt_counts() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let resilience = Resilience::default().with_max_attempts(10);
        let engine = Engine::builder(world.store.clone())
            .agent(world.model(true), resilience)
            .build()
            .unwrap();
        let options = named("r").with_budget(tokens(250)).without_waiting();
        let report = engine.run(&wide(1), options).await.unwrap();
        assert_eq!((world.bill.calls(), spent(&report)), (2, 200));
        assert_eq!(report.steps[0].executions, 2);
        let reason = report.steps[0].reason.as_deref().unwrap();
        assert!(
            reason.contains("503"),
            "its own last error says more: {reason}"
        );
    });
}

#[test]
fn a_step_that_does_not_fit_takes_its_fallback() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let free = agent_fn("free", |_, _| async {
            Ok(Reply::new(json!("good enough")))
        });
        let engine = world
            .engine()
            .fallback("model", Arc::new(free))
            .build()
            .unwrap();
        let options = named("r").with_budget(tokens(150));
        let report = engine.run(&chain(3), options).await.unwrap();
        assert_eq!(report.status, RunStatus::Degraded);
        assert_eq!(world.bill.calls(), 1);
        assert_eq!(count(&report, StepStatus::Degraded), 2);
    });
}

#[test]
fn a_resume_goes_on_with_what_is_left_and_may_be_given_more() {
    virtual_time(1, async |time| {
        let world = World::new(time, 40, 40);
        let engine = world.engine().build().unwrap();
        let (workflow, id) = (chain(4), "r".parse().unwrap());
        let options = named("r").with_budget(tokens(100));
        let report = engine.run(&workflow, options).await.unwrap();
        assert_eq!((report.status, spent(&report)), (RunStatus::Failed, 80));

        let engine = world.engine().build().unwrap();
        let report = engine
            .resume(&workflow, &id, RunOptions::default())
            .await
            .unwrap();
        assert_eq!((report.status, world.bill.calls()), (RunStatus::Failed, 2));

        let options = RunOptions::default().with_budget(tokens(160));
        let report = engine.resume(&workflow, &id, options).await.unwrap();
        assert_eq!((report.status, spent(&report)), (RunStatus::Completed, 160));
        let record = load_run(&*world.store, &id).await.unwrap().unwrap();
        assert_eq!(record.head.spending, report.spending);
        assert_eq!(record.head.spending.unwrap().budget, tokens(160));
    });
}

/// The negative control of the one above: what was spent is taken off the record.
#[test]
fn without_what_is_on_record_a_resume_spends_the_budget_again() {
    virtual_time(1, async |time| {
        let world = World::new(time, 40, 40);
        let engine = world.engine().build().unwrap();
        let (workflow, id) = (chain(4), "r".parse().unwrap());
        let options = named("r").with_budget(tokens(100));
        engine.run(&workflow, options).await.unwrap();
        forget(&world.store).await;
        time.pass(LEASE).await;
        let report = engine
            .resume(&workflow, &id, RunOptions::default())
            .await
            .unwrap();
        assert_eq!(
            (report.status, world.bill.tokens()),
            (RunStatus::Completed, 160)
        );
    });
}

async fn forget(store: &Store) {
    let (partition, key) = ("run.r".parse().unwrap(), Key::try_new("head").unwrap());
    let entry = store
        .get(&partition, &key)
        .await
        .unwrap()
        .expect("the run's head");
    let mut head: Value = serde_json::from_slice(&entry.value).unwrap();
    head["spending"]["spent"] = json!({ "tokens": 0, "micro_dollars": 0 });
    let request = LeaseRequest::new("test", Duration::from_secs(1));
    let fusebox_state::AcquireOutcome::Acquired { fence, .. } =
        store.acquire(&partition, request).await.unwrap()
    else {
        panic!("nobody has it");
    };
    let commit = Commit::new(WriteId::random())
        .put(key, Expect::Any, head.to_string().into_bytes())
        .fenced(fence.clone());
    let outcome = store.commit(&partition, commit).await.unwrap();
    assert!(matches!(
        outcome,
        fusebox_state::CommitOutcome::Applied { .. }
    ));
    let _ = store.release(&partition, &fence).await.unwrap();
}

#[test]
fn a_run_without_a_budget_has_nothing_on_record_and_asks_the_store_for_nothing_more() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let budget = fusebox_orchestrator::TenantBudget::new(tokens(1));
        let engine = world
            .engine()
            .tenant_budget("other", budget)
            .build()
            .unwrap();
        let options = named("r").with_tenant("acme");
        let report = engine.run(&chain(2), options).await.unwrap();
        assert_eq!(
            (report.status, report.spending),
            (RunStatus::Completed, None)
        );
        let record = load_run(&*world.store, &"r".parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(record.head.spending, None);
        assert_eq!(world.store.calls(Operation::Now), 0);
        // The first step with the run, each further one with the end of the one before, and the end.
        assert_eq!(world.store.calls(Operation::Commit), 3);
    });
}
