//! Changes of an embedded store, in order, by whichever process they were made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use super::whole;
use super::worker::Worker;
use crate::{ChangeFeed, Notice, StoreError};

/// How often the file is looked at for the commits of other processes. Those of this process are
/// told at once.
const LOOK: Duration = Duration::from_millis(50);

/// Moments run ahead of the clock by a microsecond for each of many writes in one millisecond.
const SLACK_US: i64 = 1_000_000;

fn unix_us() -> i64 {
    let ms = crate::rules::unix_ms(std::time::SystemTime::now());
    i64::try_from(ms).unwrap_or(i64::MAX / 1000) * 1000
}

/// Reads the file's own record of what changed when, so it needs no queue and misses nothing.
pub(super) struct EmbeddedFeed {
    reader: Arc<Worker>,
    news: watch::Receiver<u64>,
    prefix: String,
    /// Everything up to here was told.
    seen: i64,
    waiting: u64,
}

impl EmbeddedFeed {
    pub(super) async fn open(
        reader: &Arc<Worker>,
        news: watch::Receiver<u64>,
        prefix: &str,
    ) -> Result<Self, StoreError> {
        let seen = reader
            .run("watch", |db| Ok(whole::latest_change(db)?))
            .await?;
        Ok(Self {
            reader: Arc::clone(reader),
            news,
            prefix: prefix.to_owned(),
            seen,
            waiting: 0,
        })
    }
}

impl fmt::Debug for EmbeddedFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedFeed")
            .field("prefix", &self.prefix)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ChangeFeed for EmbeddedFeed {
    async fn next(&mut self) -> Result<Notice, StoreError> {
        loop {
            self.news.mark_unchanged();
            // The clock was set back by more than it is out of step: until it has caught up, changes
            // look older than they are.
            let now = unix_us();
            if self.seen > now + SLACK_US {
                self.seen = now;
                return Ok(Notice::Missed);
            }
            let (prefix, seen) = (self.prefix.clone(), self.seen);
            let look = move |db: &_| whole::changes(db, &prefix, seen);
            let (first, waiting) = self.reader.run("watch", look).await?;
            self.waiting = waiting;
            if let Some((moment, notice)) = first {
                self.seen = moment;
                self.waiting -= 1;
                return Ok(notice);
            }
            // The store is gone, but other processes may still write to its file.
            if let Ok(Err(_)) = timeout(LOOK, self.news.changed()).await {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn lag(&self) -> u64 {
        self.waiting
    }
}
