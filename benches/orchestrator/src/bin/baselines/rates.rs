//! How many runs fail when attempts do.

use std::sync::Arc;
use std::time::Duration;

use fusebox_orchestrator::RunStatus;
use fusebox_testkit::virtual_time;

use crate::percent;
use crate::standard::{self, AGENTS};

const SEEDS: u64 = 20;
const RUNS: usize = 50;
const OBJECTIVES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(300)];

pub(crate) fn print() {
    println!("## Failure rates\n");
    println!(
        "Each attempt at each agent fails with the given ratio, all along; a run begins every second, {RUNS} of\n\
         them, {SEEDS} seeds. Calculated: of six calls one fails, with one attempt each and with three, if there\n\
         were no breaker. Measured: runs not delivered within the objective, with retries, breakers and the wait\n\
         for recovery. With a breaker a run that meets it open waits, so a short objective costs more runs than\n\
         the retries alone would.\n"
    );
    println!(
        "| attempts fail | one attempt | three attempts | measured, objective 30 s | measured, objective 300 s |"
    );
    println!("|---:|---:|---:|---:|---:|");
    for ratio in [0.05, 0.1, 0.2, 0.3, 0.5] {
        let calculated = |attempts| 1.0 - (1.0 - f64::powi(ratio, attempts)).powi(6);
        let measured = OBJECTIVES
            .map(|objective| percent(undelivered(ratio, objective), RUNS * SEEDS as usize));
        println!(
            "| {ratio} | {:.1} % | {:.1} % | {} | {} |",
            100.0 * calculated(1),
            100.0 * calculated(3),
            measured[0],
            measured[1]
        );
    }
    println!();
}

fn undelivered(ratio: f64, objective: Duration) -> usize {
    let faults: Vec<String> = AGENTS
        .iter()
        .map(|(name, _)| format!("{name}=api:{ratio}"))
        .collect();
    let faults = faults.join("; ");
    let of_seed = |seed| {
        virtual_time(seed, async |time| {
            let (engine, _) = standard::engine(&time, &faults, false);
            let workflow = Arc::new(standard::workflow(objective));
            let reports = standard::runs(&engine, &workflow, RUNS, Duration::from_secs(1)).await;
            let lost = |status: RunStatus| !status.is_delivered();
            reports.iter().filter(|report| lost(report.status)).count()
        })
    };
    (0..SEEDS).map(of_seed).sum()
}
