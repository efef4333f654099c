//! A primary cut off with an owner beside it, for longer than the lease, and let back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fusebox_state::{
    AcquireOutcome, Commit, CommitOutcome, Durability, Expect, FallbackConfig, FallbackStore,
    Fence, LeaseRequest, Partition, StateStore, WriteId, forks,
};
use fusebox_test_server::{Member, Proxy, SentinelSet};

use super::{DOWN_AFTER, TTL, asked, through_port, through_sentinels, wait_for_values};
use crate::backend::started;
use crate::words::{acquire, bounded, key, partition, put, until_answered};

/// Writes before the cut, and of the second owner.
const WRITES: usize = 20;
/// So that an owner that is always answered does not write without end.
const PACE: Duration = Duration::from_millis(10);

/// What a write must reach to be acknowledged, and who is cut off with the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// For the table.
    pub name: &'static str,
    /// `?replicas=`
    pub replicas: u8,
    /// Whether the primary refuses when it has not heard from a replica for 2 s.
    pub min_replicas: bool,
    /// Whether one of the two replicas is on the primary's side.
    pub with_replica: bool,
}

impl Level {
    fn set(self) -> SentinelSet {
        let set = SentinelSet::builder().proxied().down_after(DOWN_AFTER);
        started(match self.min_replicas {
            false => set.start(),
            true => set.min_replicas(1, Duration::from_secs(2)).start(),
        })
    }

    /// No replica is left on the other side when one is cut off with the primary, and the second
    /// owner would wait for its deadline each time.
    fn replicas_of_second(self) -> u8 {
        match self.with_replica {
            true => 0,
            false => self.replicas,
        }
    }

    /// The data servers on the primary's side.
    fn side(self, old: usize) -> Vec<Member> {
        let replica = (0..)
            .find(|node| *node != old)
            .filter(|_| self.with_replica);
        let nodes = [old].into_iter().chain(replica);
        nodes.map(Member::Node).collect()
    }
}

/// What came of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut {
    /// Writes of the first owner acknowledged, by what they were said to survive.
    pub acknowledged: BTreeMap<Durability, usize>,
    /// Of those, not in the store after healing.
    pub lost: BTreeMap<Durability, usize>,
    /// Of the lost, those that their owner was not told of and given back as a fork.
    pub untold: usize,
    /// Writes of the first owner accepted under the second one's lease.
    pub stale_accepted: usize,
    /// Writes of the second owner that are not there.
    pub second_lost: usize,
    /// Writes without a fence, by the first writer after the second, that were accepted: what the
    /// fence is for.
    pub unfenced_accepted: usize,
}

/// Cuts the primary off with the first owner, lets a second one take over on the other side, heals,
/// and counts.
///
/// # Panics
/// If the servers do not do as they should.
pub async fn cut(level: Level) -> Cut {
    let set = Arc::new(
        tokio::task::spawn_blocking(move || level.set())
            .await
            .expect("a set"),
    );
    let old = asked(&set, |set| started(set.primary())).await;
    let address = Arc::new(started(Proxy::to_port(set.node(old).port())));
    let at = partition("run");

    let primary = through_port(address.port(), level.replicas).await;
    let first = FallbackStore::open(Arc::clone(&primary), FallbackConfig::fail_closed());
    let first = Arc::new(started(first.await));
    let fence = acquire(&*first, &at, "first", TTL).await;
    let mut acknowledged = Vec::new();
    for n in 0..WRITES {
        let name = format!("before-{n:02}");
        match until_answered(&*first, &at, &write(&fence, &name)).await {
            CommitOutcome::Applied { durability, .. }
            | CommitOutcome::Duplicate { durability, .. } => acknowledged.push((name, durability)),
            other => panic!("the only owner is answered {other:?}"),
        }
    }
    let free = partition("free");
    assert!(
        until_answered(&*primary, &free, &put("a", b"first"))
            .await
            .is_applied()
    );
    asked(&set, move |set| {
        let others: Vec<_> = (0..set.nodes()).filter(|node| *node != old).collect();
        wait_for_values(set, &others, "run", i64::try_from(WRITES).expect("few"));
        wait_for_values(set, &others, "free", 1);
        set.cut_together(&level.side(old));
    })
    .await;

    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_on(
        Arc::clone(&first),
        at.clone(),
        fence.clone(),
        Arc::clone(&over),
    ));
    let new = asked(&set, move |set| started(set.primary_after(old))).await;
    let second = through_sentinels(&set, level.replicas_of_second()).await;
    let theirs = acquired_when_free(&*second, &at).await;
    for n in 0..WRITES {
        let write = write(&theirs, &format!("second-{n:02}"));
        assert!(until_answered(&*second, &at, &write).await.is_applied());
    }
    assert!(
        until_answered(&*second, &free, &put("a", b"second"))
            .await
            .is_applied()
    );
    over.store(true, Ordering::Relaxed);
    acknowledged.extend(
        bounded("the first owner ends", writing)
            .await
            .expect("no panic"),
    );

    // The address of the first owner leads to the new primary once the network is whole.
    asked(&set, move |set| {
        set.heal_all();
        assert_eq!(started(set.wait_until_steady()), new);
    })
    .await;
    address.lead_to(([127, 0, 0, 1], set.node(new).port()));
    let resetting = Arc::clone(&address);
    tokio::task::spawn_blocking(move || resetting.reset())
        .await
        .expect("a reset");
    let mut outcome = Cut::default();
    for n in 0..WRITES {
        let late = write(&fence, &format!("late-{n:02}"));
        match until_answered(&*first, &at, &late).await {
            CommitOutcome::StaleEpoch { .. } => {}
            other => panic!("a stale owner is answered {other:?}"),
        }
    }
    let unfenced = until_answered(&*primary, &free, &put("a", b"first again")).await;
    outcome.unfenced_accepted = usize::from(unfenced.is_applied());
    outcome.count(&*second, &first, &at, acknowledged).await;
    outcome
}

