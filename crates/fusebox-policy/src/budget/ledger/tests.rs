//! The ledger against examples and a list of everything.

use std::time::Duration;

use proptest::prelude::*;

use super::{Ledger, Limits, Shortage};
use crate::budget::Resource;
use crate::spend::Spend;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn per_minute(tokens: u64) -> Ledger {
    Ledger::new(Limits::new().with_tokens_per_window(tokens))
}

#[test]
fn reaching_the_limit_is_allowed_and_one_more_is_not() {
    let mut ledger = per_minute(100);
    assert!(ledger.reserve(Spend::tokens(60), secs(0)).is_ok());
    assert!(ledger.reserve(Spend::tokens(40), secs(10)).is_ok());
    assert_eq!(
        ledger.reserve(Spend::tokens(1), secs(20)).unwrap_err(),
        Shortage {
            resource: Resource::Tokens,
            window: Some(secs(60)),
            asked: 1,
            left: 0,
            limit: 100,
            // Taken within second 0, which lies a whole minute back when second 61 begins.
            retry_after: Some(secs(41)),
            awaits_calls: false,
        }
    );
}

#[test]
fn what_was_not_used_goes_back_into_the_window_it_was_taken_from() {
    let mut ledger = per_minute(100);
    let entry = ledger.reserve(Spend::tokens(100), secs(0)).expect("empty");
    ledger.settle(entry, Spend::tokens(30), secs(30));
    assert!(ledger.reserve(Spend::tokens(71), secs(30)).is_err());
    assert!(ledger.reserve(Spend::tokens(70), secs(30)).is_ok());
    // Second 0 slides away with what was really used then.
    assert!(ledger.reserve(Spend::tokens(31), secs(61)).is_err());
    assert!(ledger.reserve(Spend::tokens(30), secs(61)).is_ok());
}

#[test]
fn what_was_used_beyond_the_reservation_counts_from_when_it_is_known() {
    let mut ledger = per_minute(100);
    let entry = ledger.reserve(Spend::tokens(10), secs(0)).expect("empty");
    ledger.settle(entry, Spend::tokens(250), secs(50));
    let shortage = ledger.reserve(Spend::tokens(1), secs(61)).unwrap_err();
    assert_eq!(
        (shortage.left, shortage.retry_after),
        (0, Some(secs(50 + 61 - 61)))
    );
    assert!(ledger.reserve(Spend::tokens(100), secs(111)).is_ok());
}

#[test]
fn a_settlement_after_the_window_has_passed_changes_only_the_total() {
    let mut ledger = per_minute(100);
    let entry = ledger.reserve(Spend::tokens(100), secs(0)).expect("empty");
    ledger.settle(entry, Spend::tokens(1), secs(500));
    assert_eq!(ledger.in_window, [0; 2]);
    assert_eq!(ledger.spent(), Spend::tokens(1));
}

#[test]
fn the_whole_budget_does_not_come_back_by_waiting() {
    let mut ledger = Ledger::new(Limits::new().with_total_micro_dollars(500));
    let entry = ledger
        .reserve(Spend::micro_dollars(500), secs(0))
        .expect("empty");
    let shortage = ledger
        .reserve(Spend::micro_dollars(1), secs(9_999))
        .unwrap_err();
    assert_eq!((shortage.window, shortage.retry_after), (None, None));
    ledger.settle(entry, Spend::micro_dollars(499), secs(9_999));
    assert!(ledger.reserve(Spend::micro_dollars(1), secs(9_999)).is_ok());
}

#[test]
fn a_part_of_zero_is_not_checked() {
    let mut ledger = Ledger::new(Limits::new().with_total_micro_dollars(0));
    assert!(ledger.reserve(Spend::tokens(7), secs(0)).is_ok());
    assert!(ledger.reserve(Spend::new(7, 1), secs(0)).is_err());
}

