//! What it takes: memory and time. Nothing else runs meanwhile.

use std::alloc::System;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use super::{Question, Seen, failures_until_open, of_ten, seen, succeed};
use crate::peer::{Candidate, CountSettings, Shared};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        title: "memory that 300 cycles of opening and closing leave behind",
        passes: "under 1,000 bytes",
        ask: memory,
    },
    Question {
        title: "allocations per call, closed",
        passes: "0",
        ask: allocations,
    },
    Question {
        title: "a call with 100,000 in the time window, to one with 100",
        passes: "under 2 times",
        ask: flat,
    },
];

fn memory(candidate: &dyn Candidate) -> Option<Seen> {
    let wait = Duration::from_millis(1);
    let peer = candidate.count_window(CountSettings {
        window: 10,
        probes: 1,
        wait,
    });
    let cycle = || {
        failures_until_open(&peer, 1_000);
        // Several times, for those whose open time grows.
        let probed = (0..20).any(|_| {
            peer.wait(wait * 3 / 2);
            succeed(&peer)
        });
        // Enough to close for those who want more than one.
        probed && succeed(&peer) && succeed(&peer)
    };
    // What it keeps once, it may keep.
    (0..30).for_each(|_| {
        cycle();
    });
    let region = Region::new(ALLOCATOR);
    let closed = (0..300).filter(|_| cycle()).count();
    let change = region.change();
    let bytes = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
    let bytes = bytes + change.bytes_reallocated as i64;
    assert_eq!(closed, 300, "{}: closed cycles", candidate.name());
    seen(format!("{bytes} bytes"), bytes < 1_000)
}

fn allocations(candidate: &dyn Candidate) -> Option<Seen> {
    const CALLS: usize = 10_000;
    let peer = of_ten(candidate);
    (0..100).for_each(|_| assert!(succeed(&peer)));
    let region = Region::new(ALLOCATOR);
    (0..CALLS).for_each(|_| assert!(succeed(&peer)));
    let change = region.change();
    let each = (change.allocations + change.reallocations) as f64 / CALLS as f64;
    let text = (100.0 * each).round() / 100.0;
    seen(text.to_string(), each < 0.01)
}

const WINDOW: Duration = Duration::from_secs(60);
const BATCH: u32 = 100;

/// The quickest of many batches, so that what else runs on the machine does not matter.
fn batch(peer: &Shared) -> Duration {
    let start = Instant::now();
    (0..BATCH).for_each(|_| assert!(succeed(peer)));
    start.elapsed()
}

fn flat(candidate: &dyn Candidate) -> Option<Seen> {
    let few = || {
        let peer = candidate.time_window(WINDOW)?;
        (0..100).for_each(|_| assert!(succeed(&peer)));
        Some(batch(&peer))
    };
    let few = (0..50).map(|_| few()).min()??;
    let peer = candidate.time_window(WINDOW)?;
    // Those whose calls grow dearer do not get so far in a reasonable time.
    let start = Instant::now();
    let filled = (0..100_000)
        .take_while(|_| start.elapsed() < Duration::from_secs(1) && succeed(&peer))
        .count();
    let many = (0..50).map(|_| batch(&peer)).min()?;
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    let at = if filled < 100_000 {
        format!(" at {}k", filled / 1_000)
    } else {
        String::new()
    };
    let digits = usize::from(ratio < 10.0);
    let text = format!("{ratio:.digits$}{at}");
    seen(text, ratio < 2.0 && filled == 100_000)
}
