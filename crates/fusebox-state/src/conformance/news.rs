//! Change feeds, and the name of the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::support::*;
use crate::{ChangeFeed, Expect, Notice, Partition, Restore, StateStore};

type Shared = Arc<dyn StateStore>;

/// A feed that says nothing for this long has lost something.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads until the feed tells that `at` has reached `revision`, or that it may have missed it.
/// Answers what it told before.
async fn follow(feed: &mut dyn ChangeFeed, at: &Partition, revision: u64) -> Vec<Notice> {
    let mut before = Vec::new();
    loop {
        let notice = timeout(PATIENCE, feed.next()).await;
        let notice = notice.expect("the feed told of the change in time");
        let notice = notice.expect("the store is there");
        match &notice {
            Notice::Changed {
                partition,
                revision: told,
            } if partition == at && *told >= revision => return before,
            Notice::Missed => return before,
            _ => before.push(notice),
        }
    }
}

pub(super) async fn watchers_are_told_of_commits_and_restores(store: &dyn StateStore, _: Shared) {
    let p = partition("watched");
    let mut feed = store.watch(p.as_str()).await.expect("watch answers");
    put(store, &p, "a", b"1").await;
    follow(&mut *feed, &p, 1).await;
    let fence = acquire(store, &p, "owner", LONG).await;
    let image = store
        .image(&p)
        .await
        .expect("image answers")
        .expect("there");
    let mut later = image.clone();
    later.revision = 7;
    let restore = Restore::new(fence, "owner", LONG, later);
    let _ = store.restore(&p, restore).await.expect("restore answers");
    follow(&mut *feed, &p, 7).await;
}

pub(super) async fn a_watch_keeps_to_its_prefix(store: &dyn StateStore, _: Shared) {
    let (p, other) = (partition("prefix"), partition("elsewhere"));
    let mut feed = store.watch(p.as_str()).await.expect("watch answers");
    put(store, &other, "a", b"").await;
    put(store, &p, "a", b"").await;
    let before = follow(&mut *feed, &p, 1).await;
    assert!(before.is_empty(), "{before:?}");
}

pub(super) async fn a_feed_that_nobody_reads_holds_up_no_writer(store: &dyn StateStore, _: Shared) {
    let p = partition("unread");
    let mut feed = store.watch(p.as_str()).await.expect("watch answers");
    let writes = async {
        for _ in 0..500 {
            let write = write().put(key("a"), Expect::Any, Vec::new());
            assert!(commit(store, &p, write).await.is_applied());
        }
    };
    timeout(PATIENCE * 3, writes).await.expect("writers go on");
    let told = follow(&mut *feed, &p, 500).await;
    assert!(
        told.len() < 500,
        "notices of one partition are joined or dropped, or the queue would grow for ever"
    );
}

pub(super) async fn the_identity_of_a_store_stays(store: &dyn StateStore, _: Shared) {
    let id = store.identity().await.expect("identity answers");
    assert!(!id.as_str().is_empty());
    put(store, &partition("identity"), "a", b"").await;
    assert_eq!(store.identity().await.expect("identity answers"), id);
}
