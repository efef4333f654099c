//! What changed, told to whoever watches.

use std::fmt;

use async_trait::async_trait;

use crate::{Partition, StoreError};

/// News from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Commits or a restore were applied to a partition. Several may be told as one.
    Changed {
        /// The partition.
        partition: Partition,
        /// Its revision then or later.
        revision: u64,
    },
    /// Something may have been missed: the connection was lost for a while, or the watcher was too
    /// slow. Read again what matters.
    Missed,
}

/// Follows the changes of a store, from [`StateStore::watch`](crate::StateStore::watch).
///
/// No writer ever waits for a feed, and a feed that nobody reads costs bounded memory: notices of
/// one partition are joined, and what does not fit becomes [`Notice::Missed`]. What happens after
/// `watch` has returned is told or reported as missed; a removal or expiry is not told.
#[async_trait]
pub trait ChangeFeed: fmt::Debug + Send {
    /// Waits for the next notice. Dropping the future loses none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the store is away; the feed goes on when it is back, with
    /// [`Notice::Missed`] if it cannot know better.
    async fn next(&mut self) -> Result<Notice, StoreError>;

    /// Partitions with notices that are known to wait to be read: how far the reader is behind.
    fn lag(&self) -> u64;
}
