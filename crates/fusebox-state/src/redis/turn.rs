//! One does the work that many wait for.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::fault::Fault;

/// Lets one caller at a time look for something. Those who waited take what it found, or fail as
/// it did, instead of trying one after the other.
#[derive(Default)]
pub(crate) struct Turn {
    last: Mutex<Option<Fault>>,
    /// Tries so far: tells those who waited whether somebody tried meanwhile.
    tries: AtomicU64,
}

impl Turn {
    /// What `known` has by the time it is our turn, else what `look` finds. A caller that gives up
    /// while looking leaves it to the next one.
    pub(crate) async fn find<T>(
        &self,
        known: impl Fn() -> Option<T>,
        look: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let tries = self.tries.load(Ordering::Relaxed);
        let mut last = self.last.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        if let Some(fault) = &*last
            && self.tries.load(Ordering::Relaxed) != tries
        {
            return Err(fault.clone());
        }
        let found = look.await;
        self.tries.fetch_add(1, Ordering::Relaxed);
        *last = found.as_ref().err().cloned();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_waited_share_the_failure_and_the_next_one_tries_again() {
        let turn = Turn::default();
        let looks = AtomicU64::new(0);
        let find = || {
            turn.find(|| None::<u64>, async {
                tokio::task::yield_now().await;
                match looks.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(Fault::Nowhere("not yet".to_owned())),
                    looks => Ok(looks),
                }
            })
        };
        let (one, two) = tokio::join!(find(), find());
        assert!(one.is_err() && two.is_err());
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        assert_eq!(find().await.unwrap(), 1);
    }
}
