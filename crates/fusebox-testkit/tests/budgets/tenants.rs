//! The budget that all runs of a tenant share, in whatever process.

use fusebox_orchestrator::{Period, RunStatus, StepStatus, TenantBudget, tenant_spending};
use fusebox_testkit::{Operation, StoreFault, virtual_time};

use super::*;

fn of(id: &str) -> RunOptions {
    named(id).with_tenant("acme")
}

async fn counted(world: &World) -> (u64, u64) {
    let sum = tenant_spending(&*world.store, "acme").await.unwrap();
    let sum = sum.expect("calls counted in it");
    (sum.counted.tokens, sum.in_flight.tokens)
}

/// How many tokens are billed when two processes run eight steps each at once for one tenant.
async fn billed_to_two(world: &World, budget: Option<TenantBudget>) -> u64 {
    let engines = [(); 2].map(|()| {
        let engine = world.engine();
        let engine = match budget {
            Some(budget) => engine.tenant_budget("acme", budget),
            None => engine,
        };
        engine.build().unwrap()
    });
    let workflow = wide(8);
    let (one, other) = tokio::join!(
        engines[0].run(&workflow, of("one").without_waiting()),
        engines[1].run(&workflow, of("other").without_waiting()),
    );
    one.unwrap();
    other.unwrap();
    world.bill.tokens()
}

#[test]
fn two_processes_together_set_aside_no_more_than_the_tenant_has() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let billed = billed_to_two(&world, Some(TenantBudget::new(tokens(1_050)))).await;
        assert_eq!(billed, 1_000);
        assert_eq!(counted(&world).await, (1_000, 0));
    });
}

#[test]
fn what_is_spent_beyond_is_what_calls_in_flight_cost_above_their_estimates() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 130);
        let billed = billed_to_two(&world, Some(TenantBudget::new(tokens(1_050)))).await;
        // Ten were let go at once, each 30 above its estimate.
        assert_eq!(billed, 1_300);
        assert_eq!(
            counted(&world).await,
            (1_300, 0),
            "and it is charged in full"
        );
        let engine = world.engine();
        let budget = TenantBudget::new(tokens(1_050));
        let engine = engine.tenant_budget("acme", budget).build().unwrap();
        let report = engine.run(&wide(1), of("third")).await.unwrap();
        assert_eq!(report.status, RunStatus::Failed);
        assert_eq!(world.bill.tokens(), 1_300);
    });
}

#[test]
fn without_the_budget_two_processes_spend_what_they_like() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        assert_eq!(billed_to_two(&world, None).await, 1_600);
    });
}

#[test]
fn a_step_whose_tenant_has_nothing_left_fails_at_once_and_says_so() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let budget = TenantBudget::new(tokens(150));
        let engine = world
            .engine()
            .tenant_budget("acme", budget)
            .build()
            .unwrap();
        let report = engine.run(&chain(3), of("r")).await.unwrap();
        assert_eq!((report.status, world.bill.calls()), (RunStatus::Failed, 1));
        let refused = &report.steps[1];
        let reason = refused.reason.as_deref().unwrap();
        assert!(
            reason.contains("budget `tenant acme` has 50 of 150 tokens left where 100 are needed"),
            "{reason}"
        );
        assert_eq!(
            (refused.status, refused.executions),
            (StepStatus::Failed, 0)
        );
        assert_eq!(engine.breaker("model").unwrap().counts().total(), 1);
        assert_eq!(time.elapsed(), Duration::from_secs(1));
        assert_eq!(counted(&world).await, (100, 0));
    });
}

#[test]
fn a_new_day_brings_a_new_budget_and_a_run_that_waits_says_when() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let budget = TenantBudget::new(tokens(200)).per(Period::Day);
        let engine = world
            .engine()
            .tenant_budget("acme", budget)
            .build()
            .unwrap();
        let mut workflow = Workflow::builder("chain").objective(Duration::from_secs(48 * 3600));
        for n in 0..3 {
            let step = Step::new(format!("s{n}")).with_agent("model");
            let before = (0..n).map(|n| format!("s{n}"));
            workflow = workflow.step(step.requires(before));
        }
        let workflow = workflow.build().unwrap();
        let report = engine
            .run(&workflow, of("r").without_waiting())
            .await
            .unwrap();
        assert_eq!((report.status, world.bill.calls()), (RunStatus::Waiting, 2));
        let reason = report.reason.as_deref().unwrap();
        assert!(reason.contains("a new period begins in 20h"), "{reason}");
        // Virtual time begins at 03:33:20 UTC.
        let midnight = Duration::from_secs(24 * 3600 - (3 * 3600 + 33 * 60 + 20));
        let due = Duration::from_millis(report.due_in_ms.expect("it is known"));
        assert!(due <= midnight - Duration::from_secs(2), "{due:?}");
        assert!(due >= midnight - Duration::from_secs(3), "{due:?}");

        time.pass(LEASE).await;
        let id = "r".parse().unwrap();
        let report = engine
            .resume(&workflow, &id, RunOptions::default())
            .await
            .unwrap();
        assert_eq!(report.status, RunStatus::Completed);
        assert!(time.elapsed() >= midnight, "{:?}", time.elapsed());
        assert_eq!(counted(&world).await, (100, 0));
    });
}