#[test]
fn more_than_fits_into_a_window_never_comes() {
    let shortage = per_minute(10)
        .reserve(Spend::tokens(11), secs(0))
        .unwrap_err();
    assert_eq!(shortage.retry_after, None);
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    let most = Spend::new(u64::MAX, u64::MAX);
    let mut ledger = Ledger::new(Limits::new());
    let entries: Vec<_> = (0..9)
        .map(|at| ledger.reserve(most, secs(at)).expect("no limits"))
        .collect();
    entries
        .into_iter()
        .for_each(|entry| ledger.settle(entry, most, secs(9)));
    assert_eq!(ledger.spent(), most, "told as the largest number there is");
    assert_eq!(ledger.reserved(), Spend::ZERO);
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Reserve(u64),
    /// Which of the open reservations, and its cost in thousandths of what was reserved.
    Settle(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..30_000_u64).prop_map(Step::Wait),
        (0..40_u64).prop_map(Step::Reserve),
        (0..8_usize, 0..1_500_u64).prop_map(|(which, share)| Step::Settle(which, share)),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// The naive model keeps every amount with its moment and adds them up each time.
    #[test]
    fn it_never_allows_more_than_a_list_of_everything_would(steps in steps()) {
        const LIMIT: u64 = 100;
        const TOTAL: u64 = 1_000;
        let window = secs(60);
        let limits = Limits::new().with_tokens_per_window(LIMIT).with_total_tokens(TOTAL);
        let mut ledger = Ledger::new(limits);
        let mut now = Duration::ZERO;
        let mut taken: Vec<(Duration, u64)> = Vec::new();
        let mut open = Vec::new();
        let mut spent = 0;
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Reserve(tokens) => {
                    let in_window = |from: Duration| -> u64 {
                        taken.iter().filter(|(at, _)| *at + from > now).map(|(_, tokens)| tokens).sum()
                    };
                    let reserved: u64 = open.iter().map(|(_, _, tokens)| tokens).sum();
                    let fits_total = reserved + spent + tokens <= TOTAL;
                    match ledger.reserve(Spend::tokens(tokens), now) {
                        Ok(entry) => {
                            prop_assert!(tokens == 0 || in_window(window) + tokens <= LIMIT);
                            prop_assert!(tokens == 0 || fits_total);
                            open.push((entry, taken.len(), tokens));
                            taken.push((now, tokens));
                        }
                        Err(shortage) => {
                            // It may be one step late to forget, not more.
                            let over = in_window(window + secs(1)) + tokens > LIMIT;
                            prop_assert!(over || !fits_total);
                            if let Some(after) = shortage.retry_after {
                                let just_before = now + after - Duration::from_nanos(1);
                                prop_assert!(ledger.reserve(Spend::tokens(tokens), just_before).is_err());
                                now += after;
                                let entry = ledger.reserve(Spend::tokens(tokens), now);
                                prop_assert!(entry.is_ok(), "promised {after:?}");
                                ledger.settle(entry.expect("checked"), Spend::ZERO, now);
                            } else {
                                prop_assert!(!fits_total);
                            }
                        }
                    }
                }
                Step::Settle(which, share) if !open.is_empty() => {
                    let (entry, index, tokens) = open.swap_remove(which % open.len());
                    let actual = tokens * share / 1_000;
                    ledger.settle(entry, Spend::tokens(actual), now);
                    spent += actual;
                    taken[index].1 = actual.min(tokens);
                    taken.push((now, actual.saturating_sub(tokens)));
                }
                Step::Settle(..) => {}
            }
            let reserved: u64 = open.iter().map(|(_, _, tokens)| tokens).sum();
            prop_assert_eq!(ledger.reserved(), Spend::tokens(reserved));
            prop_assert_eq!(ledger.spent(), Spend::tokens(spent));
            prop_assert!(ledger.steps.len() <= 61, "memory stays flat");
        }
    }
}

#[test]
fn what_calls_in_flight_hold_may_come_back_and_what_is_spent_does_not() {
    let mut ledger = Ledger::new(Limits::new().with_total_tokens(100));
    let entry = ledger.reserve(Spend::tokens(60), secs(0)).unwrap();
    let shortage = ledger.reserve(Spend::tokens(50), secs(0)).unwrap_err();
    assert!(shortage.awaits_calls && shortage.left == 40);
    ledger.settle(entry, Spend::tokens(60), secs(0));
    let shortage = ledger.reserve(Spend::tokens(50), secs(0)).unwrap_err();
    assert!(!shortage.awaits_calls && shortage.left == 40);
}

#[test]
fn what_is_charged_counts_at_once_and_may_overdraw() {
    let limits = Limits::new()
        .with_total_tokens(100)
        .with_tokens_per_window(200);
    let mut ledger = Ledger::new(limits);
    ledger.charge(Spend::tokens(150), secs(0));
    assert_eq!(ledger.spent(), Spend::tokens(150));
    let shortage = ledger.reserve(Spend::tokens(1), secs(0)).unwrap_err();
    assert_eq!((shortage.left, shortage.limit), (0, 100));
    assert!(!shortage.awaits_calls);
}
