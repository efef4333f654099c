//! What happens to the next request, and what has happened to those before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fault::Fault;

/// Shared by the proxy's handle and its connections.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Each for so many requests, in turn; `None` for all to come.
    faults: Mutex<VecDeque<(Fault, Option<u32>)>>,
    requests: AtomicU64,
    forwarded: AtomicU64,
}

impl Plan {
    pub(crate) fn add(&self, fault: Fault, times: Option<u32>) {
        self.faults().push_back((fault, times));
    }

    pub(crate) fn clear(&self) {
        self.faults().clear();
    }

    /// Counts a request and says what happens to it.
    pub(crate) fn next(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults();
        while faults.front().is_some_and(|(_, left)| *left == Some(0)) {
            faults.pop_front();
        }
        let (fault, left) = faults.front_mut()?;
        if let Some(left) = left {
            *left -= 1;
        }
        Some(fault.clone())
    }

    pub(crate) fn count_forwarded(&self) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, VecDeque<(Fault, Option<u32>)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_take_turns_and_the_last_may_stay() {
        let plan = Plan::default();
        assert_eq!(plan.next(), None);
        plan.add(Fault::HangUp, Some(2));
        plan.add(Fault::Silence, Some(0));
        plan.add(Fault::status(503), None);
        let next: Vec<_> = (0..4).map(|_| plan.next()).collect();
        let (hang_up, busy) = (Some(Fault::HangUp), Some(Fault::status(503)));
        assert_eq!(next, [hang_up.clone(), hang_up, busy.clone(), busy]);
        plan.clear();
        assert_eq!(plan.next(), None);
        assert_eq!((plan.requests(), plan.forwarded()), (6, 0));
    }
}
