//! A primary lost together with what its replicas had not seen.

use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    Commit, CommitOutcome, Expect, FallbackConfig, FallbackStore, Fence, Partition, StateStore,
    WriteId,
};
use fusebox_test_server::{Proxy, SentinelSet};

use super::{DOWN_AFTER, asked, through_port, through_sentinels, wait_for_values};
use crate::backend::started;
use crate::words::{acquire, key, partition, until_answered};

/// Nobody else comes.
const TTL: Duration = Duration::from_secs(600);
const SEEN: usize = 10;
const UNSEEN: usize = 10;

/// What three owners found after the loss, each with acknowledged writes gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagging {
    /// Writes that had been acknowledged and that no replica had, to each owner.
    pub unseen: usize,
    /// Missing after the next write of an owner with a fallback.
    pub missing_with_fallback: usize,
    /// How often it put the partition back.
    pub restored: u64,
    /// Whether an owner that counts along had its next write refused.
    pub refused_with_revision: bool,
    /// Whether an owner that does not was answered as if nothing were missing.
    pub accepted_without: bool,
}

/// Has owners write to a primary that replicas do not hear of, kills it, and lets the owners go on
/// with the replica that is promoted.
///
/// # Panics
/// If the servers do not do as they should.
pub async fn lagging() -> Lagging {
    let set = tokio::task::spawn_blocking(|| {
        started(
            SentinelSet::builder()
                .proxied()
                .down_after(DOWN_AFTER)
                .start(),
        )
    });
    let set = Arc::new(set.await.expect("a set"));
    let old = asked(&set, |set| started(set.primary())).await;
    let address = Arc::new(started(Proxy::to_port(set.node(old).port())));
    let plain = through_port(address.port(), 0).await;
    let fallback = FallbackStore::open(Arc::clone(&plain), FallbackConfig::fail_closed());
    let fallback = started(fallback.await);

    let names = ["fallback", "counting", "trusting"];
    let [mirrored, counting, trusting] = names.map(partition);
    let fences = [
        acquire(&fallback, &mirrored, "owner", TTL).await,
        acquire(&*plain, &counting, "owner", TTL).await,
        acquire(&*plain, &trusting, "owner", TTL).await,
    ];
    let owners: [(&dyn StateStore, &Partition, &Fence); 3] = [
        (&fallback, &mirrored, &fences[0]),
        (&*plain, &counting, &fences[1]),
        (&*plain, &trusting, &fences[2]),
    ];
    for (store, at, fence) in owners {
        acknowledged(store, at, fence, 0..SEEN).await;
    }
    asked(&set, move |set| {
        let others: Vec<_> = (0..set.nodes()).filter(|node| *node != old).collect();
        for name in names {
            wait_for_values(set, &others, name, i64::try_from(SEEN).expect("few"));
        }
        set.cut(old);
    })
    .await;
    for (store, at, fence) in owners {
        acknowledged(store, at, fence, SEEN..SEEN + UNSEEN).await;
    }

    let new = asked(&set, move |set| {
        set.node(old).kill();
        started(set.primary_after(old))
    })
    .await;
    address.lead_to(([127, 0, 0, 1], set.node(new).port()));
    let resetting = Arc::clone(&address);
    tokio::task::spawn_blocking(move || resetting.reset())
        .await
        .expect("a reset");

    let next = write(&fences[0], SEEN + UNSEEN);
    assert!(
        until_answered(&fallback, &mirrored, &next)
            .await
            .is_applied()
    );
    let revision = (SEEN + UNSEEN) as u64;
    let counted = write(&fences[1], SEEN + UNSEEN).at_revision(revision);
    let refused = until_answered(&*plain, &counting, &counted).await;
    let trusted = write(&fences[2], SEEN + UNSEEN);
    let accepted = until_answered(&*plain, &trusting, &trusted).await;
    let there = through_sentinels(&set, 0).await.image(&mirrored).await;
    let there = there.expect("an answer").expect("it is there");
    Lagging {
        unseen: UNSEEN,
        missing_with_fallback: SEEN + UNSEEN + 1 - there.entries.len(),
        restored: fallback.status().restored,
        refused_with_revision: matches!(
            refused,
            CommitOutcome::RevisionConflict { found } if found == SEEN as u64
        ),
        accepted_without: accepted.is_applied(),
    }
}

async fn acknowledged(
    store: &dyn StateStore,
    at: &Partition,
    fence: &Fence,
    writes: std::ops::Range<usize>,
) {
    for n in writes {
        assert!(
            until_answered(store, at, &write(fence, n))
                .await
                .is_applied()
        );
    }
}

fn write(fence: &Fence, n: usize) -> Commit {
    let write = Commit::new(WriteId::random()).fenced(fence.clone());
    write.put(key(&format!("k{n:02}")), Expect::Any, Vec::new())
}
