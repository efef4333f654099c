//! A breaker opens while runs are in flight: each of them ends as it says it would, and keeps what it had.

use std::ops::Range;
use std::time::Duration;

use fusebox::breaker::State;
use fusebox::orchestrator::EventKind;
use fusebox::{OnUnavailable, RunStatus, StepStatus, Workflow};
use fusebox_testkit::Journal;

use crate::standard::{
    Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, Stage, TRIAGE, answer, build, graph, step,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION];

/// Runs in flight at once.
const WAVE: u64 = 24;

/// Calls of data in flight at once; the other runs queue behind them.
const SLOTS: usize = 4;

/// Waves within which data has surely opened.
const WAVES: u64 = 5;

/// What a run does without data, and how it ends then.
fn policy(request: u64) -> (OnUnavailable, RunStatus) {
    match request % 3 {
        0 => (OnUnavailable::Wait, RunStatus::Waiting),
        1 => (OnUnavailable::Fail, RunStatus::Failed),
        _ => (OnUnavailable::Skip, RunStatus::Degraded),
    }
}

fn workflow(policy: OnUnavailable) -> Workflow {
    let graph = graph(CHAIN, |chain, agent| match agent {
        DATA => step(chain, agent).on_unavailable(policy),
        _ => step(chain, agent),
    });
    match policy {
        // What a run can do without is no output that it owes.
        OnUnavailable::Skip => build(graph.outputs([SUPERVISOR])),
        _ => build(graph),
    }
}

/// What became of data over all runs.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    timed_out: u64,
    /// Refused by the breaker after having queued for it.
    rejected: u64,
    /// Not even tried, since the breaker was seen to be open.
    gated: u64,
    /// Runs that were in flight when the breaker opened.
    met_the_opening: u64,
}

impl Tally {
    fn take(&mut self, journal: &Journal) {
        let data = &journal.record().steps[DATA];
        let reason = data.reason.as_deref().unwrap_or_default();
        match (data.status.has_output(), data.executions) {
            (true, _) => self.delivered += 1,
            (false, 0) if reason.starts_with("breaker of agent") => self.gated += 1,
            (false, 0) => self.rejected += 1,
            (false, _) => self.timed_out += 1,
        }
        let opens = |kind: &EventKind| {
            matches!(kind, EventKind::BreakerMoved { breaker, to, .. }
                if breaker == DATA && to == "open")
        };
        let met = journal.events().iter().any(|record| opens(&record.event));
        self.met_the_opening += u64::from(met);
    }
}

async fn mid_workflow(world: &World, setup: Setup<'_>) {
    let mut stage = setup
        .fault("data=timeout:0.6")
        .bulkhead(DATA, Some(SLOTS))
        .tune(DATA, |preset| preset.max_attempts = 1)
        .build();
    let mut tally = Tally::default();
    let mut requests = 0..0;
    while requests.end < WAVE * WAVES && stage.log.moves(DATA, State::Open) == 0 {
        requests = requests.end..requests.end + WAVE;
        wave(&stage, requests.clone()).await;
        for request in requests.clone() {
            let journal = stage.journal(request).await;
            tally.take(&journal);
            assert_truth(&journal, request);
        }
    }
    assert!(
        tally.met_the_opening >= 2,
        "the breaker of data never opened while runs were in flight: {tally:?}"
    );
    let counts = stage.counts(DATA);
    stage.assert_account(DATA);
    assert_eq!(
        (counts.succeeded, counts.timed_out, counts.rejected),
        (tally.delivered, tally.timed_out, tally.rejected),
        "{counts:?}, {tally:?}"
    );
    assert_eq!(counts.timed_out, stage.struck(DATA));
    if world.time().is_some() {
        assert_eq!(tally.gated, 0, "all of a wave are past the gate at once");
    }
    for (healthy, calls) in [
        (TRIAGE, requests.end),
        (SUPERVISOR, requests.end),
        (OPTIMIZATION, tally.delivered),
    ] {
        assert_eq!(stage.asked(healthy), calls, "calls of {healthy}");
        stage.assert_untouched(healthy);
        stage.assert_account(healthy);
    }
}

async fn wave(stage: &Stage, requests: Range<u64>) {
    let runs = requests.map(|request| {
        let (engine, workflow) = (stage.engine.clone(), workflow(policy(request).0));
        let options = stage.options(request).without_waiting();
        tokio::spawn(async move { engine.run(&workflow, options).await })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.expect("no panic in a run").expect("it starts");
    }
}

/// Asserts that a run says how it ended, and that it kept what it had.
fn assert_truth(journal: &Journal, request: u64) {
    let delivered = journal.record().steps[DATA].status.has_output();
    for agent in [TRIAGE, SUPERVISOR] {
        journal.assert_output(agent, &answer(CHAIN, agent, request));
    }
    match delivered {
        true => {
            let output = answer(CHAIN, OPTIMIZATION, request);
            journal
                .assert_completed()
                .assert_output(OPTIMIZATION, &output);
        }
        false => {
            journal
                .assert_status(policy(request).1)
                .assert_step(OPTIMIZATION, StepStatus::Shielded)
                .assert_shielded_by(OPTIMIZATION, DATA);
        }
    }
}

/// Opens at three failures in ten, in whatever order the answers come, while others are in the queue; and
/// stays open until the scenario is over, however slow the machine.
fn touchy(world: &World) -> Setup<'_> {
    const LONG: Duration = Duration::from_secs(3600);
    Setup::new(world, CHAIN).tune(DATA, |preset| {
        preset.window.minimum_number_of_calls = 4;
        preset.window.failure_rate_threshold = 0.3;
        preset.wait_duration_in_open = LONG;
        preset.max_wait_duration_in_open = LONG;
        preset.recovery_objective = 3 * LONG;
    })
}

#[test]
fn runs_in_flight_end_as_they_said_and_keep_what_they_had_on_virtual_time() {
    on_virtual_time(async |world| mid_workflow(world, touchy(world)).await);
}

#[test]
fn runs_in_flight_end_as_they_said_and_keep_what_they_had_on_redis() {
    on_redis(async |world| mid_workflow(world, touchy(world)).await);
}

#[test]
fn data_goes_on_timing_out_for_everybody_without_protection() {
    fails("never opened while runs were in flight", async |world| {
        mid_workflow(world, touchy(world).without_breaker(DATA)).await;
    });
}
