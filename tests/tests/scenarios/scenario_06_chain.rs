//! The whole chain without a fault: the order of the steps and the way of the data, proven by outputs
//! that depend on everything before them.

use fusebox::orchestrator::EventKind;
use fusebox::{OnUnavailable, Step, Workflow};

use crate::standard::{
    AGGREGATION, COMPLETION, Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, TRIAGE, answer,
    assert_order, build, graph, shielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[
    TRIAGE,
    SUPERVISOR,
    DATA,
    OPTIMIZATION,
    AGGREGATION,
    COMPLETION,
];
const RUNS: u64 = 2;

async fn chain(world: &World, workflow: &Workflow) {
    let mut stage = Setup::new(world, CHAIN).build();
    for request in 0..RUNS {
        stage.run(workflow, request).await;
        let journal = stage.journal(request).await;
        journal.assert_completed();
        for agent in CHAIN {
            let output = answer(CHAIN, agent, request);
            journal
                .assert_executions(agent, 1)
                .assert_output(agent, &output);
        }
        assert_order(CHAIN, &journal);
        let started = journal
            .events()
            .iter()
            .filter_map(|record| match &record.event {
                EventKind::StepStarted { step, .. } => Some(step.as_str()),
                _ => None,
            });
        assert_eq!(started.collect::<Vec<_>>(), CHAIN, "{journal}");
    }
    for agent in CHAIN {
        assert_eq!(stage.asked(agent), RUNS);
        stage.assert_untouched(agent);
        stage.assert_account(agent);
    }
}

#[test]
fn every_output_depends_on_all_before_it_on_virtual_time() {
    on_virtual_time(async |world| chain(world, &shielded(CHAIN)).await);
}

#[test]
fn every_output_depends_on_all_before_it_on_redis() {
    on_redis(async |world| chain(world, &shielded(CHAIN)).await);
}

#[test]
fn steps_start_with_nothing_in_hand_without_protection() {
    let loose = build(graph(CHAIN, |_, agent| {
        Step::new(agent).on_unavailable(OnUnavailable::Fail)
    }));
    fails("not completed", async |world| chain(world, &loose).await);
}
