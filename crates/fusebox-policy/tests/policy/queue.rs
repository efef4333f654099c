//! The bulkhead's queue: fairness, priority, shedding, sharing.

use std::sync::{Arc, Mutex};

use fusebox_policy::{Bulkhead, Call, CallError, Policy, Priority};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bench::{breaker, judge, ms};

/// Calls that stay inside until the gate lets them out one by one, and the order in which they got inside.
struct Pool {
    policy: Policy,
    gate: Arc<Semaphore>,
    inside: Arc<Mutex<Vec<String>>>,
    calls: JoinSet<Result<(), CallError<&'static str>>>,
}

impl Pool {
    fn new(bulkhead: Bulkhead) -> Self {
        Self {
            policy: Policy::builder(breaker(9_999)).bulkhead(bulkhead).build(),
            gate: Arc::new(Semaphore::new(0)),
            inside: Arc::default(),
            calls: JoinSet::new(),
        }
    }

    /// Starts a call and lets it go as far as it can.
    async fn call(&mut self, name: impl Into<String>, call: Call) {
        let (policy, gate, inside) = (self.policy.clone(), self.gate.clone(), self.inside.clone());
        let name = name.into();
        self.calls.spawn(async move {
            let op = async |_| {
                inside.lock().expect("no panic").push(name.clone());
                gate.acquire().await.expect("open").forget();
                Ok(1)
            };
            policy.call_with(call, &judge, &(), op).await.map(|_| ())
        });
        tokio::task::yield_now().await;
    }

    async fn of_tenant(&mut self, tenant: &'static str) {
        self.call(tenant, Call::new().with_tenant(tenant)).await;
    }

    async fn release(&self, calls: usize) {
        self.gate.add_permits(calls);
        sleep(ms(1)).await;
    }

    fn inside(&self) -> Vec<String> {
        self.inside.lock().expect("no panic").clone()
    }

    fn bulkhead(&self) -> &Bulkhead {
        self.policy.bulkhead().expect("set")
    }

