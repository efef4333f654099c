//! How a configuration is written down: durations in milliseconds, checked when it is read. Every setting is written;
//! an absent or null rule is off.

use std::time::Duration;

use crate::config::{Config, ConfigBuilder, ConfigError, CountWindow, Jitter};
use crate::outcome::FailureKind;
use crate::rules::{ChangeDetector, Combine, Ramp, SlowCalls, TimeWindow, Weights};
use crate::transition::millis_up;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigWire {
    consecutive_failures: Option<u32>,
    count_window: Option<CountWindow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_window: Option<TimeWindowWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slow_calls: Option<SlowCallsWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change_detector: Option<ChangeDetector>,
    #[serde(default)]
    combine: Combine,
    #[serde(default, skip_serializing_if = "WeightsWire::is_equal")]
    failure_weights: WeightsWire,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ramp: Option<RampWire>,
    wait_duration_in_open_ms: u64,
    max_wait_duration_in_open_ms: Option<u64>,
    #[serde(default)]
    jitter: Jitter,
    max_concurrent_probes: u32,
    successes_to_close: u32,
    probe_deadline_ms: u64,
    recovery_objective_ms: Option<u64>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeWindowWire {
    size_ms: u64,
    buckets: u32,
    minimum_number_of_calls: u32,
    failure_rate_threshold: f64,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowCallsWire {
    slow_call_duration_threshold_ms: u64,
    slow_call_rate_threshold: f64,
    minimum_number_of_calls: u32,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RampWire {
    steps: Vec<f64>,
    step_duration_ms: u64,
    failure_rate_threshold: f64,
}

#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WeightsWire {
    error: f64,
    timed_out: f64,
    overloaded: f64,
    quality: f64,
}

impl Default for WeightsWire {
    fn default() -> Self {
        Self {
            error: 1.0,
            timed_out: 1.0,
            overloaded: 1.0,
            quality: 1.0,
        }
    }
}

impl WeightsWire {
    fn is_equal(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<ConfigWire> for Config {
    type Error = ConfigError;

    fn try_from(wire: ConfigWire) -> Result<Self, ConfigError> {
        ConfigBuilder {
            consecutive_failures: wire.consecutive_failures,
            count_window: wire.count_window,
            time_window: wire.time_window.map(|window| TimeWindow {
                size: Duration::from_millis(window.size_ms),
                buckets: window.buckets,
                minimum_number_of_calls: window.minimum_number_of_calls,
                failure_rate_threshold: window.failure_rate_threshold,
            }),
            slow_calls: wire.slow_calls.map(|slow| SlowCalls {
                slow_call_duration_threshold: Duration::from_millis(
                    slow.slow_call_duration_threshold_ms,
                ),
                slow_call_rate_threshold: slow.slow_call_rate_threshold,
                minimum_number_of_calls: slow.minimum_number_of_calls,
            }),
            change_detector: wire.change_detector,
            combine: wire.combine,
            weights: Weights::EQUAL,
            ramp: wire.ramp.map(|ramp| Ramp {
                steps: ramp.steps,
                step_duration: Duration::from_millis(ramp.step_duration_ms),
                failure_rate_threshold: ramp.failure_rate_threshold,
            }),
            wait_duration_in_open: Duration::from_millis(wire.wait_duration_in_open_ms),
            max_wait_duration_in_open: wire.max_wait_duration_in_open_ms.map(Duration::from_millis),
            jitter: wire.jitter,
            max_concurrent_probes: wire.max_concurrent_probes,
            successes_to_close: wire.successes_to_close,
            probe_deadline: Duration::from_millis(wire.probe_deadline_ms),
            recovery_objective: wire.recovery_objective_ms.map(Duration::from_millis),
        }
        .failure_weight(FailureKind::Error, wire.failure_weights.error)
        .failure_weight(FailureKind::TimedOut, wire.failure_weights.timed_out)
        .failure_weight(FailureKind::Overloaded, wire.failure_weights.overloaded)
        .failure_weight(FailureKind::Quality, wire.failure_weights.quality)
        .build()
    }
}

impl From<Config> for ConfigWire {
    fn from(config: Config) -> Self {
        let failure_weights = WeightsWire {
            error: config.failure_weight(FailureKind::Error),
            timed_out: config.failure_weight(FailureKind::TimedOut),
            overloaded: config.failure_weight(FailureKind::Overloaded),
            quality: config.failure_weight(FailureKind::Quality),
        };
        let settings = config.settings;
        Self {
            consecutive_failures: settings.consecutive_failures,
            count_window: settings.count_window,
            time_window: settings.time_window.map(|window| TimeWindowWire {
                size_ms: millis_up(window.size),
                buckets: window.buckets,
                minimum_number_of_calls: window.minimum_number_of_calls,
                failure_rate_threshold: window.failure_rate_threshold,
            }),
            slow_calls: settings.slow_calls.map(|slow| SlowCallsWire {
                slow_call_duration_threshold_ms: millis_up(slow.slow_call_duration_threshold),
                slow_call_rate_threshold: slow.slow_call_rate_threshold,
                minimum_number_of_calls: slow.minimum_number_of_calls,
            }),
            change_detector: settings.change_detector,
            combine: settings.combine,
            failure_weights,
            ramp: settings.ramp.map(|ramp| RampWire {
                steps: ramp.steps,
                step_duration_ms: millis_up(ramp.step_duration),
                failure_rate_threshold: ramp.failure_rate_threshold,
            }),
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
