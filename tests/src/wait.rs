//! Waiting for what can be seen but does not announce itself.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for any machine; reached only when a test is about to fail.
pub(crate) const AT_MOST: Duration = Duration::from_secs(60);

/// Between two looks.
const POLL: Duration = Duration::from_millis(2);

/// Looks until there is something to see, and returns it.
///
/// # Panics
/// After a minute, naming `what` was waited for.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within_limit(look).unwrap_or_else(|| panic!("waited {AT_MOST:?} in vain for {what}"))
}

/// Looks until there is something to see; `None` after a minute.
pub(crate) fn within_limit<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let limit = Instant::now() + AT_MOST;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() >= limit {
            return seen;
        }
        thread::sleep(POLL);
    }
}
