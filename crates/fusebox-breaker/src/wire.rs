//! How a configuration is written down: durations in milliseconds, checked when it is read. Every setting is written;
//! an absent or null rule is off.

use std::time::Duration;

use crate::config::{Config, ConfigBuilder, ConfigError, CountWindow, Jitter};
use crate::machine::millis_up;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigWire {
    consecutive_failures: Option<u32>,
    count_window: Option<CountWindow>,
    wait_duration_in_open_ms: u64,
    max_wait_duration_in_open_ms: Option<u64>,
    #[serde(default)]
    jitter: Jitter,
    max_concurrent_probes: u32,
    successes_to_close: u32,
    probe_deadline_ms: u64,
    recovery_objective_ms: Option<u64>,
}

impl TryFrom<ConfigWire> for Config {
    type Error = ConfigError;

    fn try_from(wire: ConfigWire) -> Result<Self, ConfigError> {
        ConfigBuilder {
            consecutive_failures: wire.consecutive_failures,
            count_window: wire.count_window,
            wait_duration_in_open: Duration::from_millis(wire.wait_duration_in_open_ms),
            max_wait_duration_in_open: wire.max_wait_duration_in_open_ms.map(Duration::from_millis),
            jitter: wire.jitter,
            max_concurrent_probes: wire.max_concurrent_probes,
            successes_to_close: wire.successes_to_close,
            probe_deadline: Duration::from_millis(wire.probe_deadline_ms),
            recovery_objective: wire.recovery_objective_ms.map(Duration::from_millis),
        }
        .build()
    }
}

impl From<Config> for ConfigWire {
    fn from(config: Config) -> Self {
        let settings = config.settings;
        Self {
            consecutive_failures: settings.consecutive_failures,
            count_window: settings.count_window,
            wait_duration_in_open_ms: millis_up(settings.wait_duration_in_open),
            max_wait_duration_in_open_ms: settings.max_wait_duration_in_open.map(millis_up),
            jitter: settings.jitter,
            max_concurrent_probes: settings.max_concurrent_probes,
            successes_to_close: settings.successes_to_close,
            probe_deadline_ms: millis_up(settings.probe_deadline),
            recovery_objective_ms: settings.recovery_objective.map(millis_up),
        }
    }
}
