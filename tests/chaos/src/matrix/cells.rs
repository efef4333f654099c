//! One operation under one fault: asked for, timed, and looked at afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fusebox_state::{
    Commit, Expect, FallbackConfig, FallbackStore, Fence, Image, LeaseRequest, Notice, Partition,
    Restore, StateStore, StoreError, StoreMode, WriteId,
};

use super::{Answer, Arena, Keeps, Operation};
use crate::words::{LONG, acquire, bounded, key, partition, put, until_answered};

/// A lease that no cell outlasts.
const TTL: Duration = Duration::from_secs(600);
/// No call takes longer, whatever its deadline: the longest is 5 s, and the machine may be busy.
const BOUND: Duration = Duration::from_secs(30);
/// A lease to be made longer, and long enough not to run out meanwhile.
const SHORTER: Duration = Duration::from_secs(300);

/// Runs one cell on a partition of its own: what was answered, and how long that took.
///
/// # Panics
/// If something that must hold does not.
pub async fn run(arena: &dyn Arena, operation: Operation) -> (Answer, Duration) {
    static CELL: AtomicU64 = AtomicU64::new(0);
    let number = CELL.fetch_add(1, Ordering::Relaxed);
    let at = partition(&format!("{}-{number}", operation.name()));
    let cell = Cell {
        arena,
        store: arena.store().await,
        at,
    };
    let label = format!("{}, {}", arena.fault(), operation.name());
    let work = async {
        match operation {
            Operation::Acquire => cell.acquire().await,
            Operation::Commit => cell.commit().await,
            Operation::Renew => cell.renew().await,
            Operation::Read => cell.read().await,
            Operation::Image => cell.image().await,
            Operation::Restore => cell.restore().await,
            Operation::Watch => cell.watch().await,
            Operation::Reconcile => cell.reconcile().await,
        }
    };
    bounded(&label, work).await
}

struct Cell<'a> {
    arena: &'a dyn Arena,
    store: Arc<dyn StateStore>,
    at: Partition,
}

