//! Several owners, outages, promotions, emptied stores and removals in random order, on virtual time.
//!
//! Each write has a key of its own, so that what is missing can be named. What is checked: no
//! revision of a lease is acknowledged twice; every write is applied at most once; and an owner that
//! loses a partition finds all that was acknowledged to it either in the store or in a fork.

use std::collections::{BTreeSet, HashMap};

use super::double::{Replica, Weather};
use super::*;

const SEEDS: u64 = 1000;
const STEPS: usize = 80;

/// A host with a process that wants the partition.
struct Host {
    line: Faulty,
    store: Arc<dyn StateStore>,
    protected: bool,
    fence: Option<Fence>,
    /// Keys acknowledged under the present lease.
    acked: BTreeSet<String>,
}

struct World {
    seed: u64,
    chance: Chance,
    hosts: Vec<Host>,
    primary: Faulty,
    fences: HashMap<u64, Fence>,
    replica: Option<Replica>,
    writes: u64,
    revisions: HashMap<(TokenId, u64), WriteId>,
    /// Keys seen in forks at any time.
    forked: BTreeSet<String>,
    forks_seen: usize,
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }
}

impl World {
    async fn new(seed: u64, protected: bool) -> Self {
        let mut chance = Chance(seed);
        let primary = Faulty::new();
        let mut hosts = Vec::new();
        for _ in 0..3 {
            let line = primary.other_line();
            let config = match chance.below(3) {
                0 => FallbackConfig::fail_closed(),
                1 => FallbackConfig::degrade_volatile(),
                _ => FallbackConfig::degrade_volatile().past_lease(true),
            };
            let store: Arc<dyn StateStore> = match protected {
                true => Arc::new(open(&line, config).await),
                false => Arc::new(line.clone()),
            };
            hosts.push(Host {
                line,
                store,
                protected,
                fence: None,
                acked: BTreeSet::new(),
            });
        }
        Self {
            seed,
            chance,
            hosts,
            primary,
            fences: HashMap::new(),
            replica: None,
            writes: 0,
            revisions: HashMap::new(),
            forked: BTreeSet::new(),
            forks_seen: 0,
        }
    }

    async fn step(&mut self) {
        let host = self.chance.below(self.hosts.len());
        match self.chance.below(20) {
            0..=7 => self.write(host).await,
            8..=10 => self.acquire(host).await,
            11 => self.hosts[host].line.set(Weather::Away),
            12 => self.hosts[host].line.set(Weather::AnswerLost),
            13 | 14 => self.hosts[host].line.set(Weather::Fair),
            15 => self.wait(3).await,
            16 => self.wait(40).await,
            17 => self.copy_to_replica().await,
            18 => {
                if let Some(replica) = self.replica.take() {
                    self.primary.promote(replica).await;
                }
            }
            _ => match self.chance.below(3) {
                0 => self.primary.empty(),
                1 => drop(
                    self.primary
                        .inner()
                        .expire(&run_1(), Some(Duration::ZERO))
                        .await,
                ),
                _ => {}
            },
        }
        self.collect_forks().await;
        self.check_losers().await;
    }

