//! A pool that is asked for more than it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fusebox_breaker::{Breaker, Config};
use fusebox_policy::{Bulkhead, Policy, Retry};
use fusebox_testkit::virtual_time;
use tokio::time::Instant;

use crate::seconds;

const POOL: usize = 20;
const QUEUE: usize = 50;
const CALL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn print() {
    println!("## Pool and queue\n");
    println!(
        "Calls of one second that come in the same moment to a pool of {POOL} slots. Without a queue what exceeds\n\
         the pool is turned away at once; with one of {QUEUE} places exactly what exceeds both is shed.\n"
    );
    println!("| requests | queue | served | shed | at once | last served after s |");
    println!("|---:|---:|---:|---:|---:|---:|");
    let pool = || Bulkhead::new("pool", POOL);
    let unbounded = || pool().with_max_wait(PATIENCE);
    row(75, "none", pool());
    row(75, "no limit", unbounded());
    for requests in [POOL + QUEUE, 75, 100, 200] {
        row(
            requests,
            &QUEUE.to_string(),
            unbounded().with_max_queue(QUEUE),
        );
    }
    println!();
}

fn row(requests: usize, queue: &str, bulkhead: Bulkhead) {
    let asked = virtual_time(1, async |_| ask(requests, bulkhead).await);
    println!(
        "| {requests} | {queue} | {} | {} | {} | {} |",
        asked.served,
        requests - asked.served,
        asked.at_once,
        seconds(asked.last),
    );
}

struct Asked {
    served: usize,
    at_once: usize,
    last: Duration,
}

async fn ask(requests: usize, bulkhead: Bulkhead) -> Asked {
    let config = Config::builder().build().expect("the default is valid");
    let policy = Policy::builder(Breaker::new("pool", config))
        .retry(Retry::new(1))
        .bulkhead(bulkhead)
        .build();
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let calls: Vec<_> = (0..requests)
        .map(|_| {
            let (policy, now, peak) = (policy.clone(), Arc::clone(&now), Arc::clone(&peak));
            tokio::spawn(async move {
                let work = |_| async {
                    peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::time::sleep(CALL).await;
                    now.fetch_sub(1, Ordering::Relaxed);
                    Ok::<(), std::io::Error>(())
                };
                let classify = |result: &Result<(), std::io::Error>| match result {
                    Ok(()) => fusebox_policy::Judgement::success(),
                    Err(_) => fusebox_policy::Judgement::failure(),
                };
                policy.call(&classify, &(), work).await.is_ok()
            })
        })
        .collect();
    let (mut served, mut last) = (0, Duration::ZERO);
    for call in calls {
        if call.await.expect("no panic") {
            served += 1;
            last = began.elapsed();
        }
    }
    Asked {
        served,
        at_once: peak.load(Ordering::Relaxed),
        last,
    }
}
