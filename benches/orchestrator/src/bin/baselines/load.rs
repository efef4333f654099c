//! Many runs at once over the same agents.

use std::sync::Arc;
use std::time::Duration;

use fusebox_orchestrator::{RunReport, RunStatus, Step, Workflow};
use fusebox_testkit::virtual_time;

use crate::standard::{self, AGENTS};
use crate::{median, percent};

const SEEDS: u64 = 20;
const OBJECTIVE: Duration = Duration::from_secs(300);
const FAULTS: &str = "supervisor=exhaustion:0.2; data=timeout:0.3; optimization=api:0.1";

pub(crate) fn print() {
    println!("## Load\n");
    println!(
        "Runs that begin in the same moment over the same agents, which take 16 calls at once each; objective\n\
         300 s, {SEEDS} seeds. Faulty: the supervisor is out of resources in 0.2 of its attempts, data gives no\n\
         answer in 0.3, optimization fails in 0.1. Mixed: 12 standard runs, 12 that fan out to all agents at\n\
         once, 11 that go through three of them. In flight: the most calls any one agent had at once.\n"
    );
    println!("| runs at once | agents | delivered | s per run: median | most | in flight |");
    println!("|---|---|---:|---:|---:|---:|");
    for count in [6, 10, 25, 50] {
        let workflow = Arc::new(standard::workflow(OBJECTIVE));
        let workflows: Vec<_> = std::iter::repeat_n(workflow, count).collect();
        row(&count.to_string(), &workflows);
    }
    row("35 mixed", &mixed());
    println!();
}

fn row(title: &str, workflows: &[Arc<Workflow>]) {
    for (name, faults) in [("healthy", ""), ("faulty", FAULTS)] {
        let (mut reports, mut peak) = (Vec::new(), 0);
        for seed in 0..SEEDS {
            let (of_seed, calls) = at_once(workflows, faults, seed);
            reports.extend(of_seed);
            peak = peak.max(calls);
        }
        let delivered = |report: &&RunReport| report.status == RunStatus::Completed;
        let delivered = reports.iter().filter(delivered).count();
        let mut took: Vec<u64> = reports.iter().map(|report| report.duration_ms).collect();
        let middle = median(&mut took) as f64 / 1e3;
        let most = took[took.len() - 1] as f64 / 1e3;
        println!(
            "| {title} | {name} | {} | {middle:.1} | {most:.1} | {peak} |",
            percent(delivered, reports.len())
        );
    }
}

fn at_once(workflows: &[Arc<Workflow>], faults: &str, seed: u64) -> (Vec<RunReport>, usize) {
    virtual_time(seed, async |time| {
        let (engine, peak) = standard::engine(&time, faults, false);
        let begin = |(number, workflow): (usize, &Arc<Workflow>)| {
            tokio::spawn(standard::run(engine.clone(), Arc::clone(workflow), number))
        };
        let tasks: Vec<_> = workflows.iter().enumerate().map(begin).collect();
        let mut reports = Vec::new();
        for task in tasks {
            reports.push(task.await.expect("no panic"));
        }
        (reports, peak.calls())
    })
}

fn mixed() -> Vec<Arc<Workflow>> {
    let fan_out = AGENTS.iter().fold(
        Workflow::builder("fan-out").objective(OBJECTIVE),
        |builder, (name, _)| builder.step(Step::new(*name)),
    );
    let short = Workflow::builder("short")
        .objective(OBJECTIVE)
        .step(Step::new("triage"))
        .step(Step::new("data").requires(["triage"]))
        .step(Step::new("completion").requires(["data"]));
    let kinds = [
        (12, standard::workflow(OBJECTIVE)),
        (12, fan_out.build().expect("no edges, no cycle")),
        (11, short.build().expect("a chain")),
    ];
    let many = |(count, workflow)| std::iter::repeat_n(Arc::new(workflow), count);
    kinds.into_iter().flat_map(many).collect()
}
