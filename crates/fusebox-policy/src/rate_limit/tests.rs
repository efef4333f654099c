//! The rate against examples and in any stretch of time.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::{Entry, Limited, RateLimit, RatePermit};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Leave without a wait.
fn now(limit: &RateLimit, units: u32) -> Result<RatePermit, Limited> {
    match limit.enter(units)? {
        Entry::Permit(permit) => Ok(permit),
        Entry::Queued(..) => unreachable!("nobody may wait"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_then_one_per_interval() {
    let limit = RateLimit::new("api", 10, Duration::from_secs(1));
    assert_eq!(limit.available(), 10);
    (0..10).for_each(|_| now(&limit, 1).expect("the burst").spend());
    let limited = now(&limit, 1).expect_err("used up");
    assert_eq!(limited.retry_after, Some(ms(100)));
    advance(ms(100)).await;
    now(&limit, 1).expect("one interval").spend();
    assert!(now(&limit, 1).is_err());
    advance(ms(3_600_000)).await;
    assert_eq!(limit.available(), 10, "no more than the burst is saved");
}

#[tokio::test(start_paused = true)]
async fn a_weight_takes_as_much_and_one_above_the_burst_never_passes() {
    let limit = RateLimit::new("api", 60_000, Duration::from_secs(60)).with_burst(1_000);
    now(&limit, 900).expect("fits").spend();
    let limited = now(&limit, 200).expect_err("100 are left");
    assert_eq!(limited.retry_after, Some(ms(100)));
    now(&limit, 100).expect("fits").spend();
    let limited = now(&limit, 1_001).expect_err("too heavy");
    assert_eq!(limited.retry_after, None);
}

#[tokio::test(start_paused = true)]
async fn an_unspent_permit_leaves_the_rate_as_it_was_if_it_is_the_last() {
    let limit = RateLimit::new("api", 2, Duration::from_secs(2));
    drop(now(&limit, 2).expect("the burst"));
    assert_eq!(limit.available(), 2);
    let first = now(&limit, 1).expect("one");
    let second = now(&limit, 1).expect("two");
    drop(second);
    drop(first);
    assert_eq!(limit.available(), 2, "the last goes first");
    let first = now(&limit, 1).expect("one");
    now(&limit, 1).expect("two").spend();
    drop(first);
    assert_eq!(limit.available(), 0, "something came after it");
}

#[tokio::test(start_paused = true)]
async fn extremes_are_read_as_what_is_nearest() {
    let most = RateLimit::new("most", u32::MAX, Duration::ZERO).with_burst(u32::MAX);
    now(&most, u32::MAX).expect("everything").spend();
    let least = RateLimit::new("least", 0, Duration::MAX).with_burst(u32::MAX);
    assert_eq!(least.available(), 1);
    now(&least, 1).expect("the first of the century").spend();
    assert!(now(&least, 1).is_err());
}

/// What to do next: wait, or take some units and keep, or give back at once or later.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Take { units: u32, keep: bool },
    GiveBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..400_u64).prop_map(Step::Wait),
        (1..6_u32, any::<bool>()).prop_map(|(units, keep)| Step::Take { units, keep }),
        (0..4_usize).prop_map(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn what_is_not_given_back_never_exceeds_the_rate_in_any_stretch(steps in steps()) {
        const BURST: u32 = 5;
        let interval = ms(100);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        runtime.block_on(async {
            let limit = RateLimit::new("api", 10, Duration::from_secs(1)).with_burst(BURST);
            let mut spent: Vec<(Instant, u32)> = Vec::new();
            let mut held: Vec<(Instant, u32, RatePermit)> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(millis) => advance(ms(millis)).await,
                    Step::Take { units, keep } => {
                        let available = limit.available();
                        let taken = now(&limit, units);
                        prop_assert_eq!(taken.is_ok(), units <= available);
                        match taken {
                            Ok(permit) if keep => {
                                permit.spend();
                                spent.push((Instant::now(), units));
                            }
                            Ok(permit) => held.push((Instant::now(), units, permit)),
                            Err(_) => {}
                        }
                    }
                    Step::GiveBack(which) if !held.is_empty() => {
                        drop(held.swap_remove(which % held.len()));
                    }
                    Step::GiveBack(_) => {}
                }
            }
            for (at, units, permit) in held {
                permit.spend();
                spent.push((at, units));
            }
            spent.sort();
            for (first, (from, _)) in spent.iter().enumerate() {
                let mut units = 0;
                for (to, more) in &spent[first..] {
                    units += more;
                    let earned = (*to - *from).as_nanos() / interval.as_nanos();
                    prop_assert!(u128::from(units) <= u128::from(BURST) + earned);
                }
            }
            Ok(())
        })?;
    }
}
