//! What an outage costs: calls that could not have been answered, beside those of a client that
//! only tries again.

use std::time::{Duration, Instant};

use fusebox::agent::Agent;
use fusebox::breaker::State;
use fusebox::endpoints::OpenAiAgent;
use fusebox::{Context, RunOptions, RunStatus, Task};
use fusebox_fault_proxy::Fault;
use tokio::task::JoinSet;

use crate::runs::{Office, settings};
use crate::{agent, line};

const RUNS: u64 = 10;
const OUTAGE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_outage_costs_at_most_a_fifth_more_calls_than_runs() {
    let office = Office::open(settings(), false).await;
    let line = &office.lines.model;
    line.inject(Fault::status(503));
    let began = Instant::now();
    let runs = async {
        let runs = (0..RUNS).map(|_| {
            office
                .desk
                .handle("the shop is down", RunOptions::default())
        });
        futures_of(runs).await
    };
    let outage = async {
        while office.targets[0].breaker.state() != State::Open {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let at_opening = line.requests();
        tokio::time::sleep(OUTAGE.saturating_sub(began.elapsed())).await;
        line.clear();
        (at_opening, line.requests())
    };
    let (reports, (at_opening, at_end)) = tokio::join!(runs, outage);
    for report in reports {
        let report = report.expect("it starts");
        assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
    }
    let plain = plain_client().await;
    let after = (at_end - at_opening) as f64 / RUNS as f64;
    println!(
        "an outage of {OUTAGE:?} under {RUNS} runs: {at_end} wasted calls, {after:.2} per run after \
         the breaker opened; a plain client that tries again: {plain} wasted calls, {:.2} per run",
        plain as f64 / RUNS as f64
    );
    assert!(after <= 1.2, "{after}");
    assert!(plain > at_end, "nothing was saved");
}

/// As many callers as runs, each trying until it is answered, with a wait that doubles from 200 ms
/// to 2 s: a client as they come.
async fn plain_client() -> u64 {
    let proxy = line().await;
    proxy.inject(Fault::status(503));
    let mut callers = JoinSet::new();
    for _ in 0..RUNS {
        let agent = agent(&proxy)
            .max_tokens(1)
            .build()
            .expect("it is well described");
        callers.spawn(call_until_answered(agent));
    }
    tokio::time::sleep(OUTAGE).await;
    proxy.clear();
    let wasted = proxy.requests();
    while let Some(called) = callers.join_next().await {
        called.expect("no panic");
    }
    wasted
}

async fn call_until_answered(agent: OpenAiAgent) {
    let mut wait = Duration::from_millis(200);
    while agent
        .call(Task::new("Hi"), &Context::new("run", "step"))
        .await
        .is_err()
    {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

/// All at once, on this task: they borrow the desk.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        match waiting.iter().all(|(_, output)| output.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
