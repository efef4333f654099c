//! What the standard workflow still delivers while one of its agents fails.

use std::sync::Arc;
use std::time::Duration;

use fusebox_orchestrator::{RunReport, RunStatus};
use fusebox_testkit::virtual_time;

use crate::percent;
use crate::standard::{self, AGENTS};

const SEEDS: u64 = 20;
const RUNS: usize = 60;

pub(crate) fn print() {
    println!("## Availability while one agent fails\n");
    println!(
        "One agent fails for 60 s, in which a run begins every second: {RUNS} runs, {SEEDS} seeds. Available is a run\n\
         that is delivered within its objective. Away: every attempt at the agent fails. Flaky: half of them do.\n\
         With fallbacks each agent has a second one that answers for it; such a run is delivered as degraded,\n\
         and says so.\n"
    );
    println!(
        "| agent | it is | no fallback, objective 30 s | no fallback, objective 300 s | fallbacks, objective 30 s | of those degraded |"
    );
    println!("|---|---|---:|---:|---:|---:|");
    for (name, ratio) in [("away", 1.0), ("flaky", 0.5)] {
        for (agent, _) in AGENTS {
            let faults = format!("{agent}=api:{ratio},until=60s");
            let delivered = |objective, fallbacks| {
                let reports = reports(&faults, Duration::from_secs(objective), fallbacks);
                let delivered = |report: &&RunReport| report.status.is_delivered();
                let degraded = |report: &&RunReport| report.status == RunStatus::Degraded;
                let of = reports.len();
                let count = reports.iter().filter(delivered).count();
                (
                    percent(count, of),
                    percent(reports.iter().filter(degraded).count(), of),
                )
            };
            let (short, _) = delivered(30, false);
            let (long, _) = delivered(300, false);
            let (fallback, degraded) = delivered(30, true);
            println!("| {agent} | {name} | {short} | {long} | {fallback} | {degraded} |");
        }
    }
    println!();
}

fn reports(faults: &str, objective: Duration, fallbacks: bool) -> Vec<RunReport> {
    let of_seed = |seed| {
        virtual_time(seed, async |time| {
            let (engine, _) = standard::engine(&time, faults, fallbacks);
            let workflow = Arc::new(standard::workflow(objective));
            standard::runs(&engine, &workflow, RUNS, Duration::from_secs(1)).await
        })
    };
    (0..SEEDS).flat_map(of_seed).collect()
}
