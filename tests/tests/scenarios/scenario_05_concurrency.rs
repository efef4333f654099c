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

/// What the slowest of fifty runs keeps, in the time of the presets: a few rounds of time-outs of 15 s and
/// of open waits of up to 15 s, one after the other.
const LATENCY: Duration = Duration::from_secs(240);

/// Runs all at once, each to its end; how long the slowest took.
async fn concurrency(world: &World, load: u64, setup: Setup<'_>) -> Duration {
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
    let slowest = reports.iter().map(|report| report.duration_ms).max();
    Duration::from_millis(slowest.expect("there are runs"))
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

fn pooled(world: &World, limited: bool) -> Setup<'_> {
    let setup = Setup::new(world, CHAIN);
    let pools = POOLS.into_iter();
    pools.fold(setup, |setup, (agent, limit)| {
        setup.bulkhead(agent, limited.then_some(limit))
    })
}

#[test]
fn no_run_is_lost_and_each_pool_holds_what_it_may_on_virtual_time() {
    let took = on_virtual_time(async |world| {
        // The small loads more often, since they leave more to chance.
        let load = [6, 10, 6, 25, 10, 6, 25, 50][(world.seed % 8) as usize];
        (load, concurrency(world, load, pooled(world, true)).await)
    });
    let longest = took.iter().map(|(_, took)| *took).max();
    assert!(longest <= Some(LATENCY), "{longest:?} for the slowest run");
    let usual = |load| {
        let mut of: Vec<_> = took
            .iter()
            .filter(|it| it.0 == load)
            .map(|it| it.1)
            .collect();
        of.sort_unstable();
        of[of.len() / 2].as_secs_f64()
    };
    let goodput = LOADS.map(|load| load as f64 / usual(load));
    assert!(
        goodput[3] > goodput[0],
        "more load gets less done: {goodput:?} runs per second"
    );
}

#[test]
fn no_run_is_lost_and_each_pool_holds_what_it_may_on_redis() {
    for load in LOADS {
        on_redis(async |world| concurrency(world, load, pooled(world, true)).await);
    }
}

#[test]
fn calls_pile_up_without_protection() {
    fails("calls of triage at once", async |world| {
        concurrency(world, 25, pooled(world, false)).await;
    });
}
