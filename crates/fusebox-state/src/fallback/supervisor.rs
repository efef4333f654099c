//! Asks a store that is away until it answers, and puts things right when it does.

use std::sync::Weak;
use std::time::Duration;

use super::{Shared, mode};
use crate::{StoreError, StoreMode, random};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(shared: Weak<Shared>) {
    let Some(mut changes) = shared.upgrade().map(|shared| shared.mode.changes()) else {
        return;
    };
    loop {
        changes.mark_unchanged();
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if shared.mode.now() == StoreMode::Healthy || shared.recover().await {
                break;
            }
            drop(shared);
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // Fails only when the store is gone.
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Shared {
    /// One try. Answers whether all is well.
    async fn recover(&self) -> bool {
        let tried = async {
            // A write, though a small one: a store that only reads is not back.
            let id = self.primary.identity().await?;
            self.mode.reconcile();
            for owned in self.holding.all() {
                self.reconcile_one(&owned).await?;
            }
            self.know(id);
            Ok(())
        };
        match tried.await {
            Ok(()) => {
                self.mode.recovered();
                self.mode.now() == StoreMode::Healthy
            }
            Err(error) => {
                self.failed_to_recover(&error);
                false
            }
        }
    }

    fn failed_to_recover(&self, error: &StoreError) {
        // One that is only suspected gets its time.
        if !mode::is_away(error) || self.mode.suspect(error) {
            self.mode.degrade(error);
        }
    }
}

/// Between half and all of it, so that processes do not return in step.
fn jittered(pause: Duration) -> Duration {
    let [byte, ..] = random::bytes16();
    pause / 2 + pause.mul_f64(f64::from(byte) / 512.0)
}