    async fn wait(&mut self, seconds: u64) {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(seconds * 100)).await;
        }
    }

    async fn write(&mut self, host: usize) {
        let Some(fence) = self.hosts[host].fence.clone() else {
            return;
        };
        self.writes += 1;
        let name = format!("write-{:04}", self.writes);
        let commit = Commit::new(WriteId::random()).fenced(fence.clone()).put(
            key(&name),
            Expect::Absent,
            Vec::new(),
        );
        let id = commit.id();
        let store = Arc::clone(&self.hosts[host].store);
        // As an owner does: the same write again when there was no answer.
        for _ in 0..2 {
            match store.commit(&run_1(), commit.clone()).await {
                Ok(
                    CommitOutcome::Applied { revision, .. }
                    | CommitOutcome::Duplicate { revision, .. },
                ) => {
                    let other = self.revisions.insert((fence.token_id(), revision), id);
                    assert!(
                        other.is_none_or(|other| other == id),
                        "seed {}: revision {revision} was acknowledged twice",
                        self.seed
                    );
                    self.hosts[host].acked.insert(name);
                    return;
                }
                Ok(CommitOutcome::StaleEpoch { .. }) => {
                    self.collect_forks().await;
                    self.check_loser(host, "a stale epoch").await;
                    return;
                }
                Ok(other) => panic!("seed {}: {other:?}", self.seed),
                Err(_) => {}
            }
        }
    }

    async fn acquire(&mut self, host: usize) {
        if self.hosts[host].fence.is_some() {
            return;
        }
        let store = Arc::clone(&self.hosts[host].store);
        let request = LeaseRequest::new(format!("host-{host}"), TTL);
        if let Ok(AcquireOutcome::Acquired { fence, .. }) = store.acquire(&run_1(), request).await {
            self.fences.insert(fence.epoch, fence.clone());
            self.hosts[host].fence = Some(fence);
            self.hosts[host].acked.clear();
        }
    }

    async fn copy_to_replica(&mut self) {
        let lease = self.primary.inner().lease(&run_1()).await.unwrap();
        // A lease whose acquisition was not answered is known to nobody, so it cannot be copied here.
        if let Some(fence) = lease.and_then(|lease| self.fences.get(&lease.epoch)) {
            let fence = fence.clone();
            let known = self.primary.inner().lease(&run_1()).await.unwrap().unwrap();
            if known.token_id == fence.token_id() {
                self.replica = Some(self.primary.replica(&run_1(), &fence).await);
            }
        }
    }

    async fn stored(&self) -> BTreeSet<String> {
        let image = self.primary.inner().image(&run_1()).await.unwrap();
        let image = image.unwrap_or_default();
        for (key, entry) in &image.entries {
            assert_eq!(
                entry.version, 1,
                "seed {}: {key} was applied twice",
                self.seed
            );
        }
        image
            .entries
            .iter()
            .map(|(key, _)| key.to_string())
            .collect()
    }

    async fn collect_forks(&mut self) {
        let store = self.primary.inner();
        for fork in forks(&*store).await.unwrap() {
            let image = store.image(&fork.stored_as).await.unwrap().unwrap();
            self.forked
                .extend(image.entries.iter().map(|(key, _)| key.to_string()));
            self.forks_seen += 1;
        }
    }

    /// Those that lost the partition without writing: the supervisor told them.
    async fn check_losers(&mut self) {
        for host in 0..self.hosts.len() {
            let Host {
                fence,
                store,
                protected,
                ..
            } = &self.hosts[host];
            if *protected && fence.is_some() && store.status().owned == 0 {
                self.check_loser(host, "the supervisor").await;
            }
        }
    }

    async fn check_loser(&mut self, host: usize, how: &str) {
        let stored = self.stored().await;
        let missing: Vec<_> = self.hosts[host]
            .acked
            .iter()
            .filter(|key| !stored.contains(*key) && !self.forked.contains(*key))
            .collect();
        assert!(
            missing.is_empty(),
            "seed {}: host {host} lost the partition by {how}, and nobody has {missing:?}",
            self.seed
        );
        self.hosts[host].fence = None;
    }

    /// The weather clears, everybody is heard, and whoever still owns the partition has it whole.
    async fn end(mut self) -> (usize, u64) {
        for host in &self.hosts {
            host.line.set(Weather::Fair);
        }
        self.wait(10).await;
        self.collect_forks().await;
        self.check_losers().await;
        // A stale owner that is first at an emptied store is told by the restore of the one after it.
        for _ in 0..self.hosts.len() {
            for host in 0..self.hosts.len() {
                self.write(host).await;
            }
        }
        let stored = self.stored().await;
        for (number, host) in self.hosts.iter().enumerate() {
            let missing: Vec<_> = host
                .acked
                .iter()
                .filter(|key| host.fence.is_some() && !stored.contains(*key))
                .collect();
            assert!(
                missing.is_empty(),
                "seed {}: host {number} owns the partition without {missing:?}",
                self.seed
            );
        }
        let restored = self.hosts.iter().map(|host| host.store.status().restored);
        (self.forks_seen, restored.sum())
    }
}

/// On a runtime of its own with time paused.
fn simulate(seed: u64, protected: bool) -> (usize, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, protected).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.end().await
    })
}

#[test]
fn no_acknowledged_write_disappears_without_a_word() {
    let (mut forks, mut restored) = (0, 0);
    for seed in 0..SEEDS {
        let (more_forks, more_restored) = simulate(seed, true);
        forks += more_forks;
        restored += more_restored;
    }
    assert!(
        forks > 0 && restored > 0,
        "{forks} forks, {restored} restores"
    );
}

#[test]
fn no_acknowledged_write_disappears_without_a_word_without_protection() {
    let lost = (0..100)
        .filter(|seed| std::panic::catch_unwind(|| simulate(*seed, false)).is_err())
        .count();
    assert!(
        lost > 10,
        "a store without fallback loses writes in {lost} of 100 histories"
    );
}
