//! Many workflows at once over the same breakers: none is lost or doubled, each pool holds what it may,
//! and what one agent does is charged to no other.

use std::collections::BTreeSet;
use std::time::Duration;

use fusebox::RunStatus;
use fusebox::orchestrator::list_runs;

use crate::standard::{
    Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, Stage, TRIAGE, answer, shielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION];

/// Workflows at once.
const LOADS: [u64; 4] = [6, 10, 25, 50];

/// What each pool holds.
const POOLS: [(&str, usize); 4] = [(TRIAGE, 5), (SUPERVISOR, 4), (DATA, 5), (OPTIMIZATION, 3)];

/// How long a good answer takes, in the time of the presets.
const WORK: Duration = Duration::from_millis(200);

/// What every run must keep on virtual time, whatever the load: many rounds of the faults it may meet.
const OBJECTIVE: Duration = Duration::from_secs(900);

async fn concurrency(world: &World, load: u64, setup: Setup<'_>) {
    let stage = setup
        .fault("supervisor=exhaustion:0.2")
        .fault("data=timeout:0.3")
        .fault("optimization=api:0.1")
        .takes(world.paced(WORK))
        .build();
    let reports = stage.run_all(&shielded(CHAIN), 0..load).await;

    for (agent, limit) in POOLS {
        let most = stage.players[agent].asked.most_at_once();
        assert!(
            most <= limit,
            "{most} calls of {agent} at once, its pool holds {limit}"
        );
        assert_eq!(
            stage.players[agent].asked.in_flight(),
            0,
            "calls of {agent} left over"
        );
    }
    let delivered = reports
        .iter()
        .filter(|it| it.status == RunStatus::Completed);
    assert_eq!(delivered.count() as u64, load, "{reports:?}");
    assert_none_lost_or_doubled(&stage, load).await;
    for agent in CHAIN {
        stage.assert_account(agent);
        let counts = stage.counts(agent);
        assert_eq!(
            (counts.succeeded, counts.failed + counts.timed_out),
            (load, stage.struck(agent)),
            "{agent} is charged with its own faults and no others: {counts:?}"
        );
    }
    assert_eq!(stage.struck(TRIAGE), 0);
    if world.time().is_some() {
        let slowest = reports.iter().map(|report| report.duration_ms).max();
        let limit = OBJECTIVE.as_millis() as u64;
        assert!(slowest <= Some(limit), "{slowest:?} of {limit} ms");
    }
}

async fn assert_none_lost_or_doubled(stage: &Stage, load: u64) {
    let listed = list_runs(&*stage.store).await.expect("the store answers");
    let names: BTreeSet<&str> = listed.iter().map(|head| head.run.as_str()).collect();
    let wanted: BTreeSet<String> = (0..load).map(|request| format!("r{request}")).collect();
    assert_eq!(listed.len() as u64, load, "{names:?}");
    assert!(
        wanted.iter().all(|run| names.contains(run.as_str())),
        "{names:?}"
    );
    let mut called = [0; CHAIN.len()];
    for request in 0..load {
        let journal = stage.journal(request).await;
        for (agent, called) in CHAIN.iter().zip(&mut called) {
            journal.assert_output(agent, &answer(CHAIN, agent, request));
            *called += u64::from(journal.record().steps[*agent].executions);
        }
    }
    for (agent, called) in CHAIN.iter().zip(called) {
        assert_eq!(
            called,
            stage.asked(agent),
            "calls of {agent} in the journals"
        );
    }
    // One answer per run, and none to a run that is not its own.
    for agent in CHAIN {
        let keys = stage.players[agent].asked.idempotency_keys();
        let different: BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len() as u64, load, "idempotency keys of {agent}");
    }
}

fn pooled(world: &World) -> Setup<'_> {
    let setup = Setup::new(world, CHAIN);
    POOLS
        .iter()
        .fold(setup, |setup, (agent, limit)| setup.bulkhead(agent, *limit))
}

#[test]
fn no_run_is_lost_and_each_pool_holds_what_it_may_on_virtual_time() {
    on_virtual_time(async |world| {
        let load = LOADS[(world.seed % 4) as usize];
        concurrency(world, load, pooled(world)).await;
    });
}

#[test]
fn no_run_is_lost_and_each_pool_holds_what_it_may_on_redis() {
    for load in LOADS {
        on_redis(async |world| concurrency(world, load, pooled(world)).await);
    }
}

#[test]
fn calls_pile_up_without_protection() {
    fails("calls of triage at once", async |world| {
        concurrency(world, 25, Setup::new(world, CHAIN)).await;
    });
}
