//! The suite finds stores that break a rule: one double for each kind of fault.
#![cfg(feature = "conformance")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fusebox_state::conformance::{CHECKS, run, run_check};
use fusebox_state::{
    AcquireOutcome, Change, ChangeFeed, Commit, CommitOutcome, Durability, Entry, Expect, Fence,
    GiveUpOutcome, Head, Health, Image, Key, Lease, LeaseMark, LeaseRequest, MemoryStore, Page,
    Partition, RenewOutcome, Restore, RestoreOutcome, StateStore, StoreDescription, StoreError,
    StoreId, WriteId,
};

/// What a broken store gets wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Forgets write ids at once.
    Forgets,
    /// Lets everybody write, whoever holds the lease.
    Unfenced,
    /// Looks at the epoch only.
    EpochOnly,
    /// Writes the first change of a commit even if another conflicts.
    Torn,
    /// Acknowledges every tenth write without making it.
    Loses,
    /// Never expires a partition.
    Immortal,
    /// Ends every page early and says nothing follows.
    ShortPages,
    /// Does not look at the revision a commit expects.
    AnyRevision,
    /// Restores for whoever has the higher epoch.
    HigherEpochRestores,
    /// Restores what is not there without being asked to.
    RestoresWhatever,
    /// Restores what was meant for another store.
    AnyStore,
    /// Does not note that a lease was given up.
    ForgetsGivenUp,
    /// Tells every watcher of everything.
    Unfiltered,
    /// Has another name each time.
    Nameless,
    /// Claims to be on disk.
    Boasts,
}

/// A memory store with one fault.
#[derive(Debug)]
struct BrokenStore {
    inner: MemoryStore,
    fault: Fault,
    fences: Mutex<Vec<(Partition, Fence)>>,
    writes: AtomicU32,
}

fn broken(fault: Fault) -> Arc<dyn StateStore> {
    Arc::new(BrokenStore {
        inner: MemoryStore::new(),
        fault,
        fences: Mutex::default(),
        writes: AtomicU32::new(0),
    })
}

impl BrokenStore {
    fn current(&self, partition: &Partition) -> Option<Fence> {
        let fences = self.fences.lock().unwrap();
        fences
            .iter()
            .rev()
            .find(|(p, _)| p == partition)
            .map(|(_, fence)| fence.clone())
    }

    /// The same write under another id or fence, at any revision.
    fn rewritten(commit: &Commit, id: WriteId, fence: Option<Fence>) -> Commit {
        let mut copy = Commit::new(id);
        for Change { key, expect, value } in commit.changes().iter().cloned() {
            copy = match value {
                Some(value) => copy.put(key, expect, value),
                None => copy.delete(key, expect),
            };
        }
        match fence {
            Some(fence) => copy.fenced(fence),
            None => copy,
        }
    }
}

#[async_trait]
impl StateStore for BrokenStore {
    fn describe(&self) -> StoreDescription {
        match self.fault {
            Fault::Boasts => StoreDescription::new("broken", "nowhere", Durability::PrimaryFsync),
            _ => self.inner.describe(),
        }
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.inner.now().await
    }

    async fn get(&self, partition: &Partition, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get(partition, key).await
    }

