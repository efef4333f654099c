//! Every window against the obvious model: a list of all outcomes, counted anew after each.

use std::time::Duration;

use fusebox_breaker::machine::Machine;
use fusebox_breaker::{
    Config, ConfigBuilder, CountWindow, FailureKind, Reason, SlowCalls, State, TimeWindow,
    Timestamp, Verdict,
};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
struct Call {
    /// Time before it starts, and time it takes.
    gap_ms: u64,
    takes_ms: u64,
    failed: bool,
}

fn calls(longest_ms: u64) -> impl Strategy<Value = Vec<Call>> {
    let call = (0_u64..400, 0..longest_ms, prop::bool::weighted(0.4)).prop_map(
        |(gap_ms, takes_ms, failed)| Call {
            gap_ms,
            takes_ms,
            failed,
        },
    );
    prop::collection::vec(call, 0..400)
}

fn only() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .without_count_window()
}

/// An ending: when, whether it failed, whether it was slow.
type Ending = (Duration, bool, bool);

/// Runs calls one after the other until the machine opens; `model` says after each ending what it expects.
fn follow(
    config: Config,
    calls: &[Call],
    slow_from: Duration,
    model: impl Fn(&[Ending]) -> Option<Reason>,
) -> Result<(), TestCaseError> {
    let mut now = Timestamp::default();
    let mut machine = Machine::new(config, now);
    let mut endings = Vec::new();
    for call in calls {
        now = now + Duration::from_millis(call.gap_ms);
        let admission = machine.try_acquire(now, 0.5).expect("closed");
        now = now + Duration::from_millis(call.takes_ms);
        let verdict = match call.failed {
            true => Verdict::Failure(FailureKind::Error),
            false => Verdict::Success,
        };
        machine.record(admission, verdict, now, 0.5);
        let at = Duration::from_nanos(now.as_nanos());
        endings.push((
            at,
            call.failed,
            Duration::from_millis(call.takes_ms) >= slow_from,
        ));
        match model(&endings) {
            None => prop_assert_eq!(machine.state(), State::Closed),
            Some(reason) => {
                prop_assert_eq!(machine.state(), State::Open);
                prop_assert_eq!(machine.reason(), Some(&reason));
                return Ok(());
            }
        }
    }
    Ok(())
}

fn count(endings: &[Ending]) -> (u32, u32, u32) {
    let failures = endings.iter().filter(|(_, failed, _)| *failed).count();
    let slow = endings.iter().filter(|(_, _, slow)| *slow).count();
    (endings.len() as u32, failures as u32, slow as u32)
}

