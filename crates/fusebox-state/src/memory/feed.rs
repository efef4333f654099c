//! Changes of a memory store, in order.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Shared;
use crate::{ChangeFeed, Notice, StoreError};

/// Reads the store's own record of what changed when, so it needs no queue and misses nothing.
pub(super) struct MemoryFeed {
    shared: Arc<Shared>,
    news: watch::Receiver<u64>,
    prefix: String,
    /// Everything up to here was told.
    seen: u64,
}

impl MemoryFeed {
    pub(super) fn new(shared: &Arc<Shared>, prefix: &str) -> Self {
        let seen = shared.lock().sequence;
        Self {
            news: shared.news.subscribe(),
            shared: Arc::clone(shared),
            prefix: prefix.to_owned(),
            seen,
        }
    }

    fn waiting(&mut self) -> Option<Notice> {
        let shared = Arc::clone(&self.shared);
        let table = shared.lock();
        let (sequence, partition) = table
            .changed
            .range(self.seen + 1..)
            .find(|(_, partition)| partition.as_str().starts_with(&self.prefix))?;
        self.seen = *sequence;
        let state = table.partitions.get(partition)?;
        Some(Notice::Changed {
            partition: partition.clone(),
            revision: state.revision(),
        })
    }
}

impl fmt::Debug for MemoryFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFeed")
            .field("prefix", &self.prefix)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ChangeFeed for MemoryFeed {
    async fn next(&mut self) -> Result<Notice, StoreError> {
        loop {
            self.news.mark_unchanged();
            if let Some(notice) = self.waiting() {
                return Ok(notice);
            }
            // The sender lives in what this feed shares, so it is there.
            let _ = self.news.changed().await;
        }
    }

    fn lag(&self) -> u64 {
        let table = self.shared.lock();
        let waiting = table.changed.range(self.seen + 1..);
        waiting
            .filter(|(_, partition)| partition.as_str().starts_with(&self.prefix))
            .count() as u64
    }
}
