//! Waiting for what servers agree on among themselves: nothing tells us but their answers.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::SetError;

const POLL: Duration = Duration::from_millis(20);

/// Asks until `question` gives a value, at most for `limit`. What it says instead is in the error.
pub(crate) fn until<T>(
    wanted: &str,
    limit: Duration,
    mut question: impl FnMut() -> Result<T, String>,
) -> Result<T, SetError> {
    let began = Instant::now();
    loop {
        match question() {
            Ok(value) => return Ok(value),
            Err(_) if began.elapsed() < limit => thread::sleep(POLL),
            Err(last) => {
                return Err(SetError::NotReached {
                    wanted: wanted.to_owned(),
                    waited: began.elapsed(),
                    last,
                });
            }
        }
    }
}