impl Cut {
    async fn count(
        &mut self,
        store: &dyn StateStore,
        first: &FallbackStore,
        at: &Partition,
        acknowledged: Vec<(String, Durability)>,
    ) {
        let image = store
            .image(at)
            .await
            .expect("an answer")
            .expect("it is there");
        let there = |name: &str| image.entries.iter().any(|(key, _)| key.as_str() == name);
        let fork = forks(store).await.expect("an answer").into_iter().next();
        let fork = match fork {
            Some(fork) => store.image(&fork.stored_as).await.expect("an answer"),
            None => None,
        };
        let kept = |name: &str| {
            let mut entries = fork.iter().flat_map(|image| &image.entries);
            first.status().forks > 0 && entries.any(|(key, _)| key.as_str() == name)
        };
        for (name, durability) in acknowledged {
            *self.acknowledged.entry(durability).or_default() += 1;
            if !there(&name) {
                *self.lost.entry(durability).or_default() += 1;
                self.untold += usize::from(!kept(&name));
            }
        }
        let names = |prefix: &str| {
            let entries = image.entries.iter();
            entries
                .filter(|(key, _)| key.as_str().starts_with(prefix))
                .count()
        };
        self.stale_accepted = names("late-");
        self.second_lost = WRITES - names("second-");
    }

    /// How many of a map, for the table.
    pub fn shown(counts: &BTreeMap<Durability, usize>) -> String {
        let each: Vec<_> = counts
            .iter()
            .map(|(level, n)| format!("{n} {level}"))
            .collect();
        match each.is_empty() {
            true => "0".to_owned(),
            false => each.join(", "),
        }
    }
}

/// An owner that does not know of the cut: writes for as long as it may.
async fn write_on(
    store: Arc<FallbackStore>,
    at: Partition,
    fence: Fence,
    over: Arc<AtomicBool>,
) -> Vec<(String, Durability)> {
    let mut acknowledged = Vec::new();
    let mut n = 0;
    while !over.load(Ordering::Relaxed) {
        let name = format!("cut-{n:05}");
        n += 1;
        if let Ok(CommitOutcome::Applied { durability, .. }) =
            store.commit(&at, write(&fence, &name)).await
        {
            acknowledged.push((name, durability));
        }
        tokio::time::sleep(PACE).await;
    }
    acknowledged
}

/// Waits for the lease to run out, as the new primary's clock has it.
async fn acquired_when_free(store: &dyn StateStore, at: &Partition) -> Fence {
    let acquiring = async {
        loop {
            let request = LeaseRequest::new("second", Duration::from_secs(600));
            match store.acquire(at, request).await {
                Ok(AcquireOutcome::Acquired { fence, previous }) => {
                    assert_eq!(previous.expect("the first owner's").owner, "first");
                    return fence;
                }
                Ok(AcquireOutcome::Held(_)) => {}
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            tokio::time::sleep(PACE).await;
        }
    };
    bounded("the lease runs out", acquiring).await
}

fn write(fence: &Fence, name: &str) -> Commit {
    let write = Commit::new(WriteId::random()).fenced(fence.clone());
    write.put(key(name), Expect::Any, name.as_bytes().to_vec())
}
