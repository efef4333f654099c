//! Recovery time of each agent after an outage, against its objective.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{Breaker, State};
use fusebox_testkit::virtual_time;
use tokio::time::Instant;

use crate::standard::{self, AGENTS};
use crate::{median, seconds};

const SEEDS: u64 = 50;
/// When the agent goes away, counted from the beginning.
const FROM: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(500);
/// How finely the breakers are looked at.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) fn print() {
    println!("## Recovery\n");
    println!(
        "One agent fails every call for half of its recovery time objective, while a run begins every {} ms;\n\
         {SEEDS} seeds. Away: from the opening of its breaker to the success that closes it, to 10 ms.\n",
        EVERY.as_millis()
    );
    println!(
        "| agent | objective s | outage s | openings | away s: least | median | most | objective met |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (agent, _) in AGENTS {
        let objective = standard::resilience(agent).breaker.recovery_objective();
        let objective = objective.expect("every preset has one");
        let mut away: Vec<Duration> = (0..SEEDS)
            .flat_map(|seed| outages(agent, objective, seed))
            .collect();
        let met = away.iter().filter(|away| **away <= objective).count();
        let openings = away.len();
        let middle = median(&mut away);
        println!(
            "| {agent} | {} | {} | {openings} | {} | {} | {} | {met} of {openings} |",
            seconds(objective),
            seconds(objective / 2),
            seconds(away[0]),
            seconds(middle),
            seconds(away[openings - 1]),
        );
    }
    println!();
}

/// How long the agent's breaker was not closed, each time.
fn outages(agent: &str, objective: Duration, seed: u64) -> Vec<Duration> {
    let until = FROM + objective / 2;
    let faults = format!(
        "{agent}=api:1,from={}ms,until={}ms",
        FROM.as_millis(),
        until.as_millis()
    );
    // Long enough for the slowest to be back.
    let span = until + 2 * objective;
    virtual_time(seed, async |time| {
        let (engine, _) = standard::engine(&time, &faults, false);
        let workflow = Arc::new(standard::workflow(Duration::from_secs(300)));
        let breaker = engine.breaker(agent).expect("a standard agent").clone();
        let watch = tokio::spawn(watch(breaker, span));
        let count = span.as_millis() / EVERY.as_millis();
        standard::runs(&engine, &workflow, count as usize, EVERY).await;
        watch.await.expect("no panic")
    })
}

async fn watch(breaker: Breaker, span: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let (mut away, mut since) = (Vec::new(), None);
    while began.elapsed() < span || since.is_some() {
        match (breaker.state(), since) {
            (State::Closed, Some(opened)) => {
                away.push(began.elapsed() - opened);
                since = None;
            }
            (State::Closed, None) | (_, Some(_)) => {}
            (_, None) => since = Some(began.elapsed()),
        }
        tokio::time::sleep(LOOK).await;
    }
    away
}
