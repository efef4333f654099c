//! Times in figures.

use std::time::Duration;

/// Whole milliseconds, the rest cut off.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
