//! A cascade is prevented: while one agent of four is out of resources, the others are left alone.

use std::time::Duration;

use fusebox::breaker::State;
use fusebox::orchestrator::EventKind;
use fusebox::{RunStatus, StepStatus, Workflow};

use crate::standard::{
    Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, Stage, TRIAGE, shielded, unshielded,
};
use crate::world::{World, fails, on_redis, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION];
const RUNS: u64 = 50;

/// Runs that must find the breaker open.
const REFUSED: u64 = 8;

/// What became of the runs.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    /// Cut at the supervisor after it was asked.
    failed: u64,
    /// Cut at the supervisor without asking it.
    refused: u64,
}

impl Tally {
    fn prevented(&self) -> u64 {
        self.failed + self.refused
    }
}

async fn cascade(world: &World, setup: Setup<'_>, workflow: &Workflow) {
    let mut stage = setup.build();
    let mut tally = Tally::default();
    let mut after_opening = 0;
    for request in 0..RUNS {
        let (asked, was_open) = (
            stage.asked(SUPERVISOR),
            stage.state(SUPERVISOR) == State::Open,
        );
        let report = stage.run_without_waiting(workflow, request).await;
        let asked = stage.asked(SUPERVISOR) - asked;
        tally.delivered += u64::from(report.status == RunStatus::Completed);
        assert_eq!(
            (stage.asked(DATA), stage.asked(OPTIMIZATION)),
            (tally.delivered, tally.delivered),
            "agents behind the supervisor were asked without its output: {report:?}"
        );
        match report.status {
            RunStatus::Completed => {}
            RunStatus::Waiting if asked > 0 => tally.failed += 1,
            RunStatus::Waiting => tally.refused += 1,
            _ => panic!("neither delivered nor cut at the supervisor: {report:?}"),
        }
        if report.status == RunStatus::Waiting {
            for behind in [DATA, OPTIMIZATION] {
                let step = report.step(behind).expect("a step");
                let found = (step.status, step.executions);
                assert_eq!(found, (StepStatus::Shielded, 0), "{report:?}");
            }
        }
        // What is refused stays so until the wait is over: the first runs after an opening ask nothing.
        if was_open && after_opening < REFUSED {
            after_opening += 1;
            assert_eq!(asked, 0, "an open breaker let a call through: {report:?}");
        } else if let (Some(time), true) = (world.time(), was_open) {
            time.pass(Duration::from_millis(700)).await;
        }
        let _ = stage.log.events();
    }
    check(&mut stage, &tally, after_opening);
}

fn check(stage: &mut Stage, tally: &Tally, after_opening: u64) {
    assert!(
        stage.log.moves(SUPERVISOR, State::Open) > 0,
        "the supervisor's breaker never opened"
    );
    assert_eq!(after_opening, REFUSED, "runs at an open breaker");
    assert_eq!(tally.delivered + tally.prevented(), RUNS);
    for behind in [DATA, OPTIMIZATION] {
        let shielded = stage.log.count(|kind| {
            matches!(kind, EventKind::StepShielded { step, by } if step == behind && by == SUPERVISOR)
        });
        assert_eq!(
            shielded as u64,
            tally.prevented(),
            "cascades prevented at {behind}"
        );
    }
    for healthy in [TRIAGE, DATA, OPTIMIZATION] {
        stage.assert_untouched(healthy);
        stage.assert_account(healthy);
    }
    assert_eq!(stage.asked(TRIAGE), RUNS);
    stage.assert_account(SUPERVISOR);
    let counts = stage.counts(SUPERVISOR);
    assert_eq!(counts.failed, stage.struck(SUPERVISOR), "{counts:?}");
    assert_eq!(counts.succeeded, tally.delivered, "{counts:?}");
}

fn faulty(world: &World) -> Setup<'_> {
    let setup = Setup::new(world, CHAIN).fault("supervisor=exhaustion:0.9");
    match world.time() {
        Some(_) => setup,
        // However slow the machine, it stays open until the scenario is over.
        None => setup.tune(SUPERVISOR, |preset| {
            preset.wait_duration_in_open = Duration::from_secs(3600);
            preset.max_wait_duration_in_open = Duration::from_secs(3600);
            preset.recovery_objective = Duration::from_secs(3 * 3600);
        }),
    }
}

#[test]
fn only_the_supervisor_opens_and_nobody_behind_it_is_asked_on_virtual_time() {
    on_virtual_time(async |world| cascade(world, faulty(world), &shielded(CHAIN)).await);
}

#[test]
fn only_the_supervisor_opens_and_nobody_behind_it_is_asked_on_redis() {
    on_redis(async |world| cascade(world, faulty(world), &shielded(CHAIN)).await);
}

#[test]
fn agents_behind_the_supervisor_are_asked_and_fail_without_protection() {
    fails("without its output", async |world| {
        cascade(world, faulty(world), &unshielded(CHAIN)).await;
    });
}

#[test]
fn the_supervisor_is_asked_for_ever_without_protection() {
    fails("never opened", async |world| {
        let setup = faulty(world).without_breaker(SUPERVISOR);
        cascade(world, setup, &shielded(CHAIN)).await;
    });
}