    async fn scan(
        &self,
        partition: &Partition,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<(Key, Entry)>, StoreError> {
        let mut page = self.inner.scan(partition, prefix, after, limit).await?;
        if self.fault == Fault::ShortPages {
            page.next = None;
        }
        Ok(page)
    }

    async fn partitions(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>, StoreError> {
        self.inner.partitions(prefix, cursor, limit).await
    }

    async fn commit(&self, p: &Partition, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (id, fence) = (commit.id(), commit.fence().cloned());
        let commit = match self.fault {
            Fault::Forgets => Self::rewritten(&commit, WriteId::random(), fence),
            Fault::AnyRevision => Self::rewritten(&commit, id, fence),
            Fault::Unfenced => Self::rewritten(&commit, id, self.current(p)),
            Fault::EpochOnly => {
                let current = self.current(p);
                let same = |f: &Fence| current.as_ref().is_some_and(|c| c.epoch == f.epoch);
                let fence = if fence.as_ref().is_some_and(same) {
                    current
                } else {
                    fence
                };
                Self::rewritten(&commit, id, fence)
            }
            Fault::Torn => {
                if let Some(Change {
                    key,
                    value: Some(value),
                    ..
                }) = commit.changes().first()
                {
                    let first = Commit::new(WriteId::random());
                    let first = first.put(key.clone(), Expect::Absent, value.clone());
                    let _ = self.inner.commit(p, first).await?;
                }
                commit
            }
            Fault::Loses if self.writes.fetch_add(1, Ordering::Relaxed) % 10 == 9 => {
                return Ok(CommitOutcome::Applied {
                    durability: Durability::Volatile,
                    revision: 1,
                });
            }
            _ => commit,
        };
        self.inner.commit(p, commit).await
    }

    async fn acquire(
        &self,
        partition: &Partition,
        request: LeaseRequest,
    ) -> Result<AcquireOutcome, StoreError> {
        let outcome = self.inner.acquire(partition, request).await?;
        if let AcquireOutcome::Acquired { fence, .. } = &outcome {
            self.fences
                .lock()
                .unwrap()
                .push((partition.clone(), fence.clone()));
        }
        Ok(outcome)
    }

    async fn renew(
        &self,
        partition: &Partition,
        fence: &Fence,
        ttl: Duration,
    ) -> Result<RenewOutcome, StoreError> {
        self.inner.renew(partition, fence, ttl).await
    }

    async fn release(&self, p: &Partition, fence: &Fence) -> Result<RenewOutcome, StoreError> {
        self.inner.release(p, fence).await
    }

    async fn lease(&self, partition: &Partition) -> Result<Option<Lease>, StoreError> {
        self.inner.lease(partition).await
    }

    async fn expire(&self, p: &Partition, ttl: Option<Duration>) -> Result<bool, StoreError> {
        match self.fault {
            Fault::Immortal => Ok(true),
            _ => self.inner.expire(p, ttl).await,
        }
    }

    async fn head(&self, p: &Partition) -> Result<Option<Head>, StoreError> {
        self.inner.head(p).await
    }

    async fn image(&self, p: &Partition) -> Result<Option<Image>, StoreError> {
        self.inner.image(p).await
    }

    async fn restore(&self, p: &Partition, wanted: Restore) -> Result<RestoreOutcome, StoreError> {
        let wanted = match self.fault {
            // What a store does that compares epochs only.
            Fault::HigherEpochRestores => {
                let lease = self.inner.lease(p).await?;
                let lower = lease.filter(|lease| lease.epoch < wanted.fence.epoch);
                match lower {
                    Some(lease) => wanted.over(Some(LeaseMark::from(&lease))),
                    None => wanted,
                }
            }
            Fault::RestoresWhatever => wanted.onto_absent(),
            Fault::AnyStore => Restore {
                decided_for: None,
                ..wanted
            },
            _ => wanted,
        };
        self.inner.restore(p, wanted).await
    }

    async fn give_up(&self, p: &Partition, fence: &Fence) -> Result<GiveUpOutcome, StoreError> {
        match self.fault {
            Fault::ForgetsGivenUp => match self.current(p).as_ref() == Some(fence) {
                true => Ok(GiveUpOutcome::Current),
                false => Ok(GiveUpOutcome::Recorded),
            },
            _ => self.inner.give_up(p, fence).await,
        }
    }

    async fn watch(&self, prefix: &str) -> Result<Box<dyn ChangeFeed>, StoreError> {
        match self.fault {
            Fault::Unfiltered => self.inner.watch("").await,
            _ => self.inner.watch(prefix).await,
        }
    }

    async fn identity(&self) -> Result<StoreId, StoreError> {
        match self.fault {
            Fault::Nameless => Ok(StoreId::random()),
            _ => self.inner.identity().await,
        }
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.inner.health().await
    }
}

/// The checks that a store with `fault` fails.
async fn failed(fault: Fault) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for check in CHECKS {
        let make = move || async move { broken(fault) };
        if tokio::spawn(run_check(check.name, make)).await.is_err() {
            failed.push(check.name);
        }
    }
    failed
}

macro_rules! finds {
    ($($test:ident: $fault:ident by $check:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let failed = failed(Fault::$fault).await;
            assert!(failed.contains(&stringify!($check)), "found only by {failed:?}");
        }
    )*};
}

finds! {
    a_store_that_forgets_write_ids_is_found:
        Forgets by a_repeated_write_id_is_a_duplicate_and_changes_nothing;
    a_store_without_fences_is_found: Unfenced by a_stale_fence_cannot_write;
    a_store_that_compares_only_epochs_is_found: EpochOnly by the_epoch_alone_is_no_fence;
    a_store_that_tears_commits_is_found: Torn by a_commit_changes_all_its_keys_or_none;
    a_store_that_loses_writes_is_found:
        Loses by a_hundred_tasks_count_without_losing_an_increment;
    a_store_that_never_expires_is_found: Immortal by an_expired_partition_is_gone_with_its_lease;
    a_store_that_loses_pages_is_found:
        ShortPages by pages_of_a_scan_join_without_gap_or_repeat;
    a_store_that_writes_on_top_of_what_it_lost_is_found:
        AnyRevision by a_commit_at_another_revision_changes_nothing;
    a_store_that_restores_for_a_higher_epoch_is_found:
        HigherEpochRestores by a_greater_epoch_alone_restores_nothing;
    a_store_that_restores_what_is_not_there_is_found:
        RestoresWhatever by a_partition_that_is_not_there_is_restored_only_on_request;
    a_store_that_restores_what_was_meant_for_another_is_found:
        AnyStore by a_restore_meant_for_another_store_changes_nothing;
    a_store_that_forgets_leases_given_up_is_found:
        ForgetsGivenUp by nothing_is_restored_under_a_lease_given_up;
    a_store_that_tells_everybody_everything_is_found: Unfiltered by a_watch_keeps_to_its_prefix;
    a_store_without_a_name_is_found: Nameless by the_identity_of_a_store_stays;
    a_store_that_boasts_is_found: Boasts by the_description_tells_the_durability_of_writes;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_names_the_rule_and_the_store() {
    let panic = tokio::spawn(run(|| async { broken(Fault::Torn) }))
        .await
        .unwrap_err()
        .into_panic();
    let text = panic.downcast_ref::<String>().expect("a formatted message");
    assert!(
        text.contains("memory: ") || text.contains("(memory:"),
        "{text}"
    );
    assert!(text.contains("breaks the rule `"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_passes_the_whole_suite() {
    run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn StateStore> }).await;
}
