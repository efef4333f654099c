//! Every store keeps every rule, on every release.

use std::sync::Arc;

use fusebox_chaos_tests::report::Section;
use fusebox_chaos_tests::{Backend, Kind, LONG, named};
use fusebox_state::{StateStore, conformance};
use tokio::time::timeout;

const SECTION: Section = Section {
    name: "1-conformance",
    title: "Rules kept",
    text: "The conformance suite of `fusebox-state`: checks passed, of all there are.",
    columns: &["store", "server", "passed", "not passed"],
};

/// Runs every check and names those that fail.
async fn keeps_every_rule(place: &str, store_name: &str, server: &str, store: Arc<dyn StateStore>) {
    let mut broken = Vec::new();
    for check in conformance::CHECKS {
        let store = Arc::clone(&store);
        let checked = tokio::spawn(conformance::run_check(check.name, move || {
            let store = Arc::clone(&store);
            async move { store }
        }));
        match timeout(LONG, checked).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => broken.push(check.name.to_owned()),
            Err(_) => broken.push(format!("{} (no end within {LONG:?})", check.name)),
        }
    }
    let all = conformance::CHECKS.len();
    let cells = [
        store_name.to_owned(),
        server.to_owned(),
        format!("{} of {all}", all - broken.len()),
        broken.join(", "),
    ];
    SECTION.row(place, &cells);
    assert!(broken.is_empty(), "{store_name} on {server}: {broken:?}");
}

const DEFAULT: &str = "default";

async fn plain(place: &str, kind: Kind) {
    let backend = Backend::start(kind);
    keeps_every_rule(place, &kind.to_string(), server(kind), backend.open().await).await;
}

async fn with_fallback(place: &str, kind: Kind) {
    let backend = Backend::start(kind);
    let name = format!("fallback over {kind}");
    let store = backend.open_with_fallback().await;
    keeps_every_rule(place, &name, server(kind), store).await;
}

async fn on_release(place: &str, name: &str) {
    let Some(program) = named(name, "the rules on one release") else {
        return;
    };
    let backend = Backend::on(program);
    keeps_every_rule(place, &Kind::Redis.to_string(), name, backend.open().await).await;
}

fn server(kind: Kind) -> &'static str {
    match kind {
        Kind::Memory | Kind::Embedded => "none",
        Kind::Redis | Kind::Sentinel | Kind::Cluster => DEFAULT,
    }
}

macro_rules! stores {
    ($($name:ident: $run:ident $place:literal $what:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $run($place, $what).await;
        }
    )*};
}

stores! {
    memory_keeps_every_rule: plain "01" Kind::Memory;
    embedded_keeps_every_rule: plain "02" Kind::Embedded;
    redis_6_2_keeps_every_rule: on_release "03" "redis-6.2";
    redis_7_0_keeps_every_rule: on_release "04" "redis-7.0";
    redis_8_2_keeps_every_rule: on_release "05" "redis-8.2";
    redis_valkey_8_1_keeps_every_rule: on_release "06" "valkey-8.1";
    redis_valkey_9_1_keeps_every_rule: on_release "07" "valkey-9.1";
    redis_behind_sentinel_keeps_every_rule: plain "08" Kind::Sentinel;
    redis_cluster_keeps_every_rule: plain "09" Kind::Cluster;
    a_fallback_over_memory_keeps_every_rule: with_fallback "10" Kind::Memory;
    a_fallback_over_embedded_keeps_every_rule: with_fallback "11" Kind::Embedded;
    a_fallback_over_redis_keeps_every_rule: with_fallback "12" Kind::Redis;
    a_fallback_over_redis_behind_sentinel_keeps_every_rule: with_fallback "13" Kind::Sentinel;
    a_fallback_over_redis_cluster_keeps_every_rule: with_fallback "14" Kind::Cluster;
}
