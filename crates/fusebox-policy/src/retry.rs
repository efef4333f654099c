//! How often and after which waits a call is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::retry_budget::RetryBudget;

type Schedule = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// Growth of the wait from one retry to the next.
const FACTOR: f32 = 2.0;

/// How often and after which waits a call is tried again.
///
/// The wait before retry `n` (the first is 1) is `min(cap, base * 2^(n-1))`; with jitter it is drawn evenly from that
/// wait's upper half, so that callers do not return in step and none waits longer than `cap`. Only a server's
/// `Retry-After` raises a wait above it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts in all, the first included; 0 is read as 1.
    pub max_attempts: u32,
    /// Wait before the first retry. Default 100 ms: longer than a dropped packet, shorter than patience.
    pub base: Duration,
    /// Longest wait before any retry. Default 10 s.
    pub cap: Duration,
    /// Whether waits are drawn. Default on.
    pub jitter: bool,
    /// Whether an attempt that timed out is tried again. Default on; turn it off for operations that must not run
    /// twice, since a timed-out attempt may have run.
    pub timed_out: bool,
    budget: Option<RetryBudget>,
    seed: Option<Seed>,
}

/// A seed, and how many calls have drawn from it.
#[derive(Debug, Clone)]
struct Seed {
    value: u64,
    calls: Arc<AtomicU64>,
}

impl Retry {
    /// One attempt, no retry.
    pub fn none() -> Self {
        Self::new(1)
    }

    /// At most this many attempts in all, the first included.
    pub fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            jitter: true,
            timed_out: true,
            budget: None,
            seed: None,
        }
    }

    /// Wait before the first retry.
    pub fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Longest wait before any retry.
    pub fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Exact waits instead of drawn ones.
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// Does not try again what timed out.
    pub fn without_timed_out(mut self) -> Self {
        self.timed_out = false;
        self
    }

    /// Retries only as the budget allows; share one between policies by cloning it.
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Seeds the draws, so that a run whose calls start in the same order has the same waits. Default: random.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(Seed {
            value: seed,
            calls: Arc::default(),
        });
        self
    }

    /// The shared budget, if one is set.
    pub fn budget(&self) -> Option<&RetryBudget> {
        self.budget.as_ref()
    }

    /// The waits of one call, at most one less than attempts. They are made when the first is asked for, since most
    /// calls need none.
    pub(crate) fn waits(&self) -> Waits<'_> {
        Waits {
            retry: self,
            call_seed: self.seed.as_ref().map(Seed::next),
            schedule: None,
        }
    }

    fn schedule(&self, seed: Option<u64>) -> Schedule {
        // backon adds its jitter on top of the wait. Given half of everything, it draws from the upper half.
        let share = if self.jitter { 2 } else { 1 };
        let mut schedule = ExponentialBuilder::new()
            .with_factor(FACTOR)
            .with_min_delay(self.base.min(self.cap) / share)
            .with_max_delay(self.cap / share)
            .with_max_times(self.max_attempts.saturating_sub(1) as usize);
        if self.jitter {
            schedule = schedule.with_jitter();
        }
        if let Some(seed) = seed {
            schedule = schedule.with_jitter_seed(seed);
        }
        schedule.build()
    }
}

impl Seed {
    /// The seed of a call that starts now.
    fn next(&self) -> u64 {
        // An odd multiplier keeps the seeds of successive calls apart and lets none repeat.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.value ^ call.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// The waits of one call.
#[derive(Debug)]
pub(crate) struct Waits<'a> {
    retry: &'a Retry,
    /// Taken at the call's start, whether or not it comes to a wait: seeds follow the order of the calls.
    call_seed: Option<u64>,
    schedule: Option<Schedule>,
}

impl Iterator for Waits<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let Self {
            retry, call_seed, ..
        } = *self;
        let schedule = self
            .schedule
            .get_or_insert_with(|| retry.schedule(call_seed));
        let wait = schedule.next()?;
        Some(whole_millis(wait).min(retry.cap))
    }
}

/// backon reckons in single precision: what should be 200 ms comes as 200.000003 ms, which tokio's timer would round
/// up. Below a millisecond and beyond what fits, the wait stays as it is.
fn whole_millis(wait: Duration) -> Duration {
    const HALF: Duration = Duration::from_micros(500);
    match u64::try_from(wait.saturating_add(HALF).as_millis()) {
        Ok(millis) if wait >= Duration::from_millis(1) => Duration::from_millis(millis),
        _ => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::Retry;
    use std::time::Duration;

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_one_less_than_attempts() {
        let retry = Retry::new(5)
            .with_base(millis(500))
            .with_cap(millis(1_500))
            .without_jitter();
        let waits: Vec<_> = retry.waits().collect();
        assert_eq!(waits, [500, 1_000, 1_500, 1_500].map(millis));
        assert_eq!(Retry::none().waits().count(), 0);
        assert_eq!(Retry::new(0).waits().count(), 0);
    }

    #[test]
    fn a_base_above_the_cap_waits_the_cap() {
        let retry = Retry::new(3)
            .with_base(millis(900))
            .with_cap(millis(500))
            .without_jitter();
        assert_eq!(retry.waits().collect::<Vec<_>>(), [500, 500].map(millis));
    }

    #[test]
    fn jitter_draws_from_the_upper_half_and_stays_within_the_cap() {
        for seed in 0..200 {
            let retry = Retry::new(6)
                .with_base(millis(100))
                .with_cap(millis(800))
                .with_seed(seed);
            for (wait, full) in retry.waits().zip([100, 200, 400, 800, 800]) {
                let full = millis(full);
                assert!(
                    wait >= full / 2 && wait <= full,
                    "seed {seed}: {wait:?} of {full:?}"
                );
            }
        }
    }

    #[test]
    fn a_seed_repeats_a_run_and_its_calls_differ_from_each_other() {
        let run = || {
            let retry = Retry::new(4).with_seed(11);
            [0; 3].map(|_| retry.waits().collect::<Vec<_>>())
        };
        let first = run();
        assert_eq!(first, run());
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn a_call_that_needs_no_wait_takes_its_seed_all_the_same() {
        let waits = |retry: &Retry| retry.waits().collect::<Vec<_>>();
        let (all_wait, first_does_not) = (Retry::new(4).with_seed(11), Retry::new(4).with_seed(11));
        let [first, second] = [waits(&all_wait), waits(&all_wait)];
        let _ = first_does_not.waits();
        assert_eq!(waits(&first_does_not), second);
        assert_ne!(first, second);
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let retry = Retry::new(4)
            .with_base(Duration::MAX)
            .with_cap(Duration::MAX);
        assert_eq!(retry.waits().count(), 3);
    }
}
