//! Dependants of an open breaker wait for it unasked, however far behind it they are, and come back in
//! the order of the graph.

use fusebox::Workflow;
use fusebox::breaker::State;
use fusebox::orchestrator::EventKind;

use crate::standard::{
    Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, TRIAGE, answer, assert_order, shielded,
    unshielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION];

/// Runs over the same breakers, `BESIDE` of them beside each other.
const RUNS: u64 = 12;
const BESIDE: u64 = 6;

async fn coordination(world: &World, setup: Setup<'_>, workflow: &Workflow) {
    let mut stage = setup.fault("supervisor=api:0.7").build();
    let mut journals = Vec::new();
    for first in (0..RUNS).step_by(BESIDE as usize) {
        stage.run_all(workflow, first..first + BESIDE).await;
        let _ = stage.log.events();
        for request in first..first + BESIDE {
            journals.push((request, stage.journal(request).await));
        }
    }
    for (_, journal) in &journals {
        assert_order(CHAIN, journal);
    }
    let mut waited = 0;
    for (request, journal) in journals {
        journal
            .assert_completed()
            .assert_output(OPTIMIZATION, &answer(CHAIN, OPTIMIZATION, request));
        let has_waited = journal.events().iter().any(|record| {
            matches!(&record.event, EventKind::StepWaiting { step, .. } if step == SUPERVISOR)
        });
        if has_waited {
            waited += 1;
            journal
                .assert_shielded_by(DATA, SUPERVISOR)
                .assert_shielded_by(OPTIMIZATION, SUPERVISOR);
        }
        for behind in [DATA, OPTIMIZATION] {
            journal.assert_executions(behind, 1);
        }
    }
    assert!(waited > 0, "no run ever waited for the supervisor");
    assert!(
        stage.log.moves(SUPERVISOR, State::Open) > 0,
        "the supervisor's breaker never opened"
    );
    // One call per run and agent: nobody was asked only to see how it is.
    for healthy in [TRIAGE, DATA, OPTIMIZATION] {
        assert_eq!(stage.asked(healthy), RUNS, "calls of {healthy}");
        stage.assert_untouched(healthy);
        stage.assert_account(healthy);
    }
    stage.assert_account(SUPERVISOR);
    let counts = stage.counts(SUPERVISOR);
    assert_eq!(
        (counts.succeeded, counts.failed),
        (RUNS, stage.struck(SUPERVISOR)),
        "{counts:?} at seed {}",
        world.seed
    );
}

#[test]
fn dependants_wait_unasked_and_return_in_order_on_virtual_time() {
    on_virtual_time(async |world| {
        coordination(world, Setup::new(world, CHAIN), &shielded(CHAIN)).await;
    });
}

#[test]
fn dependants_wait_unasked_and_return_in_order_on_redis() {
    on_redis(async |world| {
        coordination(world, Setup::new(world, CHAIN), &shielded(CHAIN)).await;
    });
}

#[test]
fn dependants_start_with_nothing_in_hand_without_protection() {
    fails("without the output of supervisor", async |world| {
        coordination(world, Setup::new(world, CHAIN), &unshielded(CHAIN)).await;
    });
}

#[test]
fn the_supervisor_gets_no_rest_without_protection() {
    fails("never opened", async |world| {
        let setup = Setup::new(world, CHAIN).without_breaker(SUPERVISOR);
        coordination(world, setup, &shielded(CHAIN)).await;
    });
}
