//! Versioned, fenced state stores.
//!
//! State lives in [`Partition`]s. Each holds keys with versions, and perhaps a lease that says who
//! may write. A [`Commit`] changes any number of keys of one partition or none of them, carries a
//! [`WriteId`] so that repeating it is harmless, and a [`Fence`] so that an owner who lost the
//! partition without noticing cannot write any more. One trait, [`StateStore`], several stores.
//!
//! ```
//! use std::time::Duration;
//! use fusebox_state::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = open("memory:").await?;
//! let run = Partition::try_new("run-42")?;
//! let step = Key::try_new("step/plan")?;
//!
//! // Own the run, then write under that lease.
//! let request = LeaseRequest::new("worker-1", Duration::from_secs(30));
//! let AcquireOutcome::Acquired { fence, .. } = store.acquire(&run, request).await? else {
//!     panic!("nobody else wants this run");
//! };
//! let commit = Commit::new(WriteId::random())
//!     .fenced(fence)
//!     .put(step.clone(), Expect::Absent, b"done".to_vec());
//! assert!(store.commit(&run, commit.clone()).await?.is_applied());
//!
//! // No answer? Send the same commit again: it is made once.
//! assert!(matches!(store.commit(&run, commit).await?, CommitOutcome::Duplicate { .. }));
//! assert_eq!(store.get(&run, &step).await?.expect("just written").version, 1);
//!
//! // A write without the lease changes nothing.
//! let stray = Commit::new(WriteId::random()).put(step, Expect::Any, b"lost".to_vec());
//! assert!(matches!(store.commit(&run, stray).await?, CommitOutcome::StaleEpoch { .. }));
//! # Ok(())
//! # }
//! ```
//!
//! # Stores, and what an acknowledged write survives
//!
//! | store | feature | acknowledged as | process killed | power lost | machine lost |
//! |---|---|---|---|---|---|
//! | [`MemoryStore`] | none | [`Volatile`](Durability::Volatile) | no | no | no |
//! | `EmbeddedStore` (SQLite file) | `embedded` | [`LocalFsync`](Durability::LocalFsync) | yes | yes | no |
//! | `RedisStore`, `appendonly no` | `redis` | [`Primary`](Durability::Primary) | yes; the server's end loses what its last snapshot lacks | no | no |
//! | `RedisStore`, `appendfsync everysec` | `redis` | [`Primary`](Durability::Primary) | yes, the server's too | all but the last 2 s | no |
//! | `RedisStore`, `appendfsync always` or `with_fsync` | `redis` | [`PrimaryFsync`](Durability::PrimaryFsync) | yes, the server's too | yes | no |
//! | `RedisStore`, `with_replicas(n)` | `redis` | [`Replicated(k)`](Durability::Replicated), k of n | as above, on each of the k + 1 | as above | if one of the k takes over |
//!
//! Process killed is the caller's, or the server's where said so; power and machine are those that
//! hold the data; a disk that lies about flushing breaks the promise. Replicas are the server's
//! business: a store waits for them if told to, and says how many had the write. That one of them
//! takes over is up to Sentinels or the cluster, which do not know; with as many asked for as there
//! are it is certain.
//!
//! As long as a store has not lost acknowledged writes, every one promises: a commit is whole or
//! absent, a version of a key names one value until its partition expires, and a write under a lost
//! lease is refused. A store that was set back (a server restarted from an old snapshot, a replica
//! promoted after a failure, a file restored from a copy) honours the leases and versions it was set
//! back to. Its owner notices by [`Commit::at_revision`] and [`Commit::following`], and puts back
//! what it knows by [`StateStore::restore`].
//!
//! [`FallbackStore`] does both for every partition acquired through it, and goes on while the store
//! behind it is away:
//!
//! | while the store is away | acknowledged as | when it is back |
//! |---|---|---|
//! | [`FallbackConfig::fail_closed`] | not at all | the owner goes on |
//! | `FallbackConfig::degrade_durable_in` | [`LocalFsync`](Durability::LocalFsync) | delivered, also by a later process |
//! | [`FallbackConfig::degrade_volatile`] | [`Volatile`](Durability::Volatile) | delivered, if this process still runs |
//!
//! If another owner has taken the partition by then, nothing of theirs is touched: what was
//! acknowledged here becomes a fork, which [`forks`] lists. With any store, a loss is never silent to
//! an owner that is still there. The repository's `docs/state-protocol.md` has the rules,
//! `docs/state-faults.md` what each store did under each fault.
//!
//! ```
//! use std::sync::Arc;
//! use fusebox_state::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StoreError> {
//! let redis = open("memory:").await?; // or redis://…
//! let store = FallbackStore::open(redis, FallbackConfig::degrade_volatile()).await?;
//! assert_eq!(store.status().mode, StoreMode::Healthy);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `embedded`: SQLite in one file, shared by the processes of one host. `redis`: Redis and Valkey,
//! one server, through Sentinels or as a cluster; `redis-tls`: the same over TLS. `conformance`: the
//! tests a store must pass, for your own store too. Nothing is on by default.
//!
//! # Left to others
//!
//! What the bytes mean, retries and breakers around a store, who is the next owner.
#![forbid(unsafe_code)]

mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod fallback;
mod feed;
mod image;
mod lease;
mod memory;
mod name;
mod open;
mod random;
#[cfg(any(feature = "embedded", feature = "redis"))]
mod record;
#[cfg(feature = "redis")]
mod redis;
mod rules;
mod status;
mod store;

#[cfg(feature = "redis")]
pub use self::redis::{Credentials, CredentialsProvider, RedisConfig, RedisStore};
pub use commit::{
    Change, Commit, CommitOutcome, Expect, MAX_COMMIT_BYTES, MAX_COMMIT_KEYS, MAX_VALUE_BYTES,
    REMEMBERED_WRITES, WriteId,
};
#[cfg(feature = "embedded")]
pub use embedded::EmbeddedStore;
pub use error::{Cause, StoreError, StoreErrorKind};
pub use fallback::{FallbackConfig, FallbackStore, Fork, forks};
pub use feed::{ChangeFeed, Notice};
pub use image::{
    GiveUpOutcome, Head, Image, LeaseMark, MAX_IMAGE_BYTES, RememberedWrite, Restore,
    RestoreOutcome,
};
pub use lease::{
    AcquireOutcome, Fence, Lease, LeaseRequest, MAX_OWNER_BYTES, RenewOutcome, TokenId,
};
pub use memory::MemoryStore;
pub use name::{InvalidName, Key, MAX_NAME_BYTES, Partition};
pub use open::open;
pub use status::{StoreMode, StoreStatus};
pub use store::{Durability, Entry, Health, MAX_PAGE, Page, StateStore, StoreDescription, StoreId};
