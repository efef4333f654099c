//! Calls in flight past the slow limit, beside a list of when each call started.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Breaker, Clock, Config, CountWindow, Jitter, ManualClock, Permit, Reason, SlowCalls, State,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Event {
    Acquire,
    Succeed(usize),
    Cancel(usize),
    Advance(u64),
    Tick,
    /// Opens by hand and recovers: calls in flight are of an older generation then.
    Recover,
    Limit(Option<u64>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        20 => Just(Event::Acquire),
        12 => any::<usize>().prop_map(Event::Succeed),
        3 => any::<usize>().prop_map(Event::Cancel),
        // Within a cohort, to the next ones, and past a whole round of them.
        12 => (0_u64..60).prop_map(Event::Advance),
        6 => (60_u64..500).prop_map(Event::Advance),
        2 => (500_u64..4_000).prop_map(Event::Advance),
        4 => Just(Event::Tick),
        1 => Just(Event::Recover),
        1 => prop::option::of(prop_oneof![Just(800_u64), Just(400)]).prop_map(Event::Limit),
    ];
    prop::collection::vec(event, 0..200)
}

const WINDOW: usize = 8;
const MINIMUM: usize = 3;
const THRESHOLD: f64 = 0.5;

fn config(limit: Option<u64>) -> Config {
    let base = Config::builder()
        .without_consecutive_failures()
        .count_window(CountWindow {
            size: WINDOW as u32,
            minimum_number_of_calls: WINDOW as u32,
            failure_rate_threshold: 1.0,
        })
        .wait_duration_in_open(Duration::from_millis(1))
        .jitter(Jitter::None)
        .successes_to_close(1);
    let config = match limit {
        Some(ms) => base.slow_calls(SlowCalls {
            slow_call_duration_threshold: Duration::from_millis(ms),
            slow_call_rate_threshold: THRESHOLD,
            minimum_number_of_calls: MINIMUM as u32,
        }),
        None => base,
    };
    config.build().expect("good settings")
}

/// A call in flight: its permit, when it started, and whether the limit in force watches it.
struct Flight {
    permit: Permit,
    started: u64,
    /// Whether there was a limit then; if not, nobody knows when it started.
    timed: bool,
    watched: bool,
}

struct Bench {
    breaker: Breaker,
    clock: ManualClock,
    limit: Option<u64>,
    flights: Vec<Flight>,
    /// Whether each call of the window was slow, oldest first.
    ended: Vec<bool>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new();
        let breaker = Breaker::builder("flights", config(Some(800)))
            .clock(Arc::new(clock.clone()))
            .build();
        Self {
            breaker,
            clock,
            limit: Some(800),
            flights: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos() / 1_000_000
    }

    /// Calls in flight that started nine eighths of the limit ago, by eighths.
    fn overdue(&self) -> usize {
        let Some(limit) = self.limit else { return 0 };
        let step = limit / 8;
        let overdue =
            |flight: &&Flight| flight.watched && self.now() / step >= flight.started / step + 9;
        self.flights.iter().filter(overdue).count()
    }

    /// What the rule must say now.
    fn opens(&self) -> Option<Reason> {
        let limit_ms = self.limit?;
        let in_flight = self.overdue();
        let tail = &self.ended[self.ended.len().saturating_sub(WINDOW)..];
        let slow = tail.iter().filter(|slow| **slow).count() + in_flight;
        let calls = tail.len() + in_flight;
        let holds = calls >= MINIMUM && slow as f64 / calls as f64 >= THRESHOLD;
        holds.then_some(Reason::SlowCallRate {
            slow: slow as u32,
            in_flight: in_flight as u32,
            calls: calls as u32,
            limit_ms,
            threshold: THRESHOLD,
        })
    }

    /// Compares, and begins anew if it has opened.
    fn compare(&mut self, expected: Option<Reason>) -> Result<(), TestCaseError> {
        let counts = self.breaker.counts();
        prop_assert_eq!(counts.in_flight(), self.flights.len() as u64);
        if expected.is_none() {
            prop_assert_eq!(self.breaker.state(), State::Closed);
            return Ok(());
        }
        prop_assert_eq!(self.breaker.reason(), expected);
        self.recover();
        Ok(())
    }

    fn recover(&mut self) {
        self.breaker.trip("test");
        self.clock.advance(Duration::from_secs(600));
        self.breaker
            .try_acquire()
            .expect("a probe is due")
            .success();
        assert_eq!(self.breaker.state(), State::Closed);
        self.ended.clear();
        self.flights
            .iter_mut()
            .for_each(|flight| flight.watched = false);
    }

    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Advance(ms) => {
                self.clock.advance(Duration::from_millis(*ms));
                return Ok(());
            }
            Event::Recover => {
                self.recover();
                return Ok(());
            }
            Event::Limit(limit) => {
                if *limit != self.limit {
                    self.flights
                        .iter_mut()
                        .for_each(|flight| flight.watched = false);
                }
                if limit.is_none() {
                    // Windows remember slow calls only where there is a rule for them.
                    self.ended.fill(false);
                }
                self.limit = *limit;
                self.breaker.reconfigure(config(*limit));
                self.breaker.tick();
            }
            Event::Tick => self.breaker.tick(),
            Event::Acquire => {
                let (expected, permit) = (self.opens(), self.breaker.try_acquire());
                let Ok(permit) = permit else {
                    return self.compare(expected);
                };
                self.flights.push(Flight {
                    permit,
                    started: self.now(),
                    timed: self.limit.is_some(),
                    watched: self.limit.is_some(),
                });
            }
            Event::Succeed(index) | Event::Cancel(index) if !self.flights.is_empty() => {
                // Those overdue are noticed first; an outcome after that is of an older generation.
                let expected = self.opens();
                let flight = self.flights.swap_remove(index % self.flights.len());
                if matches!(event, Event::Cancel(_)) {
                    drop(flight.permit);
                } else {
                    let of_now = flight.permit.generation() == self.breaker.generation();
                    flight.permit.success();
                    let took = self.now() - flight.started;
                    if of_now && expected.is_none() {
                        let is_slow = |limit: u64| flight.timed && took >= limit;
                        self.ended.push(self.limit.is_some_and(is_slow));
                    }
                }
                if expected.is_some() {
                    return self.compare(expected);
                }
            }
            Event::Succeed(_) | Event::Cancel(_) => {}
        }
        let expected = self.opens();
        self.compare(expected)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn those_past_the_limit_are_known_to_the_call(history in events()) {
        let mut bench = Bench::new();
        for event in &history {
            bench.step(event)?;
        }
        bench.flights.clear();
        prop_assert_eq!(bench.breaker.counts().in_flight(), 0);
    }
}
