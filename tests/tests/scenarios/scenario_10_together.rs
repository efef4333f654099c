//! Everything together: four chains with faults of every kind, five runs of each, beside each other in
//! one process; and in the end nothing of it is left there.

use std::sync::Arc;
use std::time::Duration;

use fusebox::RunStatus;
use fusebox::orchestrator::EngineBuilder;

use crate::standard::{
    AGGREGATION, COMPLETION, Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, Stage, TRIAGE, shielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

/// A chain, what is wrong in it, and the number of its first run.
type Mix = (Chain, &'static [&'static str], u64);

const MIXES: [Mix; 4] = [
    (
        &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION],
        &[
            "supervisor=exhaustion:0.4",
            "data=timeout:0.3",
            "optimization=api:0.2",
        ],
        0,
    ),
    (
        &[TRIAGE, SUPERVISOR, COMPLETION],
        &["supervisor=timeout:0.4"],
        1000,
    ),
    (
        &[TRIAGE, SUPERVISOR, DATA, AGGREGATION],
        &["data=corruption:0.4", "aggregation=dependency:0.3"],
        2000,
    ),
    (
        &[
            TRIAGE,
            SUPERVISOR,
            DATA,
            OPTIMIZATION,
            AGGREGATION,
            COMPLETION,
        ],
        &[
            "triage=api:0.2",
            "data=corruption:0.5",
            "optimization=exhaustion:0.6",
        ],
        3000,
    ),
];

/// Runs of each at once.
const BESIDE: u64 = 5;

fn stage(world: &World, (chain, faults, _): Mix, keep: Duration) -> Stage {
    let setup = Setup::new(world, chain);
    let setup = faults.iter().fold(setup, |setup, fault| setup.fault(fault));
    setup.build_with(|engine: EngineBuilder| engine.retention(keep))
}

fn check(stage: &mut Stage, chain: Chain, faults: &[&str]) {
    for agent in chain {
        stage.assert_account(agent);
        assert_eq!(
            stage.players[agent].asked.in_flight(),
            0,
            "calls of {agent} left over"
        );
        assert_eq!(stage.counts(agent).succeeded, BESIDE, "{agent}");
        if !faults.iter().any(|fault| fault.starts_with(agent)) {
            stage.assert_untouched(agent);
        }
    }
}

/// One round of all four; every run delivers.
async fn round(world: &World, keep: Duration, number: u64) {
    let mut stages = MIXES.map(|mix| stage(world, mix, keep));
    let workflows = MIXES.map(|(chain, _, _)| shielded(chain));
    let run = |place: usize| {
        let first = MIXES[place].2 + number * BESIDE;
        stages[place].run_all(&workflows[place], first..first + BESIDE)
    };
    let (a, b, c, d) = tokio::join!(run(0), run(1), run(2), run(3));
    for report in [a, b, c, d].iter().flatten() {
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    }
    for (stage, (chain, faults, _)) in stages.iter_mut().zip(MIXES) {
        check(stage, chain, faults);
    }
}

async fn together(world: &World, keep: Duration) {
    let tasks = tokio::runtime::Handle::current().metrics();
    if world.time().is_none() {
        // Pays for what a store of the real world sets up once.
        round(world, keep, 0).await;
    }
    let owners = || Arc::strong_count(&world.store);
    world
        .eventually("the end of the first round", async || owners() == 1)
        .await;
    let before = tasks.num_alive_tasks();
    round(world, keep, 1).await;

    let partitions = world.store.partitions("", None, 100).await;
    let left = partitions.expect("the store answers").items;
    assert!(left.is_empty(), "left in the store: {left:?}");
    // A task that was aborted ends in its own time.
    let is_gone = async || owners() == 1 && tasks.num_alive_tasks() <= before;
    world
        .eventually(
            "the end of every task and of every owner of the store",
            is_gone,
        )
        .await;
}

#[test]
fn nothing_is_left_of_four_mixed_loads_on_virtual_time() {
    on_virtual_time(async |world| together(world, Duration::ZERO).await);
}

#[test]
fn nothing_is_left_of_four_mixed_loads_on_redis() {
    on_redis(async |world| together(world, Duration::ZERO).await);
}

#[test]
fn journals_pile_up_without_protection() {
    const FOR_EVER: Duration = Duration::from_secs(1000 * 24 * 3600);
    fails("left in the store", async |world| {
        together(world, FOR_EVER).await
    });
}