impl Cell<'_> {
    async fn acquire(&self) -> (Answer, Duration) {
        let request = LeaseRequest::new("first", TTL);
        let asked = self.store.acquire(&self.at, request.clone());
        let (acquired, stall) = self.under_fault(asked).await;
        let answer = Answer::from(&acquired);
        let witness = self.arena.witness().await;
        let lease = witness.lease(&self.at).await.unwrap();
        match &acquired {
            Ok(fusebox_state::AcquireOutcome::Acquired { fence, .. }) if self.keeps() => {
                assert_eq!(lease.as_ref().unwrap().token_id, fence.token_id());
            }
            Err(error) if !error.may_have_applied() => assert_eq!(lease, None, "{error:?}"),
            _ => {}
        }
        // Whoever lost the answer recognises its own name and takes the partition over.
        let again = match &lease {
            Some(lease) => {
                assert_eq!(lease.owner, "first");
                request.with_takeover(lease.token_id.clone())
            }
            None => request,
        };
        let again = self.retried(|| self.store.acquire(&self.at, again.clone()));
        assert_eq!(Answer::from(&Ok(again.await)), Answer::Ok);
        (answer, stall)
    }

    async fn commit(&self) -> (Answer, Duration) {
        let fence = self.owned(TTL).await;
        let write = put("a", b"after").fenced(fence);
        let asked = self.store.commit(&self.at, write.clone());
        let (committed, stall) = self.under_fault(asked).await;
        let answer = Answer::from(&committed);
        let witness = self.arena.witness().await;
        if !self.keeps() {
            // Nothing comes to life under a lease that is not there any more.
            let again = until_answered(&*self.store, &self.at, &write).await;
            assert_eq!(Answer::from(&Ok(again)), Answer::Stale);
            assert_eq!(witness.head(&self.at).await.unwrap(), None);
            return (answer, stall);
        }
        match answer {
            Answer::Ok => self.holds(&*witness, "after", 2).await,
            Answer::InDoubt => {}
            _ => self.holds(&*witness, "base", 1).await,
        }
        let again = until_answered(&*self.store, &self.at, &write).await;
        assert!(again.is_applied(), "{again:?}");
        self.holds(&*witness, "after", 2).await;
        (answer, stall)
    }

    async fn renew(&self) -> (Answer, Duration) {
        let fence = self.owned(SHORTER).await;
        let asked = self.store.renew(&self.at, &fence, TTL);
        let (renewed, stall) = self.under_fault(asked).await;
        let answer = Answer::from(&renewed);
        let again = self.retried(|| self.store.renew(&self.at, &fence, TTL));
        if !self.keeps() {
            assert_eq!(Answer::from(&Ok(again.await)), Answer::Stale);
            return (answer, stall);
        }
        let witness = self.arena.witness().await;
        let lease = witness.lease(&self.at).await.unwrap().unwrap();
        match answer {
            Answer::Ok => assert!(lease.remaining > SHORTER, "{lease:?}"),
            Answer::InDoubt => {}
            _ => assert!(lease.remaining <= SHORTER, "{lease:?}"),
        }
        assert_eq!(Answer::from(&Ok(again.await)), Answer::Ok);
        self.holds(&*witness, "base", 1).await;
        (answer, stall)
    }

    async fn read(&self) -> (Answer, Duration) {
        self.owned(TTL).await;
        let asked = async {
            let one = self.store.get(&self.at, &key("a")).await;
            let all = self.store.scan(&self.at, "", None, 10).await;
            (one, all)
        };
        let ((one, all), stall) = self.under_fault(asked).await;
        let all = all.map(|page| page.items.into_iter().next().map(|(_, entry)| entry));
        let answers = [Answer::from(&one), Answer::from(&all)];
        for entry in [one, all].into_iter().flatten().flatten() {
            assert_eq!((&*entry.value, entry.version), (&b"base"[..], 1));
        }
        let a = key("a");
        let again = self.retried(|| self.store.get(&self.at, &a)).await;
        assert_eq!(again.is_some(), self.keeps());
        // The first of the two may have met what the second did not.
        (answers.into_iter().max().unwrap_or(Answer::Ok), stall)
    }

    async fn image(&self) -> (Answer, Duration) {
        self.owned(TTL).await;
        let (image, stall) = self.under_fault(self.store.image(&self.at)).await;
        let answer = Answer::from(&image);
        if let Ok(Some(image)) = image {
            assert_eq!((image.revision, image.entries.len()), (1, 1));
            assert_eq!(image.entries[0].1.value, b"base");
        }
        let again = self.retried(|| self.store.image(&self.at)).await;
        assert_eq!(again.is_some(), self.keeps());
        (answer, stall)
    }

    async fn restore(&self) -> (Answer, Duration) {
        let fence = self.owned(TTL).await;
        let restore = Restore::new(fence, "first", TTL, self.later_image().await).onto_absent();
        let asked = self.store.restore(&self.at, restore.clone());
        let (restored, stall) = self.under_fault(asked).await;
        let answer = Answer::from(&restored);
        let witness = self.arena.witness().await;
        if self.keeps() {
            match answer {
                Answer::Ok => self.holds(&*witness, "after", 7).await,
                Answer::InDoubt => {}
                _ => self.holds(&*witness, "base", 1).await,
            }
        }
        let again = self.retried(|| self.store.restore(&self.at, restore.clone()));
        assert_eq!(Answer::from(&Ok(again.await)), Answer::Ok);
        self.holds(&*witness, "after", 7).await;
        (answer, stall)
    }

    async fn watch(&self) -> (Answer, Duration) {
        let mut before = self.store.watch("watch-").await.unwrap();
        let (watching, stall) = self.under_fault(self.store.watch("watch-")).await;
        let answer = Answer::from(&watching.map(Some));
        let witness = self.arena.witness().await;
        // Having been told that it may have missed something, a reader looks again, and is told of
        // what comes after.
        let told = async {
            loop {
                let _ = witness.commit(&self.at, put("a", b"news")).await.unwrap();
                let next = tokio::time::timeout(Duration::from_millis(200), before.next());
                match next.await {
                    Ok(Ok(Notice::Changed { partition, .. })) if partition == self.at => return,
                    Ok(Ok(_)) | Err(_) => {}
                    Ok(Err(error)) => assert!(error.is_transient(), "{error:?}"),
                }
            }
        };
        bounded("a feed goes on after a fault", told).await;
        (answer, stall)
    }

    /// Writes of an owner with a fallback: what it acknowledges arrives, or the owner is told.
    async fn reconcile(&self) -> (Answer, Duration) {
        let config = FallbackConfig::degrade_volatile().with_patience(Duration::from_millis(300));
        let store = FallbackStore::open(self.store.clone(), config);
        let store = store.await.unwrap();
        let fence = acquire(&store, &self.at, "first", TTL).await;
        let write = |name: &str| {
            let change = Commit::new(WriteId::random()).fenced(fence.clone());
            change.put(key(name), Expect::Any, name.as_bytes().to_vec())
        };
        let _ = until_answered(&store, &self.at, &write("before")).await;
        let during = write("during");
        let asked = store.commit(&self.at, during.clone());
        let (committed, stall) = self.under_fault(asked).await;
        let answer = Answer::from(&committed);
        assert!(store.settle(LONG).await, "{}", store.status());
        let mut modes = store.mode_changes();
        let healthy = modes.wait_for(|mode| *mode == StoreMode::Healthy);
        bounded("the store is healthy again", healthy)
            .await
            .unwrap();
        if answer != Answer::Ok {
            let again = until_answered(&store, &self.at, &during).await;
            assert!(again.is_applied(), "{again:?}");
        }
        let last = until_answered(&store, &self.at, &write("last")).await;
        assert!(last.is_applied(), "{last:?}");
        let witness = self.arena.witness().await;
        for name in ["before", "during", "last"] {
            let entry = witness.get(&self.at, &key(name)).await.unwrap();
            let entry = entry.unwrap_or_else(|| panic!("`{name}` was acknowledged and is lost"));
            assert_eq!((&*entry.value, entry.version), (name.as_bytes(), 1));
        }
        assert_eq!(revision(&*witness, &self.at).await, Some(3));
        assert_eq!(store.status().forks, 0);
        (answer, stall)
    }

    /// Asks while the fault is on, and takes the time.
    async fn under_fault<T>(&self, asked: impl Future<Output = T>) -> (T, Duration) {
        let identity = self.arena.witness().await.identity().await.unwrap();
        self.arena.begin(&self.at).await;
        let timed = async {
            let began = Instant::now();
            let answer = asked.await;
            (answer, began.elapsed())
        };
        let ((answer, stall), ()) = tokio::join!(timed, self.arena.strike(&self.at));
        self.arena.end(&self.at).await;
        assert!(stall < BOUND, "the caller waited {stall:?}");
        let now = self.arena.witness().await.identity().await.unwrap();
        // Who asks can tell that everything is gone.
        assert_eq!(identity == now, self.keeps());
        (answer, stall)
    }

    /// Owns the partition and has written to it once.
    async fn owned(&self, ttl: Duration) -> Fence {
        let fence = acquire(&*self.store, &self.at, "first", ttl).await;
        let base = put("a", b"base").fenced(fence.clone());
        assert!(
            until_answered(&*self.store, &self.at, &base)
                .await
                .is_applied()
        );
        fence
    }

    /// What the owner would put back had the store lost six of its commits.
    async fn later_image(&self) -> Image {
        let mut image = self.store.image(&self.at).await.unwrap().unwrap();
        image.revision = 7;
        image.entries[0].1.value = b"after".to_vec();
        image.entries[0].1.version = 7;
        image
    }

    /// The value and its version; each commit wrote it once, so this is the revision too.
    async fn holds(&self, store: &dyn StateStore, value: &str, version: u64) {
        let entry = store.get(&self.at, &key("a")).await.unwrap().unwrap();
        assert_eq!(
            (
                String::from_utf8_lossy(&entry.value).as_ref(),
                entry.version
            ),
            (value, version)
        );
        assert_eq!(revision(store, &self.at).await, Some(version));
    }

    /// Asks until the store is as good as new.
    async fn retried<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let asked = async {
            loop {
                match ask().await {
                    Ok(answer) => return answer,
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
                tokio::task::yield_now().await;
            }
        };
        bounded("the store answers again", asked).await
    }

    fn keeps(&self) -> bool {
        self.arena.keeps() == Keeps::All
    }
}

async fn revision(store: &dyn StateStore, at: &Partition) -> Option<u64> {
    Some(store.head(at).await.unwrap()?.revision)
}
