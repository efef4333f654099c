//! Slots on the move and nodes that come back, under every operation.

use fusebox_chaos_tests::matrix::{self, ClusterArena, ClusterFault};
use fusebox_chaos_tests::report::Section;

const SECTION: Section = Section {
    name: "2-matrix-redis-cluster",
    title: "A cluster of three nodes",
    text: "Through a store with a deadline of 5 s; what moves is the slot of the partition that is \
           asked for. A partition that has not all of its keys yet cannot be asked for while its \
           slot moves: servers answer `TRYAGAIN` until it has.",
    columns: &[
        "fault",
        "acquire",
        "commit",
        "renew",
        "get, scan",
        "image",
        "restore",
        "watch",
        "write with a fallback",
        "acknowledged writes",
        "longest wait",
    ],
};

macro_rules! faults {
    ($($name:ident: $place:literal $fault:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let arena = ClusterArena::start(ClusterFault::$fault);
            matrix::row(&SECTION, $place, &arena).await;
        }
    )*};
}

faults! {
    a_redis_slot_that_has_moved_is_followed: "1" Moved;
    redis_keys_that_have_moved_are_asked_for: "2" Asking;
    redis_keys_on_the_move_are_waited_for: "3" HalfMoved;
    a_redis_node_that_comes_back_has_lost_nothing: "4" OwnerKilled;
}
