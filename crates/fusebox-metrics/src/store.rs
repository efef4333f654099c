//! The state store as metrics.

use fusebox_state::{StoreMode, StoreStatus};
use metrics::gauge;

use crate::table::{COMMITS_AT_RISK, FORKS, PENDING, PENDING_AGE, STORE_MODE};

const MODES: [StoreMode; 4] = [
    StoreMode::Healthy,
    StoreMode::Suspect,
    StoreMode::Degraded,
    StoreMode::Reconciling,
];

/// Reports how sure a store is to the installed recorder.
#[derive(Debug, Default, Clone, Copy)]
#[non_exhaustive]
pub struct StoreMetrics;

impl StoreMetrics {
    /// Sets every gauge of a store from what it says of itself, see
    /// [`StateStore::status`](fusebox_state::StateStore::status).
    pub fn status(&self, status: &StoreStatus) {
        for mode in MODES {
            let value = f64::from(u8::from(mode == status.mode));
            gauge!(STORE_MODE, "mode" => mode.to_string()).set(value);
        }
        let age = status.oldest_pending.unwrap_or_default();
        gauge!(PENDING).set(status.pending_commits as f64);
        gauge!(PENDING_AGE).set(age.as_secs_f64());
        gauge!(COMMITS_AT_RISK).set(status.at_risk as f64);
        gauge!(FORKS).set(status.forks as f64);
    }
}
