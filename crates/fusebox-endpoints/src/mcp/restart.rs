//! When a server that failed is tried again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::McpLimits;

/// The failures of a server in a row, and the wait after the last.
#[derive(Debug, Default)]
pub(super) struct Restart {
    failures: u32,
    not_before: Option<Instant>,
}

impl Restart {
    /// How long to wait still, if at all.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A connection was not made, at `now`.
    pub(super) fn failed(&mut self, now: Instant, limits: &McpLimits) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.checked_add(wait(self.failures, drawn(), limits));
    }

    /// A connection made at `since` ended at `at`.
    pub(super) fn ended(&mut self, since: Instant, at: Instant, limits: &McpLimits) {
        if at.saturating_duration_since(since) >= limits.stable_after {
            self.failures = 0;
        }
        self.failed(at, limits);
    }
}

/// The wait after failure `n` (the first is 1): half of `base * 2^(n-1)`, capped, and up to as
/// much again. `unit` is a uniform draw from `0.0..1.0`.
fn wait(n: u32, unit: f64, limits: &McpLimits) -> Duration {
    let doublings = n.saturating_sub(1).min(31);
    let full = limits.restart_base.saturating_mul(1 << doublings);
    let half = full.min(limits.restart_cap) / 2;
    half + half.mul_f64(unit)
}

/// Good enough to keep processes out of step: the standard library seeds every hasher anew.
fn drawn() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> McpLimits {
        McpLimits::default()
            .with_restart(SECOND, 8 * SECOND)
            .with_stable_after(60 * SECOND)
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_half_of_it_is_drawn() {
        let earliest = [1, 2, 3, 4, 5, 100].map(|n| wait(n, 0.0, &limits()).as_secs_f64());
        assert_eq!(earliest, [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]);
        assert_eq!(wait(1, 0.5, &limits()), SECOND.mul_f64(0.75));
    }

    #[test]
    fn short_lives_add_up_and_a_long_one_starts_the_count_again() {
        let (start, mut restart) = (Instant::now(), Restart::default());
        for _ in 0..4 {
            restart.ended(start, start + SECOND, &limits());
        }
        assert_eq!(restart.failures, 4);
        let late = start + 60 * SECOND;
        restart.ended(start, late, &limits());
        assert_eq!(restart.failures, 1);
        let wait = restart.wait(late).expect("it has just ended");
        assert!((SECOND / 2..=SECOND).contains(&wait), "{wait:?}");
    }

    #[test]
    fn the_wait_is_over_at_exactly_its_end() {
        let (start, mut restart) = (Instant::now(), Restart::default());
        assert_eq!(restart.wait(start), None);
        restart.failed(start, &limits());
        let wait = restart.wait(start).expect("it has just failed");
        assert_eq!(restart.wait(start + wait), None);
    }
}
