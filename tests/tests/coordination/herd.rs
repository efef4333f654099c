//! Ten thousand runs wait for one agent. It comes back, and is not run over.

use std::sync::Arc;
use std::time::Duration;

use fusebox::breaker::State;
use fusebox::orchestrator::EventKind;
use fusebox::{Engine, Resilience, RunId, RunOptions, RunStatus, Step, Workflow};
use fusebox_testkit::{VirtualTime, virtual_time};
use tokio::task::JoinSet;

use crate::frail::Frail;

const RUNS: usize = 10_000;
const OUTAGE: Duration = Duration::from_secs(60);

/// What came of it.
struct Told {
    openings_after: usize,
}

async fn herd(time: VirtualTime, runs: usize, paced: bool) {
    let agent = Frail::new("model");
    let breaker = fusebox::breaker::Config::builder()
        .wait_duration_in_open(Duration::from_secs(5))
        .max_wait_duration_in_open(Duration::from_secs(20))
        .probe_deadline(Duration::from_secs(5))
        .build()
        .unwrap();
    let mut resilience = Resilience::default()
        .with_breaker(breaker)
        .with_max_attempts(1);
    resilience.max_concurrent_calls = None;
    let engine = Engine::builder(Arc::new(time.memory_store()))
        .agent(agent.clone(), resilience)
        .seed(time.seed())
        .paced(paced)
        .build()
        .unwrap();
    let workflow = Workflow::builder("ask")
        .step(Step::new("model"))
        .objective(Duration::from_secs(3600))
        .build()
        .unwrap();
    let mut events = engine.subscribe();
    let listened = agent.clone();
    let told = tokio::spawn(async move {
        let mut told = Told { openings_after: 0 };
        while let Ok(event) = events.recv().await {
            if let EventKind::BreakerMoved { to, .. } = event.kind
                && to == State::Open.to_string()
                && listened.is_well()
            {
                told.openings_after += 1;
            }
        }
        told
    });

    let mut waiting = JoinSet::new();
    let run = |number: usize| {
        let (engine, workflow) = (engine.clone(), workflow.clone());
        let id = format!("run-{number}").parse::<RunId>().unwrap();
        async move {
            engine
                .run(&workflow, RunOptions::default().with_id(id))
                .await
        }
    };
    // The first ones find out; the others come to an open breaker.
    let mut number = 0;
    while engine.breaker("model").unwrap().state() == State::Closed {
        waiting.spawn(run(number));
        number += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for number in number..runs {
        waiting.spawn(run(number));
    }
    tokio::time::sleep(OUTAGE).await;
    if paced {
        assert!(
            engine.waiting()["model"] >= runs - 1,
            "{:?}",
            engine.waiting()
        );
    }
    agent.comes_back();
    let mut completed = 0;
    while let Some(report) = waiting.join_next().await {
        let report = report.unwrap().unwrap();
        assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
        completed += 1;
    }
    assert_eq!(engine.waiting(), [].into());
    drop(engine);
    let (told, seen) = (told.await.unwrap(), agent.seen());
    println!(
        "seed {}: {completed} runs; {} calls in vain, at most {} at once; drained in {:.1} s, at most {} at once, {} overran it, opened again {} times",
        time.seed(),
        seen.in_vain,
        seen.most_in_vain,
        seen.drained().as_secs_f64(),
        seen.burst,
        seen.overrun,
        told.openings_after,
    );
    assert_eq!(completed, runs);
    assert_eq!(seen.most_in_vain, 1, "more than the configured probes");
    assert!(
        seen.in_vain < 40,
        "{} calls during the outage",
        seen.in_vain
    );
    assert!(
        seen.ahead <= 2,
        "{} calls went ahead of the answers",
        seen.ahead
    );
    assert_eq!(
        (seen.overrun, told.openings_after),
        (0, 0),
        "it was run over"
    );
    assert_eq!(seen.after, runs, "each run is served by one call");
    assert!(seen.burst <= 64, "{} calls at once", seen.burst);
}

#[test]
fn ten_thousand_waiting_runs_come_back_in_growing_cohorts() {
    virtual_time(1, async |time| herd(time, RUNS, true).await);
}

#[test]
fn a_hundred_waiting_runs_come_back_in_growing_cohorts_at_every_seed() {
    for seed in 0..20 {
        virtual_time(seed, async |time| herd(time, 100, true).await);
    }
}

#[test]
#[should_panic(expected = "went ahead of the answers")]
fn waiting_runs_run_the_agent_over_without_protection() {
    virtual_time(1, async |time| herd(time, 300, false).await);
}
