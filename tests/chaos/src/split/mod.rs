//! Two owners on two sides: what each is told, and what is left of it.
//!
//! Three ways to have two owners of one partition: a network that is cut for longer than a lease, an
//! owner that is stopped for longer than its lease, and a primary lost together with what its
//! replicas had not seen. What must hold of each:
//!
//! - no write of an owner is accepted once another owner has the partition;
//! - an acknowledged write that is lost is announced to its owner, which has it as a fork or puts it
//!   back;
//! - none is lost that was acknowledged as [`Replicated`](fusebox_state::Durability::Replicated),
//!   where the replica that had it is the one promoted.

mod cut;
mod lagging;
mod stopped;

pub use cut::{Cut, Level, cut};
pub use lagging::{Lagging, lagging};
pub use stopped::{ENV_OWNER, own_until_told, stopped};

use std::sync::Arc;
use std::time::Duration;

use fusebox_state::{RedisConfig, RedisStore, StateStore};
use fusebox_test_server::SentinelSet;

use crate::backend::{listed, started};
use crate::words::{LONG, bounded};

/// Shorter than any cut here.
const TTL: Duration = Duration::from_secs(3);
/// Of a call on the side that may not be answered.
const DEADLINE: Duration = Duration::from_millis(1500);
/// Long enough that a busy machine is not taken for a dead server.
const DOWN_AFTER: Duration = Duration::from_secs(3);

/// Through the Sentinels, with time to spare. The first of them may still name a primary that is cut
/// off when most do not any more.
async fn through_sentinels(set: &SentinelSet, replicas: u8) -> Arc<dyn StateStore> {
    let url = format!(
        "redis+sentinel://{}/{}",
        listed(&set.sentinels()),
        set.name()
    );
    let config = started(RedisConfig::from_url(&url)).with_replicas(replicas);
    let config = config.with_deadline(LONG).with_connect_timeout(DOWN_AFTER);
    let connecting = async {
        loop {
            match RedisStore::connect(config.clone()).await {
                Ok(store) => return Arc::new(store),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
    };
    bounded("the Sentinels lead to a primary", connecting).await
}

/// Through a port that leads to one server, wherever that is: an address that moves.
async fn through_port(port: u16, replicas: u8) -> Arc<dyn StateStore> {
    let url = format!("redis://127.0.0.1:{port}");
    let config = started(RedisConfig::from_url(&url)).with_replicas(replicas);
    let config = config
        .with_deadline(DEADLINE)
        .with_connect_timeout(DEADLINE);
    Arc::new(started(RedisStore::connect(config).await))
}

/// Asks the set something that takes its time.
async fn asked<T: Send + 'static>(
    set: &Arc<SentinelSet>,
    question: impl FnOnce(&SentinelSet) -> T + Send + 'static,
) -> T {
    let set = Arc::clone(set);
    let answer = tokio::task::spawn_blocking(move || question(&set)).await;
    answer.expect("the set answers")
}

/// Returns when each of these servers has that many values of the partition.
fn wait_for_values(set: &SentinelSet, nodes: &[usize], partition: &str, values: i64) {
    let key = format!("fusebox:{{{partition}}}:d");
    let began = std::time::Instant::now();
    for node in nodes {
        while set
            .node(*node)
            .ask(&["HLEN", &key])
            .ok()
            .and_then(|it| it.integer())
            != Some(values)
        {
            assert!(began.elapsed() < LONG, "node {node} does not follow");
            std::thread::yield_now();
        }
    }
}
