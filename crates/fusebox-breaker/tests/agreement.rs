//! The lock-free handle and the pure machine agree: same events, same answers, moves and counts.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::machine::{Admission, Machine};
use fusebox_breaker::{
    Breaker, ChangeDetector, Clock, Combine, Config, CountWindow, FailureKind, Jitter, Learning,
    ManualClock, Override, Permit, Ramp, SlowCalls, TimeWindow, TransitionQueue, Verdict,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Acquire,
    Record(usize, Verdict),
    Cancel(usize),
    Advance(u64),
    Tick,
    Trip,
    ForceOpen(Option<u64>),
    MetricsOnly,
    Disable,
    Release,
    Reconfigure(usize),
    Restore,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let verdict = prop_oneof![
        6 => Just(Verdict::Success),
        3 => Just(Verdict::Failure(FailureKind::Error)),
        1 => Just(Verdict::Failure(FailureKind::TimedOut)),
        1 => Just(Verdict::Failure(FailureKind::Overloaded)),
        1 => Just(Verdict::Neutral),
        1 => (0_u64..3_000).prop_map(|ms| Verdict::TripUntil(Duration::from_millis(ms))),
    ];
    let event = prop_oneof![
        30 => Just(Event::Acquire),
        28 => (any::<usize>(), verdict).prop_map(|(index, verdict)| Event::Record(index, verdict)),
        2 => any::<usize>().prop_map(Event::Cancel),
        12 => (0_u64..900).prop_map(Event::Advance),
        1 => Just(Event::Tick),
        1 => Just(Event::Trip),
        1 => prop::option::of(0_u64..2_000).prop_map(Event::ForceOpen),
        1 => Just(Event::MetricsOnly),
        1 => Just(Event::Disable),
        2 => Just(Event::Release),
        1 => (0_usize..CONFIGS).prop_map(Event::Reconfigure),
        1 => Just(Event::Restore),
    ];
    prop::collection::vec(event, 0..300)
}

const CONFIGS: usize = 9;

/// One configuration of every kind; waits exact, so that no draw matters.
fn config(kind: usize) -> Config {
    let window = |size| CountWindow {
        size,
        minimum_number_of_calls: 3,
        failure_rate_threshold: 0.6,
    };
    let time = TimeWindow {
        size: Duration::from_millis(2_000),
        buckets: 4,
        minimum_number_of_calls: 4,
        failure_rate_threshold: 0.5,
    };
    let slow = SlowCalls {
        slow_call_duration_threshold: Duration::from_millis(700),
        slow_call_rate_threshold: 0.5,
        minimum_number_of_calls: 4,
    };
    let detector = ChangeDetector {
        baseline_failure_rate: 0.1,
        changed_failure_rate: 0.5,
        mean_calls_between_false_trips: 200.0,
        learning: None,
    };
    let base = Config::builder()
        .without_consecutive_failures()
        .without_count_window()
        .wait_duration_in_open(Duration::from_millis(800))
        .jitter(Jitter::None)
        .probe_deadline(Duration::from_millis(1_500));
    let builder = match kind {
        0 => base.consecutive_failures(3),
        1 => base.count_window(window(6)),
        2 => base.count_window(window(40)).consecutive_failures(4),
        3 => base.time_window(time),
        4 => base.count_window(window(10)).slow_calls(slow),
        5 => base
            .time_window(time)
            .slow_calls(slow)
            .max_concurrent_probes(3),
        6 => base.change_detector(ChangeDetector {
            learning: Some(Learning {
                floor: 0.05,
                horizon: 100,
            }),
            ..detector
        }),
        7 => base
            .count_window(window(8))
            .change_detector(detector)
            .combine(Combine::All)
            .failure_weight(FailureKind::TimedOut, 0.5)
            .failure_weight(FailureKind::Overloaded, 0.25),
        _ => base
            .count_window(window(5))
            .successes_to_close(1)
            .ramp(Ramp {
                steps: vec![0.1, 0.5],
                step_duration: Duration::from_millis(400),
                failure_rate_threshold: 0.5,
            }),
    };
    builder.build().expect("good settings")
}

struct Pair {
    machine: Machine,
    breaker: Breaker,
    clock: ManualClock,
    queue: TransitionQueue,
    held: Vec<(Admission, Permit)>,
}

