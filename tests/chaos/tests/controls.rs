//! The matrix is not blind: a store that loses what it acknowledged does not get through it.

use std::sync::Arc;

use async_trait::async_trait;
use fusebox_chaos_tests::matrix::{Allowed, Answer, Arena, Operation, cell};
use fusebox_state::{MemoryStore, Partition, StateStore};

/// No fault, and two stores that may be one.
struct Two {
    store: Arc<MemoryStore>,
    witness: Arc<MemoryStore>,
}

#[async_trait]
impl Arena for Two {
    fn fault(&self) -> &'static str {
        "none"
    }

    fn allowed(&self) -> Allowed {
        Allowed {
            writes: &[Answer::Ok],
            reads: &[Answer::Ok],
            watch: &[Answer::Ok],
            fallback: &[Answer::Ok],
        }
    }

    async fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store) as _
    }

    async fn witness(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.witness) as _
    }

    async fn begin(&self, _at: &Partition) {}

    async fn end(&self, _at: &Partition) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_gets_through() {
    let store = Arc::new(MemoryStore::new());
    let sound = Two {
        witness: Arc::clone(&store),
        store,
    };
    for operation in Operation::ALL {
        assert_eq!(cell(&sound, operation).await.0, Answer::Ok, "{operation:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_writes_are_nowhere_does_not() {
    for operation in [
        Operation::Acquire,
        Operation::Commit,
        Operation::Renew,
        Operation::Restore,
        Operation::Reconcile,
    ] {
        let lossy = Two {
            store: Arc::new(MemoryStore::new()),
            witness: Arc::new(MemoryStore::new()),
        };
        let asked = tokio::spawn(async move { cell(&lossy, operation).await });
        assert!(asked.await.is_err(), "{operation:?} got through");
    }
}
