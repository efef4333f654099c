//! How long an agent was away is measured from the opening of its breaker to the success that closes
//! it, and held against its objective; met or not, both figures are told.

use std::collections::BTreeSet;
use std::time::Duration;

use fusebox::breaker::State;
use fusebox::orchestrator::{Event, EventKind, RtoVerdict};
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use crate::standard::{Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, TRIAGE, answer, shielded};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION];

/// Runs that wait for optimization together: more than the successes that close its breaker.
const RUNS: u64 = 8;

/// From the first opening of optimization's breaker to its closing, by the clock of the one who listens.
async fn watch(mut events: Receiver<Event>) -> Duration {
    let mut opened = None;
    loop {
        let event = events
            .recv()
            .await
            .expect("the engine is there, and nothing is missed");
        match event.kind {
            EventKind::BreakerMoved { breaker, to, .. } if breaker == OPTIMIZATION => {
                match to.as_str() {
                    "open" => _ = opened.get_or_insert_with(Instant::now),
                    "closed" => break opened.expect("it opens before it closes").elapsed(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

async fn recovery(world: &World, setup: Setup<'_>) -> RtoVerdict {
    // From one failed probe to several, by seed.
    let attempts = 8 + (world.seed % 12) as usize;
    let mut stage = setup.outage(OPTIMIZATION, attempts).build();
    let watched = tokio::spawn(watch(stage.engine.subscribe()));
    stage.run_all(&shielded(CHAIN), 0..RUNS).await;
    assert!(
        stage.log.moves(OPTIMIZATION, State::Open) > 0,
        "optimization's breaker never opened"
    );
    assert_eq!(stage.state(OPTIMIZATION), State::Closed, "it is back");
    let away = watched.await.expect("it opened and closed");

    let (mut told, mut verdicts) = (BTreeSet::new(), Vec::new());
    for request in 0..RUNS {
        let journal = stage.journal(request).await;
        journal
            .assert_completed()
            .assert_output(OPTIMIZATION, &answer(CHAIN, OPTIMIZATION, request));
        for record in journal.events() {
            if let EventKind::Recovered {
                agent,
                took_ms,
                objective_ms,
                verdict,
                ..
            } = &record.event
            {
                assert_eq!(agent, OPTIMIZATION, "nobody else was away\n{journal}");
                told.insert((*took_ms, *objective_ms));
                verdicts.push(*verdict);
            }
        }
    }
    let told: Vec<_> = told.into_iter().collect();
    let [(took_ms, Some(objective_ms))] = told[..] else {
        panic!("one recovery against one objective, told alike to all that saw it: {told:?}");
    };
    let preset = fusebox::presets::OPTIMIZATION.scaled(world.pace());
    assert_eq!(
        u128::from(objective_ms),
        preset.recovery_objective.as_millis()
    );
    let verdict = match took_ms > objective_ms {
        true => RtoVerdict::Breached,
        false => RtoVerdict::Met,
    };
    assert!(
        verdicts.iter().all(|told| *told == verdict),
        "{took_ms} ms: {verdicts:?}"
    );
    if world.time().is_some() {
        assert_eq!(
            u128::from(took_ms),
            away.as_millis(),
            "from opening to closing"
        );
    }
    stage.assert_account(OPTIMIZATION);
    for healthy in [TRIAGE, SUPERVISOR, DATA] {
        stage.assert_untouched(healthy);
    }
    verdict
}

#[test]
fn an_outage_is_measured_and_held_against_its_objective_on_virtual_time() {
    let verdicts = on_virtual_time(async |world| recovery(world, Setup::new(world, CHAIN)).await);
    for verdict in [RtoVerdict::Met, RtoVerdict::Breached] {
        assert!(verdicts.contains(&verdict), "no outage was {verdict:?}");
    }
}

#[test]
fn an_outage_is_measured_and_held_against_its_objective_on_redis() {
    on_redis(async |world| recovery(world, Setup::new(world, CHAIN)).await);
}

#[test]
fn an_outage_goes_unnoticed_without_protection() {
    fails("never opened", async |world| {
        recovery(
            world,
            Setup::new(world, CHAIN).without_breaker(OPTIMIZATION),
        )
        .await
    });
}