impl Pair {
    fn new(kind: usize) -> Self {
        let (clock, queue) = (ManualClock::new(), TransitionQueue::new(10_000));
        let breaker = Breaker::builder("pair", config(kind))
            .clock(Arc::new(clock.clone()))
            .transitions(queue.clone())
            .build();
        Self {
            machine: Machine::new(config(kind), clock.now()),
            breaker,
            clock,
            queue,
            held: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let by = || Override::new("agreement", "test");
        let Self {
            machine, breaker, ..
        } = self;
        match event {
            Event::Acquire => match (machine.try_acquire(now, 0.5), breaker.try_acquire()) {
                (Ok(admission), Ok(permit)) => {
                    prop_assert_eq!(admission.is_probe(), permit.is_probe());
                    prop_assert_eq!(admission.generation(), permit.generation());
                    self.held.push((admission, permit));
                }
                (Err(rejection), Err(refused)) => {
                    prop_assert_eq!(rejection.state, refused.state);
                    prop_assert_eq!(rejection.retry_after, refused.retry_after);
                    prop_assert_eq!(rejection.reason, refused.reason());
                }
                (machine, handle) => prop_assert!(false, "{machine:?} but {handle:?}"),
            },
            Event::Record(index, verdict) if !self.held.is_empty() => {
                let (admission, permit) = self.held.swap_remove(index % self.held.len());
                machine.record(admission, verdict, now, 0.5);
                permit.record(verdict);
            }
            Event::Cancel(index) if !self.held.is_empty() => {
                let (admission, permit) = self.held.swap_remove(index % self.held.len());
                machine.cancel(admission, now, 0.5);
                drop(permit);
            }
            Event::Record(..) | Event::Cancel(_) => {}
            Event::Advance(ms) => self.clock.advance(Duration::from_millis(ms)),
            Event::Tick => {
                machine.tick(now, 0.5);
                breaker.tick();
            }
            Event::Trip => {
                prop_assert_eq!(
                    machine.trip("agreement", now, 0.5),
                    breaker.trip("agreement")
                );
            }
            Event::ForceOpen(ms) => {
                let mut by = by();
                by.expires_in = ms.map(Duration::from_millis);
                machine.force_open(by.clone(), now, 0.5);
                breaker.force_open(by);
            }
            Event::MetricsOnly => {
                machine.metrics_only(by(), now, 0.5);
                breaker.metrics_only(by());
            }
            Event::Disable => {
                machine.disable(by(), now, 0.5);
                breaker.disable(by());
            }
            Event::Release => {
                prop_assert_eq!(machine.release("test", now, 0.5), breaker.release("test"));
            }
            Event::Reconfigure(kind) => {
                machine.reconfigure(config(kind), now);
                breaker.reconfigure(config(kind));
            }
            Event::Restore => {
                let snapshot = machine.snapshot(now);
                prop_assert_eq!(&snapshot, &breaker.snapshot());
                machine.restore(&snapshot, now);
                breaker.restore(&snapshot);
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let (machine, breaker) = (&mut self.machine, &self.breaker);
        prop_assert_eq!(machine.state(), breaker.state());
        prop_assert_eq!(machine.generation(), breaker.generation());
        prop_assert_eq!(machine.counts(), breaker.counts());
        prop_assert_eq!(breaker.counts().in_flight(), self.held.len() as u64);
        prop_assert_eq!(machine.would_have_rejected(), breaker.would_have_rejected());
        prop_assert_eq!(
            machine.availability(self.clock.now()),
            breaker.availability()
        );
        let moved = machine.take_moves();
        let emitted = self.queue.drain();
        prop_assert_eq!(moved.len(), emitted.len());
        for (step, event) in moved.into_iter().zip(emitted) {
            prop_assert_eq!(
                (step.from, step.to, step.at),
                (event.from, event.to, event.at)
            );
            prop_assert_eq!(
                (step.generation, step.reason),
                (event.generation, event.reason)
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_handle_does_what_the_machine_does(kind in 0..CONFIGS, history in events()) {
        let mut pair = Pair::new(kind);
        for event in history {
            pair.step(event)?;
            pair.compare()?;
        }
    }
}
