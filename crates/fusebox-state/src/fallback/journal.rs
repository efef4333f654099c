//! Where commits go that the primary cannot take: another store, for this process alone.
//!
//! A partition with such commits lies in the journal whole, under its own name, as its owner knows
//! it. Delivering it is one restore of the primary's: whole or not at all, however often it is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::config::{FallbackConfig, Policy};
use super::owned::Owned;
use super::record::Record;
use crate::{
    Commit, CommitOutcome, Durability, Expect, Image, Key, Partition, Restore, StateStore,
    StoreError, WriteId,
};

/// The journal's own partition: a record for each partition it holds.
const INDEX: &str = "fusebox.fallback";
const PAGE: usize = 100;

pub(super) struct Journal {
    store: Arc<dyn StateStore>,
    /// Partitions in it.
    held: AtomicUsize,
    #[cfg(feature = "embedded")]
    files: Option<super::journal_dir::Files>,
}

impl Journal {
    /// The journal that this process writes to, if the configuration wants one.
    pub(super) async fn open(config: &FallbackConfig) -> Result<Option<Arc<Self>>, StoreError> {
        match &config.policy {
            Policy::FailClosed | Policy::Volatile => Ok(None),
            Policy::Journal(store) => Ok(Some(Arc::new(Self::new(Arc::clone(store))))),
            #[cfg(feature = "embedded")]
            Policy::JournalDir(directory) => {
                let (store, files) = super::journal_dir::create(directory)?;
                Ok(Some(Arc::new(Self::in_files(store, files))))
            }
        }
    }

    /// Journals that earlier processes left.
    pub(super) fn left_behind(config: &FallbackConfig) -> Result<Vec<Arc<Self>>, StoreError> {
        match &config.policy {
            #[cfg(feature = "embedded")]
            Policy::JournalDir(directory) => Ok(super::journal_dir::left_behind(directory)?
                .into_iter()
                .map(|(store, files)| Arc::new(Self::in_files(store, files)))
                .collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            held: AtomicUsize::new(0),
            #[cfg(feature = "embedded")]
            files: None,
        }
    }

    #[cfg(feature = "embedded")]
    fn in_files(store: Arc<dyn StateStore>, files: super::journal_dir::Files) -> Self {
        let mut journal = Self::new(store);
        journal.files = Some(files);
        journal
    }

    pub(super) fn durability(&self) -> Durability {
        self.store.describe().durability
    }

    /// Takes a partition in as its owner knows it. Until the first commit nothing depends on it.
    pub(super) async fn begin(&self, owned: &Owned, image: Image) -> Result<(), StoreError> {
        let partition = &owned.partition;
        let record = Record::of(owned, image.revision).to_bytes();
        // A copy of an earlier lease's, delivered but not removed, must not stand in the way.
        let _ = self.store.expire(partition, Some(Duration::ZERO)).await?;
        self.index(
            |commit, key| commit.put(key, Expect::Any, record),
            partition,
        )
        .await?;
        let ttl = owned.data().ttl;
        let copy = Restore::new(owned.fence.clone(), &*owned.owner, ttl, image).onto_absent();
        let _ = self.store.restore(partition, copy).await?;
        self.held.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn commit(
        &self,
        partition: &Partition,
        commit: Commit,
    ) -> Result<CommitOutcome, StoreError> {
        self.store.commit(partition, commit).await
    }

    /// Removes a partition that was delivered, or is kept elsewhere.
    pub(super) async fn finish(&self, partition: &Partition) -> Result<(), StoreError> {
        self.index(|commit, key| commit.delete(key, Expect::Any), partition)
            .await?;
        let _ = self.store.expire(partition, Some(Duration::ZERO)).await?;
        self.held.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Everything in it, with its record.
    pub(super) async fn load(&self) -> Result<Vec<(Partition, Record, Image)>, StoreError> {
        let index = Self::index_partition();
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.scan(&index, "", after.as_ref(), PAGE).await?;
            for (key, entry) in page.items {
                let partition = Partition::try_new(key.as_str())?;
                let what = || format!("journal record of partition `{partition}`");
                let record = Record::parse(&entry.value, what)?;
                if let Some(image) = self.store.image(&partition).await? {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    found.push((partition, record, image));
                }
            }
            match page.next {
                Some(next) => after = Some(Key::try_new(next)?),
                None => return Ok(found),
            }
        }
    }

    pub(super) fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    async fn index(
        &self,
        change: impl FnOnce(Commit, Key) -> Commit,
        partition: &Partition,
    ) -> Result<(), StoreError> {
        // Names of partitions and of keys have the same form.
        let key = Key::try_new(partition.as_str())?;
        let commit = change(Commit::new(WriteId::random()), key);
        match self.store.commit(&Self::index_partition(), commit).await? {
            outcome if outcome.is_applied() => Ok(()),
            other => Err(StoreError::misconfigured(format!(
                "the journal is in use by somebody else: {other:?}"
            ))),
        }
    }

    fn index_partition() -> Partition {
        Partition::try_new(INDEX).expect("a valid name")
    }
}

#[cfg(feature = "embedded")]
impl Drop for Journal {
    fn drop(&mut self) {
        if self.held.load(Ordering::Relaxed) == 0
            && let Some(files) = &mut self.files
        {
            files.remove_on_drop();
        }
    }
}
