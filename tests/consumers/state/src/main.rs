//! A store that is not ours, held to the same contract.

mod map;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{
    AcquireOutcome, Commit, Expect, Key, LeaseRequest, Partition, StateStore, WriteId, conformance,
};

use map::MapStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    conformance::run(|| async { Arc::new(MapStore::default()) as Arc<dyn StateStore> }).await;

    let store = MapStore::default();
    let (run, key) = (Partition::try_new("run-1")?, Key::try_new("step/a")?);
    let request = LeaseRequest::new("worker-1", Duration::from_secs(30));
    let AcquireOutcome::Acquired { fence, .. } = store.acquire(&run, request).await? else {
        panic!("nobody else asked for it");
    };
    let write = Commit::new(WriteId::random()).put(key.clone(), Expect::Absent, b"done".to_vec());
    let unfenced = store.commit(&run, write.clone()).await?;
    assert!(
        !unfenced.is_applied(),
        "a leased partition takes writes of its owner only"
    );
    assert!(store.commit(&run, write.fenced(fence)).await?.is_applied());
    let entry = store.get(&run, &key).await?.expect("it was written");
    assert_eq!((entry.value.as_slice(), entry.version), (&b"done"[..], 1));

    println!(
        "state: a map behind a mutex passes {} checks",
        conformance::CHECKS.len()
    );
    Ok(())
}
