//! Commits per second of each store, beside the least that its medium asks for.
//!
//! A writer sends a commit of one key with 1 KiB, waits for the answer, sends the next; each has a
//! partition of its own. Contenders take turns of a quarter of a second, and each multiple is taken
//! within a round, so the load of the machine falls on all alike. Printed are medians over the
//! rounds.

mod floors;
mod redis_benchmark;
mod table;
mod turn;

use std::env;
use std::sync::Arc;

use fusebox_state::{EmbeddedStore, RedisConfig, RedisStore, StateStore};
use fusebox_test_server::TestServer;

use crate::table::Table;
use crate::turn::{Contender, Turns};

const WIDTHS: [usize; 3] = [1, 8, 64];

fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let is_wanted = |suite: &str| wanted.is_empty() || wanted.iter().any(|w| suite.contains(&**w));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if is_wanted("embedded") {
        embedded(&runtime);
    }
    if is_wanted("redis") {
        redis(&runtime);
    }
}

/// SQLite beside a loop that appends 1 KiB and waits for the disk, in the same directory.
fn embedded(runtime: &tokio::runtime::Runtime) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = EmbeddedStore::open(directory.path().join("state.db")).expect("a store");
    let store: Arc<dyn StateStore> = Arc::new(store);
    let floor = floors::Disk::new(directory.path());
    let mut table = Table::new("embedded, beside write 1 KiB + fdatasync in a loop");
    for writers in WIDTHS {
        let contenders = vec![
            Contender::blocking("write + fdatasync, one writer", || floor.append()),
            Contender::store("embedded", Arc::clone(&store), writers),
        ];
        table.add(writers, &Turns::run(runtime, contenders));
    }
    table.print();
}

/// The store beside its own script on a bare multiplexed connection.
fn redis(runtime: &tokio::runtime::Runtime) {
    let server = TestServer::start().expect("a server: `cargo xtask server` fetches one");
    let mut table = Table::new("redis, beside the same script on a bare multiplexed connection");
    for writers in WIDTHS {
        let (store, bare) = runtime.block_on(async {
            let config = RedisConfig::from_url(server.url()).expect("a URL");
            let store = RedisStore::connect(config).await.expect("a connection");
            (Arc::new(store), floors::Script::connect(server.url()).await)
        });
        let contenders = vec![
            Contender::asynchronous("bare connection", writers, bare),
            Contender::store("redis", store as Arc<dyn StateStore>, writers),
        ];
        table.add(writers, &Turns::run(runtime, contenders));
    }
    table.print();
    redis_benchmark::print(server.port(), &WIDTHS);
}