fn reaches(part: u32, calls: u32, minimum: u32, threshold: f64) -> bool {
    calls >= minimum && f64::from(part) / f64::from(calls) >= threshold
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_count_window_is_the_last_calls_of_a_list(
        size in 1_u32..150,
        share in 0.0_f64..1.0,
        threshold in 0.3_f64..0.9,
        calls in calls(1),
    ) {
        let minimum = 1 + (f64::from(size - 1) * share) as u32;
        let window = CountWindow {
            size,
            minimum_number_of_calls: minimum,
            failure_rate_threshold: threshold,
        };
        follow(only().count_window(window).build().expect("good"), &calls, Duration::MAX, |endings| {
            let tail = &endings[endings.len().saturating_sub(size as usize)..];
            let (calls, failures, _) = count(tail);
            reaches(failures, calls, minimum, threshold)
                .then_some(Reason::FailureRate { failures, calls, threshold })
        })?;
    }

    #[test]
    fn the_time_window_is_the_calls_of_its_buckets(
        buckets in 1_u32..20,
        width_ms in 1_u64..700,
        minimum in 1_u32..30,
        threshold in 0.3_f64..0.9,
        calls in calls(300),
    ) {
        let size = Duration::from_millis(u64::from(buckets) * width_ms);
        let window = TimeWindow {
            size,
            buckets,
            minimum_number_of_calls: minimum,
            failure_rate_threshold: threshold,
        };
        let tick = |at: Duration| at.as_millis() as u64 / width_ms;
        follow(only().time_window(window).build().expect("good"), &calls, Duration::MAX, |endings| {
            let now = tick(endings.last().expect("one").0);
            let inside: Vec<_> = endings
                .iter()
                .filter(|(at, _, _)| tick(*at) + u64::from(buckets) > now)
                .copied()
                .collect();
            let (calls, failures, _) = count(&inside);
            reaches(failures, calls, minimum, threshold).then_some(Reason::FailureRateOverTime {
                failures,
                calls,
                window_ms: size.as_millis() as u64,
                threshold,
            })
        })?;
    }

    #[test]
    fn slow_calls_are_counted_over_the_last_calls(
        size in 4_u32..60,
        limit_ms in 100_u64..400,
        threshold in 0.3_f64..0.9,
        calls in calls(500),
    ) {
        // No longer than the limit, so none is noticed in flight; that has a test of its own.
        let takes = |call: &Call| call.takes_ms.min(limit_ms);
        let calls: Vec<_> = calls
            .iter()
            .map(|call| Call { failed: false, takes_ms: takes(call), ..*call })
            .collect();
        let limit = Duration::from_millis(limit_ms);
        let window = CountWindow {
            size,
            minimum_number_of_calls: size,
            failure_rate_threshold: 1.0,
        };
        let slow = SlowCalls {
            slow_call_duration_threshold: limit,
            slow_call_rate_threshold: threshold,
            minimum_number_of_calls: 4,
        };
        let config = only().count_window(window).slow_calls(slow).build().expect("good");
        follow(config, &calls, limit, |endings| {
            let tail = &endings[endings.len().saturating_sub(size as usize)..];
            let (calls, _, slow) = count(tail);
            reaches(slow, calls, 4, threshold).then_some(Reason::SlowCallRate {
                slow,
                in_flight: 0,
                calls,
                limit_ms,
                threshold,
            })
        })?;
    }

    #[test]
    fn weighted_failures_are_added_up_in_quarters(
        size in 1_u32..60,
        quarters in 1_u32..=4,
        threshold in 0.1_f64..0.9,
        calls in calls(1),
    ) {
        let window = CountWindow {
            size,
            minimum_number_of_calls: size,
            failure_rate_threshold: threshold,
        };
        let config = only()
            .count_window(window)
            .failure_weight(FailureKind::Error, f64::from(quarters) / 4.0)
            .failure_weight(FailureKind::TimedOut, 0.5)
            .build()
            .expect("good");
        follow(config, &calls, Duration::MAX, |endings| {
            let tail = &endings[endings.len().saturating_sub(size as usize)..];
            let (calls, failures, _) = count(tail);
            let weighted = f64::from(failures * quarters) / 4.0;
            let opens = calls >= size && weighted / f64::from(calls) >= threshold;
            opens.then_some(Reason::FailureRate {
                failures: weighted.ceil() as u32,
                calls,
                threshold,
            })
        })?;
    }

    #[test]
    fn resizing_the_count_window_keeps_its_latest_calls(
        sizes in prop::collection::vec(1_u32..200, 1..6),
        failures in prop::collection::vec(prop::bool::weighted(0.3), 0..900),
    ) {
        // Never opens by itself; the last setting asks what the window holds.
        let config = |size: u32, threshold: f64| only()
            .count_window(CountWindow {
                size,
                minimum_number_of_calls: 1,
                failure_rate_threshold: threshold,
            })
            .combine(fusebox_breaker::Combine::All)
            .consecutive_failures(400_000)
            .build()
            .expect("good");
        let now = Timestamp::default();
        let mut machine = Machine::new(config(sizes[0], 1.0), now);
        let (mut model, mut size) = (Vec::new(), sizes[0]);
        let share = failures.len() / sizes.len() + 1;
        for (index, failed) in failures.iter().enumerate() {
            if index % share == 0 {
                size = sizes[(index / share).min(sizes.len() - 1)];
                machine.reconfigure(config(size, 1.0), now);
                model.drain(..model.len().saturating_sub(size as usize));
            }
            let verdict = if *failed { Verdict::Failure(FailureKind::Error) } else { Verdict::Success };
            let admission = machine.try_acquire(now, 0.5).expect("closed");
            machine.record(admission, verdict, now, 0.5);
            model.push(*failed);
            model.drain(..model.len().saturating_sub(size as usize));
        }
        // One more failure under settings that open at once tells the window's figures.
        let size = size.max(2);
        let asks = only()
            .count_window(CountWindow { size, minimum_number_of_calls: 1, failure_rate_threshold: 1e-9 })
            .build()
            .expect("good");
        machine.reconfigure(asks, now);
        let admission = machine.try_acquire(now, 0.5).expect("closed");
        machine.record(admission, Verdict::Failure(FailureKind::Error), now, 0.5);
        model.push(true);
        model.drain(..model.len().saturating_sub(size as usize));
        let expected = (model.len() as u32, model.iter().filter(|failed| **failed).count() as u32);
        match machine.reason() {
            Some(Reason::FailureRate { failures, calls, .. }) => {
                prop_assert_eq!((*calls, *failures), expected);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        let counts = machine.counts();
        prop_assert_eq!(counts.succeeded + counts.failed, failures.len() as u64 + 1);
    }
}
