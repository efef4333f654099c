//! The desk against the real model, its tool server and its service, each line harmed in turn.

use std::time::Duration;

use fusebox::breaker::State;
use fusebox::{RunOptions, RunStatus, StepStatus};
use support_triage::services::{ORDERS, Service, TOOLS};
use support_triage::{Desk, DeskSetup, Lines, Settings, Target};

use crate::{LONG, model, name, patient, program};

/// A desk with everything it needs.
pub(crate) struct Office {
    pub(crate) desk: Desk,
    pub(crate) lines: Lines,
    pub(crate) targets: Vec<Target>,
    _services: [Service; 2],
}

/// Phases of a model that are over soon, so that a stall does not take long.
pub(crate) fn settings() -> Settings {
    Settings {
        model: patient().with_idle(Duration::from_secs(3)).with_total(LONG),
        attempt: LONG,
        data: Duration::from_secs(5),
        open: Duration::from_secs(1),
        objective: LONG * 2,
    }
}

impl Office {
    pub(crate) async fn open(settings: Settings, with_standby: bool) -> Self {
        let tools = Service::start(program(), TOOLS).await.expect("it starts");
        let orders = Service::start(program(), ORDERS).await.expect("it starts");
        let (address, path) = model();
        let lines = Lines::start(&address, &tools.address, &orders.address).await;
        let lines = lines.expect("ports are free");
        let target = |breaker: &str, url: String| Target {
            model: name(),
            base_url: format!("{url}{path}"),
            key: None,
            breaker: settings.breaker(breaker).expect("the settings are good"),
        };
        let mut targets = vec![target("model", lines.model.url())];
        if with_standby {
            targets.push(target("standby", lines.standby.url()));
        }
        let desk = Desk::new(DeskSetup {
            targets: targets.clone(),
            tools: format!("{}/mcp", lines.tools.url()),
            orders: format!("{}/orders", lines.orders.url()),
            store: fusebox::state::open("memory:")
                .await
                .expect("memory is there"),
            settings,
        });
        Self {
            desk: desk.expect("it is well described"),
            lines,
            targets,
            _services: [tools, orders],
        }
    }

    fn inject(&self, fault: &str) {
        self.lines.inject(fault).expect("there is such a fault");
    }
}

const TICKET: &str = "I was charged twice and the shop is down.";

#[tokio::test]
async fn a_ticket_goes_all_the_way() {
    let office = Office::open(settings(), true).await;
    let report = office
        .desk
        .handle(TICKET, RunOptions::default())
        .await
        .expect("it starts");
    assert_eq!(
        (report.status, &report.reason),
        (RunStatus::Completed, &None)
    );
    let output = office
        .desk
        .output(&report, "completion")
        .await
        .expect("it is kept");
    assert!(["payments", "platform", "support"].contains(&output["to"].as_str().expect("text")));
    assert!(
        ["billing", "outage", "question"].contains(&output["category"].as_str().expect("text"))
    );
    assert!(output["urgent"].is_boolean() && !output["answer"].as_str().expect("text").is_empty());
    assert_eq!(output["note"], "complete");
    let aggregation = office
        .desk
        .output(&report, "aggregation")
        .await
        .expect("it is kept");
    assert_eq!(aggregation["orders"][0]["customer"], "c-17");
    assert!(aggregation["runbook"].is_array());
    assert_eq!(
        (
            office.lines.model.requests(),
            office.lines.standby.requests()
        ),
        (3, 0)
    );
}

#[tokio::test]
async fn whatever_harms_the_first_model_the_second_answers() {
    for fault in [
        "429:30",
        "503",
        "529",
        "hang-up",
        "stall-first",
        "stall",
        "reset",
        "cut",
        "truncate",
    ] {
        let office = Office::open(settings(), true).await;
        office.inject(&format!("model={fault}"));
        let report = office
            .desk
            .handle(TICKET, RunOptions::default())
            .await
            .expect("it starts");
        let (model, standby) = (&office.lines.model, &office.lines.standby);
        println!(
            "{fault:<10} run {}; model {} requests, breaker {}; standby {} requests",
            report.status,
            model.requests(),
            office.targets[0].breaker.state(),
            standby.requests(),
        );
        assert_eq!(
            report.status,
            RunStatus::Completed,
            "{fault}: {:?}",
            report.reason
        );
        assert!(model.requests() >= 1 && standby.requests() >= 1, "{fault}");
        assert!(
            report.steps.iter().all(|step| step.executions == 1),
            "{fault}: nothing was tried twice"
        );
        let counts = office.targets[0].breaker.counts();
        assert!(counts.failed + counts.timed_out >= 1, "{fault}: {counts:?}");
    }
}

#[tokio::test]
async fn without_a_second_model_a_run_waits_for_the_hint_and_completes() {
    let office = Office::open(settings(), false).await;
    office.inject("model=429:2x1");
    let report = office
        .desk
        .handle(TICKET, RunOptions::default())
        .await
        .expect("it starts");
    assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
    assert!(report.duration_ms >= 2000, "{} ms", report.duration_ms);
    assert_eq!(office.targets[0].breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_run_that_must_not_wait_says_why_and_when() {
    let office = Office::open(settings(), true).await;
    office.inject("model=429:30");
    office.inject("standby=503");
    let options = RunOptions::default().without_waiting();
    let report = office
        .desk
        .handle(TICKET, options)
        .await
        .expect("it starts");
    assert_eq!(report.status, RunStatus::Waiting);
    let reason = report.reason.expect("it says why");
    assert!(reason.starts_with("triage: "), "{reason}");
    assert!(report.due_in_ms.is_some());
    let shielded = report
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Shielded);
    assert_eq!(shielded.count(), 6);
    assert_eq!(
        office.lines.tools.requests() + office.lines.orders.requests(),
        0
    );
}

#[tokio::test]
async fn without_its_data_a_run_is_degraded_and_says_which() {
    for (fault, step) in [
        ("tools=503", "runbook"),
        ("tools=hang-up", "runbook"),
        ("tools=cut", "runbook"),
        ("tools=silence", "runbook"),
        ("orders=500", "orders"),
        ("orders=429:60", "orders"),
        ("orders=reset", "orders"),
        ("orders=truncate", "orders"),
        ("orders=silence", "orders"),
    ] {
        let office = Office::open(settings(), false).await;
        office.inject(fault);
        let report = office
            .desk
            .handle(TICKET, RunOptions::default())
            .await
            .expect("it starts");
        let reason = report.reason.clone().unwrap_or_default();
        println!("{fault:<16} run {}: {reason}", report.status);
        assert_eq!(report.status, RunStatus::Degraded, "{fault}");
        assert!(
            reason.starts_with(&format!("{step}: ")),
            "{fault}: {reason}"
        );
        let output = office
            .desk
            .output(&report, "completion")
            .await
            .expect("it is kept");
        assert_eq!(output["note"], format!("written without: {step}"));
        // The tool is not to blame for its server.
        if step == "runbook" {
            let tool = office
                .desk
                .engine()
                .breaker("runbook")
                .expect("it is guarded")
                .counts();
            assert_eq!((tool.failed, tool.timed_out), (0, 0), "{fault}");
            assert!(office.desk.tool_server.counts().failed >= 1, "{fault}");
        }
    }
}
