//! Random histories of the pure machine: what must hold after every single event.

use std::time::Duration;

use fusebox_breaker::machine::{Admission, Machine};
use fusebox_breaker::{
    Availability, Config, CountWindow, FailureKind, Jitter, Override, Reason, State, Timestamp,
    Verdict,
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
    Force(State, Option<u64>),
    Release,
    SaveAndRestore,
    Reconfigure(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let verdict = prop_oneof![
        3 => Just(Verdict::Success),
        4 => Just(Verdict::Failure(FailureKind::Error)),
        2 => Just(Verdict::Failure(FailureKind::TimedOut)),
        1 => Just(Verdict::Neutral),
        1 => (0_u64..5_000).prop_map(|ms| Verdict::TripUntil(Duration::from_millis(ms))),
    ];
    let forced = prop_oneof![
        Just(State::ForcedOpen),
        Just(State::Disabled),
        Just(State::MetricsOnly)
    ];
    let event = prop_oneof![
        20 => Just(Event::Acquire),
        14 => (any::<usize>(), verdict).prop_map(|(index, verdict)| Event::Record(index, verdict)),
        2 => any::<usize>().prop_map(Event::Cancel),
        10 => (0_u64..3_000).prop_map(Event::Advance),
        1 => Just(Event::Tick),
        1 => Just(Event::Trip),
        1 => (forced, prop::option::of(0_u64..4_000)).prop_map(|(s, ms)| Event::Force(s, ms)),
        1 => Just(Event::Release),
        1 => Just(Event::SaveAndRestore),
        1 => (1_u32..12).prop_map(Event::Reconfigure),
    ];
    prop::collection::vec(event, 0..250)
}

const DEADLINE: Duration = Duration::from_millis(1_500);

fn config(probes: u32, size: u32) -> Config {
    Config::builder()
        .consecutive_failures(3)
        .count_window(CountWindow {
            size,
            minimum_number_of_calls: size,
            failure_rate_threshold: 0.6,
        })
        .wait_duration_in_open(Duration::from_secs(1))
        // Exact waits, so that what availability tells of a lost probe's opening can be checked to the nanosecond.
        .jitter(Jitter::None)
        .max_concurrent_probes(probes)
        .successes_to_close(2)
        .probe_deadline(DEADLINE)
        .build()
        .expect("good settings")
}

/// Every row that may exist, by reason.
fn is_legal(from: State, to: State, reason: &Reason) -> bool {
    use State::{Closed, HalfOpen, Open};
    match reason {
        Reason::ConsecutiveFailures { .. } | Reason::FailureRate { .. } => {
            (from, to) == (Closed, Open)
        }
        Reason::ProbeFailed | Reason::ProbeLost { .. } => (from, to) == (HalfOpen, Open),
        Reason::ProbesSucceeded { .. } => (from, to) == (HalfOpen, Closed),
        Reason::WaitElapsed => (from, to) == (Open, HalfOpen),
        Reason::TripUntil { .. } | Reason::Tripped { .. } => {
            matches!(from, Closed | HalfOpen) && to == Open
        }
        Reason::Forced { .. } => to.is_override(),
        Reason::Expired => from.is_override() && matches!(to, Closed | Open),
        Reason::Released { .. } => {
            (from, to) == (Open, HalfOpen) || from.is_override() && matches!(to, Closed | Open)
        }
        Reason::Restored => to != HalfOpen && (from, to) != (Closed, Closed),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn accounts_add_up_moves_are_legal_and_probes_stay_within_their_slots(
        probes in 1_u32..4,
        history in events(),
    ) {
        let mut now = Timestamp::default();
        let mut machine = Machine::new(config(probes, 6), now);
        let mut held: Vec<Admission> = Vec::new();
        let (mut state, mut generation) = (State::Closed, 0);
        let mut last_at = now;

        for event in history {
            let restored = matches!(event, Event::SaveAndRestore);
            match event {
                Event::Acquire => {
                    let before = format!("{machine:?}");
                    let told = machine.availability(now);
                    prop_assert_eq!(before, format!("{machine:?}"), "asking moves nothing");
                    let got = machine.try_acquire(now, 0.5);
                    match (told, &got) {
                        (Availability::Ready, Ok(admission)) => prop_assert!(!admission.is_probe()),
                        (Availability::ProbeReady, Ok(admission)) => prop_assert!(admission.is_probe()),
                        (Availability::NotBefore(after), Err(rejection)) => {
                            prop_assert_eq!(rejection.retry_after, Some(after));
                        }
                        (Availability::Never, Err(rejection)) => {
                            prop_assert_eq!(rejection.retry_after, None);
                        }
                        other => prop_assert!(false, "told and met differ: {other:?}"),
                    }
                    held.extend(got.ok());
                }
                Event::Record(index, verdict) if !held.is_empty() => {
                    let admission = held.swap_remove(index % held.len());
                    machine.record(admission, verdict, now, 0.5);
                }
                Event::Cancel(index) if !held.is_empty() => {
                    let admission = held.swap_remove(index % held.len());
                    machine.cancel(admission, now, 0.5);
                }
                Event::Record(..) | Event::Cancel(_) => {}
                Event::Advance(ms) => now = now + Duration::from_millis(ms),
                Event::Tick => machine.tick(now, 0.5),
                Event::Trip => {
                    let _ = machine.trip("model", now, 0.5);
                }
                Event::Force(state, ms) => {
                    let mut by = Override::new("model", "test");
                    by.expires_in = ms.map(Duration::from_millis);
                    match state {
                        State::ForcedOpen => machine.force_open(by, now, 0.5),
                        State::Disabled => machine.disable(by, now, 0.5),
                        _ => machine.metrics_only(by, now, 0.5),
                    }
                }
                Event::Release => {
                    let _ = machine.release("test", now, 0.5);
                }
                Event::SaveAndRestore => {
                    let snapshot = machine.snapshot(now);
                    machine.restore(&snapshot, now);
                }
                Event::Reconfigure(size) => machine.reconfigure(config(probes, size), now),
            }

            let counts = machine.counts();
            prop_assert_eq!(counts.in_flight(), held.len() as u64);
            let ended = counts.succeeded + counts.failed + counts.timed_out + counts.ignored + counts.cancelled;
            prop_assert_eq!(counts.admitted, ended + held.len() as u64);
            prop_assert_eq!(counts.total(), counts.admitted + counts.rejected);

            let of_now = |a: &&Admission| a.is_probe() && a.generation() == machine.generation();
            prop_assert!(held.iter().filter(of_now).count() <= probes as usize);

            let moves = machine.take_moves();
            if restored {
                generation = machine.generation() - moves.len() as u64;
            }
            for step in moves {
                prop_assert!(is_legal(step.from, step.to, &step.reason), "{step:?}");
                prop_assert_eq!(step.from, state);
                prop_assert_eq!(step.generation, generation + 1);
                prop_assert!(step.at >= last_at && step.at <= now);
                (state, generation, last_at) = (step.to, step.generation, step.at);
            }
            prop_assert_eq!((state, generation), (machine.state(), machine.generation()));
        }

        // Every state has an exit: with the operator's hand lifted and time passing, successes close it.
        let _ = machine.release("test", now, 0.5);
        for _ in 0..6 {
            now = now + Duration::from_secs(3_600);
            if let Ok(admission) = machine.try_acquire(now, 0.5) {
                machine.record(admission, Verdict::Success, now, 0.5);
            }
        }
        prop_assert_eq!(machine.state(), State::Closed);
    }
}
