//! `fusebox state stats`: what a store holds, and how it is.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use fusebox::RunId;
use fusebox::state::{Head, Partition, StateStore, StoreError, forks};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::args::StatsArgs;
use crate::failure::Failure;
use crate::inspect::timestamp;
use crate::output;
use crate::place::Place;
use crate::store_loss::Waiting;
use crate::summary::table;

/// Partitions asked about at the same time.
const PAGE: usize = 256;

pub(crate) async fn stats(args: &StatsArgs) -> Result<ExitCode, Failure> {
    let place = Place::look(&args.place).await?;
    let stats = Stats::of(&place, !args.json).await;
    let stats = stats
        .context("the state store could not be read")
        .map_err(Failure::environment)?;
    match args.json {
        true => output::document(&stats),
        false => stats.print(),
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of `state stats --json`.
#[derive(Debug, Serialize)]
struct Stats {
    store: &'static str,
    location: String,
    identity: String,
    durability: String,
    round_trip_ms: f64,
    warnings: Vec<String>,
    #[serde(flatten)]
    content: Content,
    /// Commits that the store does not have; those of living processes are not counted.
    waiting: Option<Waiting>,
    /// Living processes of this machine that may have such commits.
    journals_in_use: usize,
}

impl Stats {
    async fn of(place: &Place, with_progress: bool) -> Result<Self, StoreError> {
        let store = &place.store;
        let health = store.health().await?;
        let identity = store.identity().await?.to_string();
        let content = Content::count(store, with_progress).await?;
        let described = store.describe();
        let journals = place.journals.as_ref();
        Ok(Self {
            store: described.kind,
            location: described.location,
            identity,
            durability: described.durability.to_string(),
            round_trip_ms: health.round_trip.as_secs_f64() * 1000.0,
            warnings: health.warnings,
            content,
            waiting: place.undelivered.clone(),
            journals_in_use: journals.map_or(0, |journals| journals.count().in_use),
        })
    }

    fn print(&self) {
        let Content {
            runs, forks, other, ..
        } = &self.content;
        output::say(&format!(
            "{} store {}, {}, identity {}",
            self.store, self.location, self.durability, self.identity
        ));
        let mut rows = table(&["kind", "partitions", "keys", "bytes"]);
        for (kind, sum) in [("runs", runs), ("forks", forks), ("other", other)] {
            rows.add_row([
                kind.to_owned(),
                sum.partitions.to_string(),
                sum.keys.to_string(),
                sum.bytes.to_string(),
            ]);
        }
        output::say(&rows.to_string());
        let content = &self.content;
        if let Some((oldest, newest)) = content.oldest_ms.zip(content.newest_ms) {
            let (oldest, newest) = (timestamp(oldest), timestamp(newest));
            output::say(&format!(
                "last written to: {oldest} at the earliest, {newest} at the latest (UTC)"
            ));
        }
        output::say(&format!(
            "leased now: {}; expiring: {}",
            content.leased, content.expiring
        ));
        if let Some(waiting) = &self.waiting {
            output::say(&waiting.to_string());
        }
        if self.journals_in_use > 0 {
            output::say(&format!(
                "{} processes at work here may have more",
                self.journals_in_use
            ));
        }
        for warning in &self.warnings {
            output::say(&format!("warning: {warning}"));
        }
        if forks.partitions > 0 {
            output::say("`fusebox state forks` lists what was kept apart");
        }
    }
}

/// What the partitions add up to.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Content {
    runs: Sum,
    forks: Sum,
    other: Sum,
    /// When the partition was last written to for which that is longest ago.
    oldest_ms: Option<u64>,
    newest_ms: Option<u64>,
    leased: u64,
    expiring: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Sum {
    partitions: u64,
    keys: u64,
    bytes: u64,
}

impl Content {
    async fn count(store: &Arc<dyn StateStore>, with_progress: bool) -> Result<Self, StoreError> {
        let forks = forks(&**store).await?;
        let forks: HashSet<Partition> = forks.into_iter().map(|fork| fork.stored_as).collect();
        let progress = Listing::new(with_progress);
        let mut content = Self::default();
        // A store may list a partition twice.
        let mut seen = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = store.partitions("", cursor.as_deref(), PAGE).await?;
            let mut asked = JoinSet::new();
            for partition in page.items {
                if !seen.insert(partition.clone()) {
                    continue;
                }
                let store = Arc::clone(store);
                asked.spawn(async move {
                    let head = store.head(&partition).await;
                    (partition, head)
                });
            }
            while let Some(answer) = asked.join_next().await {
                let (partition, head) = answer.expect("no store panics");
                // Gone since it was listed.
                let Some(head) = head? else { continue };
                let is_fork = forks.contains(&partition);
                content.add(&partition, is_fork, &head);
            }
            progress.at(seen.len());
            cursor = page.next;
            if cursor.is_none() {
                return Ok(content);
            }
        }
    }

    fn add(&mut self, partition: &Partition, is_fork: bool, head: &Head) {
        let sum = match is_fork {
            true => &mut self.forks,
            false if RunId::of(partition).is_some() => &mut self.runs,
            false => &mut self.other,
        };
        sum.partitions += 1;
        sum.keys += head.keys;
        sum.bytes += head.value_bytes;
        let changed = head.changed.map(unix_ms);
        self.oldest_ms = self.oldest_ms.into_iter().chain(changed).min();
        self.newest_ms = self.newest_ms.max(changed);
        let is_leased = |lease: &fusebox::state::Lease| lease.remaining > Duration::ZERO;
        self.leased += u64::from(head.lease.as_ref().is_some_and(is_leased));
        self.expiring += u64::from(head.expires_in.is_some());
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64
}

/// A live line while a listing goes on; nothing where nobody looks.
struct Listing(Option<ProgressBar>);

impl Listing {
    fn new(shown: bool) -> Self {
        Self(shown.then(ProgressBar::new_spinner))
    }

    fn at(&self, partitions: usize) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("{partitions} partitions"));
            bar.tick();
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use fusebox::state::{AcquireOutcome, Commit, Expect, Key, LeaseRequest, MemoryStore, WriteId};

    use super::*;

    async fn put(store: &MemoryStore, partition: &str, keys: usize) -> Partition {
        let partition = Partition::try_new(partition).unwrap();
        let mut commit = Commit::new(WriteId::random());
        for key in 0..keys {
            let key = Key::try_new(format!("k{key}")).unwrap();
            commit = commit.put(key, Expect::Any, b"12345".to_vec());
        }
        assert!(store.commit(&partition, commit).await.unwrap().is_applied());
        partition
    }

    fn sum(partitions: u64, keys: u64, bytes: u64) -> Sum {
        Sum {
            partitions,
            keys,
            bytes,
        }
    }

    #[tokio::test]
    async fn partitions_are_counted_by_kind_over_many_pages() {
        let store = MemoryStore::new();
        for number in 0..2 * PAGE + 1 {
            put(&store, &format!("run.r{number}"), 1).await;
        }
        let leased = put(&store, "other", 2).await;
        let request = LeaseRequest::new("me", Duration::from_secs(60));
        let outcome = store.acquire(&leased, request).await.unwrap();
        assert!(matches!(outcome, AcquireOutcome::Acquired { .. }));
        let expiring = put(&store, "fork/looks.like/one", 1).await;
        let ttl = Some(Duration::from_secs(60));
        assert!(store.expire(&expiring, ttl).await.unwrap());

        let store: Arc<dyn StateStore> = Arc::new(store);
        let content = Content::count(&store, false).await.unwrap();
        let runs = 2 * PAGE as u64 + 1;
        assert_eq!(content.runs, sum(runs, runs, 5 * runs));
        assert_eq!(content.forks, sum(0, 0, 0), "its name alone makes no fork");
        assert_eq!(content.other, sum(2, 3, 15));
        assert_eq!((content.leased, content.expiring), (1, 1));
        assert!(content.oldest_ms.is_some() && content.oldest_ms <= content.newest_ms);
    }

    #[tokio::test]
    async fn an_empty_store_adds_up_to_nothing() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
        let content = Content::count(&store, false).await.unwrap();
        assert_eq!(content, Content::default());
    }
}
