//! A hundred tasks count to a hundred thousand on every store.

use fusebox_chaos_tests::report::Section;
use fusebox_chaos_tests::{Backend, Kind, counting};

const SECTION: Section = Section {
    name: "5-counts",
    title: "Counting",
    text: "100 tasks on two handles add one 1,000 times each, by reading and compare-and-swap with \
           4 tries under way at once. The counter, its version and the partition's revision must \
           all be 100,000. Times are those of a debug build on the machine named above.",
    columns: &["store", "ended at", "conflicts", "time"],
};
const TASKS: usize = 100;
const TIMES: u64 = 1000;

async fn exact(place: &str, kind: Kind, fallback: bool) {
    let backend = Backend::start(kind);
    let stores = match fallback {
        false => [backend.open().await, backend.open().await],
        true => [
            backend.open_with_fallback().await,
            backend.open_with_fallback().await,
        ],
    };
    let count = counting::count(&stores, TASKS, TIMES).await;
    assert_eq!(count.ended, [TASKS as u64 * TIMES; 3]);
    // Without any, nothing was tried.
    assert!(count.conflicts > 0, "the tasks never met");
    let name = match fallback {
        false => kind.to_string(),
        true => format!("fallback over {kind}"),
    };
    let cells = [
        name,
        count.ended[0].to_string(),
        count.conflicts.to_string(),
        format!("{:.1} s", count.took.as_secs_f64()),
    ];
    SECTION.row(place, &cells);
}

macro_rules! counts {
    ($($name:ident: $place:literal $kind:ident $fallback:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            exact($place, Kind::$kind, $fallback).await;
        }
    )*};
}

counts! {
    memory_counts_exactly: "1" Memory false;
    embedded_counts_exactly: "2" Embedded false;
    redis_counts_exactly: "3" Redis false;
    redis_behind_sentinel_counts_exactly: "4" Sentinel false;
    redis_cluster_counts_exactly: "5" Cluster false;
    a_fallback_over_memory_counts_exactly: "6" Memory true;
    a_fallback_over_redis_counts_exactly: "7" Redis true;
}
