//! Steps per second of the engine, with breakers, journal and events on, beside the least that the
//! same work asks for, and beside a peer.
//!
//! The agents do nothing, so what is measured is everything around them. A run is a chain of 6
//! steps, or a fan-out of 10 or of 100; one run at a time, or 64 in flight. Contenders take turns of
//! a quarter of a second, and each multiple is taken within a round, so the load of the machine falls
//! on all alike. Printed are medians over the rounds.
//!
//! Every run is removed at its end, here and at the peer, so nothing grows while it is measured.

mod engine;
mod floors;
mod peer;
mod recorder;
mod shape;
mod table;
mod turn;

use std::env;
use std::sync::Arc;

use fusebox_state::{EmbeddedStore, MemoryStore, RedisConfig, RedisStore, StateStore};
use fusebox_test_server::TestServer;
use tokio::runtime::Runtime;

use crate::shape::Shape;
use crate::table::Table;
use crate::turn::Turns;

const IN_FLIGHT: [usize; 2] = [1, 64];

fn main() {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let is_wanted = |suite: &str| wanted.is_empty() || wanted.iter().any(|w| suite.contains(&**w));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if is_wanted("memory") {
        memory(&runtime);
    }
    if is_wanted("embedded") {
        embedded(&runtime);
    }
    if is_wanted("redis") {
        redis(&runtime);
    }
}

/// In memory: beside plain tasks, beside the peer, and beside the store alone.
fn memory(runtime: &Runtime) {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new());
    let mut table =
        Table::new("memory, as a multiple of graph-flow, which saves its session per step");
    each(|shape, in_flight| {
        let commits = recorder::commits_of_a_run(runtime, &store, shape);
        let contenders = vec![
            peer::contender(shape, in_flight),
            floors::tasks(shape, in_flight),
            floors::store("the store alone", &store, &commits, in_flight),
            engine::contender("engine", &store, shape, in_flight),
        ];
        table.add(shape, in_flight, &Turns::run(runtime, &contenders));
    });
    table.print();
}

/// In a file: beside the same operations sent by nothing but the store.
fn embedded(runtime: &Runtime) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = EmbeddedStore::open(directory.path().join("state.db")).expect("a store");
    let store: Arc<dyn StateStore> = Arc::new(store);
    let mut table = Table::new("embedded, as a multiple of the store alone");
    each(|shape, in_flight| {
        let commits = recorder::commits_of_a_run(runtime, &store, shape);
        let contenders = vec![
            floors::store("the store alone", &store, &commits, in_flight),
            engine::contender("engine", &store, shape, in_flight),
        ];
        table.add(shape, in_flight, &Turns::run(runtime, &contenders));
    });
    table.print();
}

/// On a server that syncs once a second: beside the bare script, and beside the store alone.
fn redis(runtime: &Runtime) {
    let server = TestServer::builder().append_only(true).start();
    let server = server.expect("a server: `cargo xtask server` fetches one");
    let (store, bare) = runtime.block_on(async {
        let config = RedisConfig::from_url(server.url()).expect("a URL");
        let config = config.with_deadline(floors::PATIENCE);
        let store = RedisStore::connect(config).await.expect("a connection");
        let store: Arc<dyn StateStore> = Arc::new(store);
        (store, floors::Script::connect(server.url()).await)
    });
    let mut table = Table::new(
        "redis, appendfsync everysec, as a multiple of the commits alone as bare scripts",
    );
    each(|shape, in_flight| {
        let commits = recorder::commits_of_a_run(runtime, &store, shape);
        let contenders = vec![
            bare.contender(shape, &commits, in_flight),
            floors::store("the store alone", &store, &commits, in_flight),
            engine::contender("engine", &store, shape, in_flight),
        ];
        table.add(shape, in_flight, &Turns::run(runtime, &contenders));
    });
    table.print();
}

fn each(mut measure: impl FnMut(Shape, usize)) {
    for shape in Shape::ALL {
        for in_flight in IN_FLIGHT {
            measure(shape, in_flight);
        }
    }
}