    /// Lets everybody out; how many were made and how many turned away.
    async fn end(mut self) -> (usize, usize) {
        self.gate.add_permits(10_000);
        let (mut made, mut turned_away) = (0, 0);
        while let Some(result) = self.calls.join_next().await {
            match result.expect("no panic") {
                Ok(()) => made += 1,
                Err(CallError::BulkheadFull { .. }) => turned_away += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((self.bulkhead().in_use(), self.bulkhead().queued()), (0, 0));
        (made, turned_away)
    }
}

fn patient(slots: usize) -> Bulkhead {
    Bulkhead::new("pool", slots).with_max_wait(ms(3_600_000))
}

#[tokio::test(start_paused = true)]
async fn one_call_waits_for_one_release_behind_a_thousand_of_another_tenant() {
    let mut pool = Pool::new(patient(1));
    for _ in 0..1_001 {
        pool.of_tenant("many").await;
    }
    pool.of_tenant("one").await;
    assert_eq!(pool.bulkhead().queued(), 1_001);
    // The call inside, then one of the thousand.
    pool.release(2).await;
    assert_eq!(pool.inside(), ["many", "many", "one"]);
    assert_eq!(pool.end().await, (1_002, 0));
}

#[tokio::test(start_paused = true)]
async fn tenants_share_a_pool_by_weight() {
    let mut pool = Pool::new(patient(1).with_tenant_weight("gold", 3));
    pool.of_tenant("first").await;
    for _ in 0..8 {
        pool.of_tenant("iron").await;
        pool.of_tenant("gold").await;
    }
    pool.release(8).await;
    assert_eq!(
        pool.inside()[1..],
        [
            "iron", "gold", "gold", "gold", "iron", "gold", "gold", "gold"
        ]
    );
    assert_eq!(pool.end().await, (17, 0));
}

#[tokio::test(start_paused = true)]
async fn a_person_waiting_goes_before_a_batch() {
    let mut pool = Pool::new(patient(1));
    pool.call("inside", Call::new()).await;
    for (name, priority) in [
        ("batch", Priority::LOW),
        ("normal", Priority::NORMAL),
        ("person", Priority::HIGH),
    ] {
        pool.call(name, Call::new().with_priority(priority)).await;
    }
    pool.release(3).await;
    assert_eq!(pool.inside(), ["inside", "person", "normal", "batch"]);
    assert_eq!(pool.end().await, (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_20_makes_all_of_75_requests_20_at_a_time() {
    let mut pool = Pool::new(patient(20));
    for number in 0..75 {
        pool.call(number.to_string(), Call::new()).await;
        assert!(pool.bulkhead().in_use() <= 20);
    }
    assert_eq!(
        (pool.bulkhead().in_use(), pool.bulkhead().queued()),
        (20, 55)
    );
    pool.release(20).await;
    assert_eq!(
        (pool.bulkhead().in_use(), pool.bulkhead().queued()),
        (20, 35)
    );
    let order: Vec<_> = (0..40).map(|number: u32| number.to_string()).collect();
    assert_eq!(pool.inside(), order, "in order of arrival");
    assert_eq!(pool.end().await, (75, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_50_sheds_exactly_the_excess_whoever_it_is() {
    for excess in [0, 1, 5, 40] {
        let mut pool = Pool::new(patient(20).with_max_queue(50));
        for number in 0..70 + excess {
            let tenant = ["a", "b", "c"][number * number % 3];
            let priority = Priority::new((number * 7 % 5) as u8);
            let call = Call::new().with_tenant(tenant).with_priority(priority);
            pool.call(tenant, call).await;
            assert!(pool.bulkhead().queued() <= 50);
        }
        assert_eq!(pool.end().await, (70, excess));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_fills_the_queue_cannot_keep_others_out_of_it() {
    let mut pool = Pool::new(patient(1).with_max_queue(10));
    for _ in 0..11 {
        pool.of_tenant("many").await;
    }
    for _ in 0..20 {
        pool.of_tenant("few").await;
    }
    assert_eq!(pool.bulkhead().queued(), 10);
    pool.release(10).await;
    let inside = pool.inside();
    let of_few = inside.iter().filter(|name| *name == "few").count();
    assert_eq!((inside.len(), of_few), (11, 5), "half of the queue");
    assert_eq!(pool.end().await, (11, 20));
}

#[tokio::test(start_paused = true)]
async fn a_shed_call_says_that_nothing_was_called_and_how_long_it_waited() {
    let pool = patient(1).with_max_queue(1);
    let policy = Policy::builder(breaker(9)).bulkhead(pool.clone()).build();
    let low = || Call::new().with_priority(Priority::LOW);
    let holder = policy.call(&judge, &(), async |_| {
        sleep(ms(100)).await;
        Ok(1)
    });
    let shed = async {
        sleep(ms(10)).await;
        policy.call_with(low(), &judge, &(), async |_| Ok(1)).await
    };
    let urgent = async {
        sleep(ms(40)).await;
        policy.call(&judge, &(), async |_| Ok(1)).await
    };
    let (holder, shed, urgent) = tokio::join!(holder, shed, urgent);
    assert!(holder.is_ok() && urgent.is_ok());
    assert_eq!(
        shed.expect_err("displaced").to_string(),
        "bulkhead `pool` is full with 1 concurrent calls, gave up after 30ms; nothing was called"
    );
}

#[tokio::test(start_paused = true)]
async fn policies_that_share_a_bulkhead_share_its_slots_and_its_queue() {
    let pool = patient(1);
    let policies = [(); 2].map(|()| Policy::builder(breaker(9)).bulkhead(pool.clone()).build());
    let [one, other] = &policies;
    let holder = one.call(&judge, &(), async |_| {
        sleep(ms(100)).await;
        Ok(1)
    });
    let waiting = async {
        sleep(ms(1)).await;
        let call = other.call(&judge, &(), async |_| Ok(1));
        assert!(timeout(ms(50), call).await.is_err(), "the other's slot");
        assert_eq!((pool.in_use(), pool.queued()), (1, 0));
        other.call(&judge, &(), async |_| Ok(1)).await
    };
    let (holder, waited) = tokio::join!(holder, waiting);
    assert!(holder.is_ok() && waited.is_ok());
}

#[test]
fn threads_that_give_up_at_random_lose_no_slot() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let pool = patient(3).with_max_queue(40);
        let policy = Policy::builder(breaker(9_999))
            .bulkhead(pool.clone())
            .build();
        let mut calls = JoinSet::new();
        for number in 0..2_000_u32 {
            let (policy, pool) = (policy.clone(), pool.clone());
            calls.spawn(async move {
                let call = Call::new()
                    .with_tenant(["a", "b", "c"][number as usize % 3])
                    .with_priority(Priority::new((number % 2) as u8));
                let op = async |_| {
                    assert!(pool.in_use() <= 3);
                    for _ in 0..number % 5 {
                        tokio::task::yield_now().await;
                    }
                    Ok(1)
                };
                let call = policy.call_with(call, &judge, &(), op);
                let impatient = async {
                    for _ in 0..number * 7 % 23 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    _ = call => {}
                    () = impatient, if number % 3 > 0 => {}
                }
            });
        }
        calls.join_all().await;
        assert_eq!((pool.in_use(), pool.queued()), (0, 0));
        assert_eq!(policy.breaker().counts().in_flight(), 0);
    });
}
