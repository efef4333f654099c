//! Where a scenario takes place: its time, its store, its seed; and what it takes to try one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fusebox::prelude::StateStore;
use fusebox_test_server::TestServer;
use fusebox_testkit::{VirtualTime, virtual_time};

/// How many seeds a scenario stands on virtual time.
const SEEDS: u64 = 200;

/// How many seeds it must fail at without its protection: at each of them.
const CONTROLS: u64 = 5;

/// What real time makes of a second of the presets.
const REAL_PACE: f64 = 0.01;

/// Longer than any machine needs; only a broken scenario reaches it.
const AT_MOST: Duration = Duration::from_secs(60);

/// Where a scenario takes place.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) store: Arc<dyn StateStore>,
    time: Option<VirtualTime>,
}

impl World {
    fn virtually(time: VirtualTime) -> Self {
        Self {
            seed: time.seed(),
            store: Arc::new(time.memory_store()),
            time: Some(time),
        }
    }

    /// The same world with an empty store: what is left of one that kept no journal.
    ///
    /// # Panics
    /// Time is real here.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::virtually(self.time.expect("virtual time"))
    }

    /// Whether time is virtual, so that it can be passed and reckoned with.
    pub(crate) fn time(&self) -> Option<VirtualTime> {
        self.time
    }

    /// What the durations of the presets are multiplied by.
    pub(crate) fn pace(&self) -> f64 {
        if self.time.is_some() { 1.0 } else { REAL_PACE }
    }

    /// A duration of the presets as it is here.
    pub(crate) fn paced(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.pace())
    }

    /// Asks until the answer is yes, on whatever time there is.
    ///
    /// # Panics
    /// After a minute, naming `what` was waited for.
    pub(crate) async fn eventually(&self, what: &str, mut look: impl AsyncFnMut() -> bool) {
        let limit = tokio::time::Instant::now() + AT_MOST;
        while !look().await {
            assert!(
                tokio::time::Instant::now() < limit,
                "waited in vain for {what}"
            );
            tokio::time::sleep(self.paced(Duration::from_millis(500))).await;
        }
    }
}

/// Plays `scenario` on virtual time, once per seed; a failure names its seed. What it gave, by seed.
pub(crate) fn on_virtual_time<T>(scenario: impl AsyncFn(&World) -> T) -> Vec<T> {
    let play = |seed| virtual_time(seed, async |time| scenario(&World::virtually(time)).await);
    (0..SEEDS).map(play).collect()
}

/// Plays `scenario` once, in real time, on a Redis server of its own.
pub(crate) fn on_redis<T>(scenario: impl AsyncFn(&World) -> T) {
    let server = TestServer::start().unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let store = fusebox::state::open(server.url()).await;
        let store = store.unwrap_or_else(|error| panic!("{error}"));
        let world = World {
            seed: 1,
            store,
            time: None,
        };
        scenario(&world).await;
    });
}

/// Plays `scenario`, which lacks its protection, and requires that at every seed one of its
/// assertions says `complaint`.
pub(crate) fn fails<T>(complaint: &str, scenario: impl AsyncFn(&World) -> T) {
    for seed in 0..CONTROLS {
        let play = || virtual_time(seed, async |time| scenario(&World::virtually(time)).await);
        let Err(panic) = catch_unwind(AssertUnwindSafe(play)) else {
            panic!("seed {seed}: nothing is missed without the protection");
        };
        let message = panic.downcast_ref::<String>().map_or("", String::as_str);
        assert!(
            message.contains(complaint),
            "seed {seed}: not for want of the protection: {message}"
        );
    }
}