#[test]
fn a_write_whose_answer_is_lost_counts_once() {
    let undisturbed = virtual_time(1, async |time| chain_of_two(time, None).await);
    for lost in 1..undisturbed {
        virtual_time(lost, async |time| {
            chain_of_two(time, Some(lost)).await;
        });
    }
}

/// Answers how many commits there were.
async fn chain_of_two(time: VirtualTime, lost: Option<u64>) -> u64 {
    let world = World::new(time, 100, 70);
    if let Some(lost) = lost {
        let fault = StoreFault::unavailable_after();
        world
            .store
            .inject(fault.on(Operation::Commit).skipping(lost).times(1));
    }
    let budget = TenantBudget::new(tokens(1_000));
    let engine = world
        .engine()
        .tenant_budget("acme", budget)
        .build()
        .unwrap();
    let report = engine.run(&chain(2), of("r")).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed);
    assert_eq!(counted(&world).await, (140, 0), "{lost:?}");
    world.store.assert_struck();
    world.store.calls(Operation::Commit)
}

#[test]
fn while_the_store_cannot_be_asked_nothing_is_called_and_the_step_waits() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let budget = TenantBudget::new(tokens(1_000));
        let engine = world
            .engine()
            .tenant_budget("acme", budget)
            .build()
            .unwrap();
        // Only what a tenant's budget asks for.
        let away = StoreFault::unavailable_before().on(Operation::Now);
        world.store.inject(away.until(Duration::from_secs(60)));
        let report = engine
            .run(&chain(1), of("r").without_waiting())
            .await
            .unwrap();
        assert_eq!((report.status, world.bill.calls()), (RunStatus::Waiting, 0));
        let reason = report.steps[0].reason.as_deref().unwrap();
        assert!(
            reason.contains("budget of its tenant `acme` could not be asked"),
            "{reason}"
        );

        let id = "r".parse().unwrap();
        let begun = time.elapsed();
        let report = engine.resume(&chain(1), &id, RunOptions::default()).await;
        let report = match report {
            // It has to be asked before the run is taken over, too.
            Err(error) => {
                assert!(
                    error.to_string().contains("journal could not be read"),
                    "{error}"
                );
                time.pass(Duration::from_secs(60)).await;
                engine
                    .resume(&chain(1), &id, RunOptions::default())
                    .await
                    .unwrap()
            }
            Ok(report) => report,
        };
        assert!(time.elapsed() >= begun);
        assert_eq!(
            (report.status, world.bill.calls()),
            (RunStatus::Completed, 1)
        );
        assert_eq!(counted(&world).await, (100, 0));
    });
}

#[test]
fn a_run_that_is_over_leaves_only_the_sum_and_is_not_counted_again_when_it_is_resumed() {
    virtual_time(1, async |time| {
        let world = World::new(time, 100, 100);
        let budget = TenantBudget::new(tokens(150));
        let engine = world
            .engine()
            .tenant_budget("acme", budget)
            .build()
            .unwrap();
        let report = engine.run(&chain(2), of("r")).await.unwrap();
        assert_eq!(report.status, RunStatus::Failed);
        let tenants = fusebox_state::StateStore::partitions(&*world.store, "tenant.", None, 10);
        let partition = tenants.await.unwrap().items.remove(0);
        let keys = fusebox_state::StateStore::scan(&*world.store, &partition, "", None, 10);
        assert_eq!(keys.await.unwrap().items.len(), 1);

        let budget = TenantBudget::new(tokens(200));
        let engine = world
            .engine()
            .tenant_budget("acme", budget)
            .build()
            .unwrap();
        let id = "r".parse().unwrap();
        let report = engine
            .resume(&chain(2), &id, RunOptions::default())
            .await
            .unwrap();
        assert_eq!(report.status, RunStatus::Completed);
        assert_eq!(
            (world.bill.tokens(), counted(&world).await),
            (200, (200, 0))
        );
    });
}

/// On threads of their own the processes meet between reading and writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_write_at_the_same_time_lose_nothing_and_exceed_nothing() {
    let (store, bill) = (Arc::new(MemoryStore::new()), Arc::new(Bill::default()));
    let budget = TenantBudget::new(tokens(1_050));
    let mut processes = tokio::task::JoinSet::new();
    for process in 0..4 {
        let model = Model {
            description: Description::new("model", "test"),
            takes: Duration::ZERO,
            estimate: 10,
            cost: 10,
            fails: false,
            bill: Arc::clone(&bill),
        };
        let engine = Engine::builder(store.clone()).tenant_budget("acme", budget);
        let engine = engine.agent(model, Resilience::default()).build().unwrap();
        processes.spawn(async move {
            for run in 0..8 {
                let options = of(&format!("r{process}-{run}")).without_waiting();
                engine.run(&wide(8), options).await.unwrap();
            }
        });
    }
    while let Some(ended) = processes.join_next().await {
        ended.unwrap();
    }
    // 256 steps wanted 2,560. Those that were refused while a call in flight held the rest have not come back.
    let sum = tenant_spending(&*store, "acme").await.unwrap().unwrap();
    assert_eq!(sum.counted.tokens, bill.tokens());
    assert_eq!((bill.tokens(), sum.in_flight.tokens), (1_050, 0));
}
