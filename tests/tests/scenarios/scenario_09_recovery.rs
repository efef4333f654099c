//! What fails recovers: within the targets, with results that join their runs as if nothing had
//! happened, and with every breaker closed again in the end.

use std::time::Duration;

use fusebox::breaker::State;
use fusebox::{OnUnavailable, Workflow};
use tokio::time::Instant;

use crate::standard::{
    AGGREGATION, COMPLETION, Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, TRIAGE, answer, build,
    graph, shielded, step,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

/// A chain, who is faulty in it, and the target of its runs.
struct Pattern {
    chain: Chain,
    faulty: &'static str,
    fault: &'static str,
    target: Duration,
    /// The number of its first run.
    first: u64,
}

const PATTERNS: [Pattern; 3] = [
    Pattern {
        chain: &[TRIAGE, SUPERVISOR, COMPLETION],
        faulty: SUPERVISOR,
        fault: "supervisor=timeout:0.4",
        target: Duration::from_secs(15),
        first: 0,
    },
    Pattern {
        chain: &[TRIAGE, SUPERVISOR, DATA, AGGREGATION],
        faulty: DATA,
        fault: "data=dependency:0.3",
        target: Duration::from_secs(45),
        first: 1000,
    },
    Pattern {
        chain: &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION, COMPLETION],
        faulty: OPTIMIZATION,
        fault: "optimization=exhaustion:0.2",
        target: Duration::from_secs(90),
        first: 2000,
    },
];

/// Runs beside each other, at the same breakers.
const WAVE: u64 = 2;

/// Runs within which everybody has surely recovered.
const AT_MOST: u64 = 300;

/// Plays a pattern until its fault is over and every breaker is closed; how many runs got their result
/// although it failed at first.
async fn recovers(world: &World, pattern: &Pattern, setup: Setup<'_>, workflow: &Workflow) -> u64 {
    let Pattern {
        chain,
        faulty,
        target,
        first,
        ..
    } = *pattern;
    let outage = target / 3;
    let fault = match world.time() {
        Some(_) => format!("{},until={}ms", pattern.fault, outage.as_millis()),
        None => pattern.fault.to_owned(),
    };
    let mut stage = setup.fault(&fault).build();
    let begun = Instant::now();
    let last = chain.last().expect("a chain has agents");
    let (mut request, mut recovered) = (first, 0);
    loop {
        let reports = stage.run_all(workflow, request..request + WAVE).await;
        for (request, report) in (request..).zip(&reports) {
            let journal = stage.journal(request).await;
            journal
                .assert_completed()
                .assert_output(faulty, &answer(chain, faulty, request))
                .assert_output(last, &answer(chain, last, request));
            recovered += u64::from(journal.record().steps[faulty].executions > 1);
            if world.time().is_some() {
                let (took, limit) = (report.duration_ms, target.as_millis() as u64);
                assert!(
                    took <= limit,
                    "{took} ms, the target is {limit} ms\n{journal}"
                );
            }
        }
        let _ = stage.log.events();
        request += WAVE;
        let is_healthy = chain
            .iter()
            .all(|agent| stage.state(agent) == State::Closed);
        let is_over = match world.time() {
            Some(_) => begun.elapsed() >= outage,
            None => recovered > 0,
        };
        if is_healthy && is_over {
            break;
        }
        assert!(request - first < AT_MOST, "{faulty} never recovered");
        if let Some(time) = world.time() {
            time.pass(Duration::from_secs(4)).await;
        }
    }
    for agent in chain {
        stage.assert_account(agent);
        if *agent != faulty {
            stage.assert_untouched(agent);
        }
    }
    assert_eq!(stage.counts(faulty).succeeded, request - first);
    recovered
}

/// A time-out must leave time for another try before the target.
fn patient<'a>(world: &'a World, pattern: &Pattern) -> Setup<'a> {
    let limit = world.paced(Duration::from_secs(2));
    Setup::new(world, pattern.chain).tune(SUPERVISOR, |preset| preset.attempt_timeout = limit)
}

async fn all_recover(world: &World) -> [u64; 3] {
    let mut recovered = [0; 3];
    for (pattern, recovered) in PATTERNS.iter().zip(&mut recovered) {
        let workflow = shielded(pattern.chain);
        *recovered = recovers(world, pattern, patient(world, pattern), &workflow).await;
    }
    recovered
}

#[test]
fn results_that_failed_at_first_join_their_runs_within_the_target_on_virtual_time() {
    let recovered = on_virtual_time(async |world| all_recover(world).await);
    for (place, pattern) in PATTERNS.iter().enumerate() {
        let runs: u64 = recovered.iter().map(|of| of[place]).sum();
        assert!(
            runs > 200,
            "{}: only {runs} runs had to recover",
            pattern.fault
        );
    }
}

#[test]
fn results_that_failed_at_first_join_their_runs_on_redis() {
    on_redis(async |world| all_recover(world).await);
}

#[test]
fn runs_fail_with_the_first_failure_without_protection() {
    fails("not completed", async |world| {
        for pattern in &PATTERNS {
            let workflow = build(graph(pattern.chain, |chain, agent| {
                step(chain, agent).on_unavailable(OnUnavailable::Fail)
            }));
            let setup = patient(world, pattern).tune_all(|preset| preset.max_attempts = 1);
            recovers(world, pattern, setup, &workflow).await;
        }
    });
}
