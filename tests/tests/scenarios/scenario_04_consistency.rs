//! State stays whole while a breaker opens: what an agent corrupts never gets into a journal, every call
//! is accounted for, and the breaker moves only as it may.

use fusebox::breaker::State;

use crate::standard::{
    AGGREGATION, Chain, DATA, SUPERVISOR, Setup, TRIAGE, answer, assert_legal, moves, shielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, AGGREGATION];

/// At least so many runs, and as many more as it takes data to open and close.
const RUNS: u64 = 10;

/// Runs within which it surely has.
const AT_MOST: u64 = 200;

async fn consistency(world: &World, setup: Setup<'_>) {
    let mut stage = setup
        .fault("data=corruption:0.4")
        .tune(DATA, |preset| preset.consecutive_failures = 2)
        .build();
    let workflow = shielded(CHAIN);
    let mut request = 0;
    while request < RUNS || stage.log.moves(DATA, State::Closed) == 0 {
        assert!(
            request < AT_MOST,
            "data never opened and closed, seed {}",
            world.seed
        );
        stage.run(&workflow, request).await;
        let journal = stage.journal(request).await;
        for agent in CHAIN {
            journal.assert_output(agent, &answer(CHAIN, agent, request));
        }
        journal.assert_completed();
        request += 1;
    }
    let told: Vec<_> = stage
        .log
        .events()
        .iter()
        .map(|event| event.kind.clone())
        .collect();
    let moves = moves(&told, DATA);
    assert_legal(&moves);
    assert_eq!(moves[0].0, "closed", "{moves:?}");
    assert_eq!(
        moves.last().expect("it moved").1,
        stage.state(DATA).to_string()
    );

    stage.assert_account(DATA);
    let counts = stage.counts(DATA);
    let ended = counts.succeeded + counts.failed + counts.timed_out + counts.ignored;
    assert_eq!(
        counts.admitted,
        ended + counts.cancelled + counts.in_flight(),
        "{counts:?}"
    );
    assert_eq!(
        (counts.succeeded, counts.failed),
        (request, stage.asked(DATA) - request),
        "every reply is either whole and kept or corrupt and charged: {counts:?}"
    );
    for healthy in [TRIAGE, SUPERVISOR, AGGREGATION] {
        assert_eq!(stage.asked(healthy), request, "calls of {healthy}");
        stage.assert_untouched(healthy);
    }
}

#[test]
fn nothing_corrupt_is_kept_and_every_call_is_accounted_for_on_virtual_time() {
    on_virtual_time(async |world| consistency(world, Setup::new(world, CHAIN)).await);
}

#[test]
fn nothing_corrupt_is_kept_and_every_call_is_accounted_for_on_redis() {
    on_redis(async |world| consistency(world, Setup::new(world, CHAIN)).await);
}

#[test]
fn corrupt_output_is_kept_without_protection() {
    fails("the output of step `data` is", async |world| {
        consistency(world, Setup::new(world, CHAIN).without_schemas()).await;
    });
}
