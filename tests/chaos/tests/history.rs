//! No register ever shows what a single copy could not have shown.

use fusebox_chaos_tests::history::{
    self, LeaseAnswer, LeaseCall, LeaseModel, Model, Operation, RegisterAnswer, RegisterCall,
    RegisterModel, check,
};
use fusebox_chaos_tests::report::Section;

const SECTION: Section = Section {
    name: "4-histories",
    title: "Histories",
    text: "Five callers on one server while connections are reset, replies get lost and the server \
           is stopped for longer than their deadline. A call without an answer may take effect at \
           any later time, or never. The control is the same history with one answer changed.",
    columns: &[
        "of",
        "calls",
        "without an answer",
        "linearizable",
        "with one answer changed",
    ],
};

/// Checks a history, and the same one with an answer that `change` made wrong.
fn judged<M: Model>(
    place: &str,
    of: &str,
    mut calls: Vec<Operation<M::Call, M::Answer>>,
    change: impl Fn(&mut M::Answer) -> bool,
) {
    let open = calls.iter().filter(|call| call.ended.is_none()).count();
    assert!(open > 0, "there was no trouble");
    if let Err(why) = check::<M>(&calls) {
        panic!("{of}: {why}");
    }
    let changed = calls.iter_mut().filter_map(|call| call.ended.as_mut());
    let changed = changed.rev().any(|(_, answer)| change(answer));
    assert!(changed, "there was nothing to change");
    assert!(check::<M>(&calls).is_err(), "the control: {of}");
    let cells = [of, &calls.len().to_string(), &open.to_string(), "yes", "no"];
    SECTION.row(place, &cells.map(str::to_owned));
}

mod redis {
    use std::sync::Arc;
    use std::time::Duration;

    use fusebox_chaos_tests::{acquire, partition};
    use fusebox_state::{RedisConfig, RedisStore, RenewOutcome, StateStore, open};
    use fusebox_test_server::{Proxy, TestServer};

    use super::*;

    /// Why the model of a lease lets a release that ended it be answered `Lost`.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_release_sent_again_may_find_another_owner() {
        let long = Duration::from_secs(60);
        let server = TestServer::start().unwrap();
        let proxy = Proxy::to_port(server.port()).unwrap();
        let config = RedisConfig::from_url(&proxy.url()).unwrap();
        let config = config.with_deadline(long).with_connect_timeout(long / 4);
        let first = Arc::new(RedisStore::connect(config).await.unwrap());
        let second = open(server.url()).await.unwrap();
        let at = partition("run");
        let fence = acquire(&*first, &at, "first", 10 * long).await;
        // So that the server knows the script, and the reply swallowed below is that of a release.
        let other = partition("other");
        let known = acquire(&*first, &other, "first", long).await;
        assert_eq!(
            first.release(&other, &known).await.unwrap(),
            RenewOutcome::Released
        );
        let swallowed = proxy.dropped_replies();
        proxy.drop_replies();
        let releasing = tokio::spawn({
            let at = at.clone();
            async move { first.release(&at, &fence).await }
        });
        tokio::task::block_in_place(|| proxy.wait_for_dropped_replies(swallowed + 1));
        let theirs = acquire(&*second, &at, "second", 10 * long).await;
        proxy.pass();
        let answer = releasing.await.unwrap().unwrap();
        let current_epoch = Some(theirs.epoch);
        assert_eq!(answer, RenewOutcome::Lost { current_epoch });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_register_under_faults_is_one_register() {
        let calls = history::registers().await;
        judged::<RegisterModel>(
            "1",
            "a key, by compare-and-swap",
            calls,
            |answer| match answer {
                RegisterAnswer::Is(version @ 2.., _) => {
                    *version -= 1;
                    true
                }
                _ => false,
            },
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lease_under_faults_is_one_lease() {
        let calls = history::leases().await;
        judged::<LeaseModel>(
            "2",
            "a lease, and writes under it",
            calls,
            |answer| match answer {
                LeaseAnswer::Acquired(epoch) => {
                    *epoch = 1;
                    true
                }
                _ => false,
            },
        );
    }
}

fn call<C, A>(began: u64, call: C, ended: Option<(u64, A)>) -> Operation<C, A> {
    Operation { began, ended, call }
}

const fn swap(expected: u64, value: u64) -> RegisterCall {
    RegisterCall::Swap { expected, value }
}

#[test]
fn two_swaps_from_one_version_are_rejected() {
    let both = [
        call(0, swap(0, 7), Some((2, RegisterAnswer::Swapped))),
        call(1, swap(0, 8), Some((3, RegisterAnswer::Swapped))),
    ];
    assert!(check::<RegisterModel>(&both).is_err());
    assert!(check::<RegisterModel>(&both[..1]).is_ok());
}

#[test]
fn a_read_of_the_past_is_rejected() {
    let read = |began| {
        call(
            began,
            RegisterCall::Read,
            Some((began + 1, RegisterAnswer::Is(0, 0))),
        )
    };
    let write = call(2, swap(0, 7), Some((4, RegisterAnswer::Swapped)));
    assert!(
        check::<RegisterModel>(&[write.clone(), read(3)]).is_ok(),
        "while it is written"
    );
    assert!(
        check::<RegisterModel>(&[write, read(5)]).is_err(),
        "afterwards"
    );
}

#[test]
fn an_unanswered_call_takes_effect_late_or_never_and_not_twice() {
    let open = call(0, swap(0, 7), None);
    let read = |began, version, value| {
        let answer = RegisterAnswer::Is(version, value);
        call(began, RegisterCall::Read, Some((began + 1, answer)))
    };
    let holds = |calls: &[_]| check::<RegisterModel>(calls).is_ok();
    assert!(holds(&[open.clone(), read(1, 0, 0)]));
    assert!(holds(&[open.clone(), read(1, 0, 0), read(3, 1, 7)]));
    assert!(!holds(&[open.clone(), read(1, 1, 7), read(3, 0, 0)]));
    assert!(!holds(&[open, read(1, 1, 7), read(3, 2, 7)]));
    assert!(!holds(&[read(1, 1, 7)]), "out of nothing");
}

#[test]
fn two_owners_of_one_lease_are_rejected() {
    let acquire = |owner| LeaseCall::Acquire {
        owner,
        takeover: None,
    };
    let first = call(0, acquire(1), Some((1, LeaseAnswer::Acquired(5))));
    let second = call(2, acquire(2), Some((3, LeaseAnswer::Acquired(6))));
    let write =
        |began, epoch, answer| call(began, LeaseCall::Write(epoch), Some((began + 1, answer)));
    let release = call(4, LeaseCall::Release(5), None);
    let holds = |calls: &[_]| check::<LeaseModel>(calls).is_ok();
    assert!(!holds(&[first.clone(), second.clone()]));
    let mut early = release;
    early.began = 1;
    assert!(
        holds(&[first.clone(), early.clone(), second.clone()]),
        "released unheard"
    );
    let done = LeaseAnswer::Done;
    assert!(!holds(&[
        first.clone(),
        early.clone(),
        second.clone(),
        write(6, 5, done)
    ]));
    assert!(holds(&[
        first,
        early,
        second,
        write(6, 5, LeaseAnswer::Lost)
    ]));
}
