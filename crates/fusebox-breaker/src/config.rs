//! Settings of one breaker, checked when they are built.

use std::fmt;
use std::time::Duration;

/// Longest count window: 128 KiB of bits. Beyond it a window no longer follows a change of behaviour.
const MAX_WINDOW: u32 = 1 << 20;

/// Doublings after which the open wait stops growing by itself; the cap is usually reached long before.
const MAX_DOUBLINGS: u32 = 31;

/// Default cap of the open wait, as a multiple of the first wait: three doublings.
const DEFAULT_CAP_FACTOR: u32 = 8;

/// Trip rule over the last calls: opens when at least `minimum_number_of_calls` of the last `size` judged calls are
/// known and the ratio of failures among them is at or above `failure_rate_threshold`.
///
/// Counts successes and failures since the breaker last closed; ignored and cancelled calls are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CountWindow {
    /// Calls the window holds, `1..=1_048_576`.
    pub size: u32,
    /// Calls that must be known before the rule may open, `1..=size`.
    pub minimum_number_of_calls: u32,
    /// Ratio in `(0, 1]`; exactly at it the breaker opens.
    pub failure_rate_threshold: f64,
}

/// How an open wait is spread, so that many processes do not probe in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Jitter {
    /// The wait is exact.
    None,
    /// Half of the wait is fixed and half drawn: it falls in `[wait / 2, wait]`, so the earliest and the latest
    /// first probe are both known.
    ///
    /// Source: "equal jitter" in M. Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.
    #[default]
    Equal,
}

/// Checked settings of one breaker. Build with [`Config::builder`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "crate::wire::ConfigWire", into = "crate::wire::ConfigWire")
)]
pub struct Config {
    pub(crate) settings: ConfigBuilder,
    max_wait: Duration,
}

impl Config {
    /// Settings with these defaults: 5 consecutive failures; a count window of 100 calls, at least 20 of them, ratio
    /// 0.5; open wait 30 s growing to 8 times that, equal jitter; 1 probe at a time, 2 successes to close; probe
    /// deadline 60 s; no recovery objective.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::new()
    }

    /// Failures in a row that open the breaker, if that rule is on.
    pub fn consecutive_failures(&self) -> Option<u32> {
        self.settings.consecutive_failures
    }

    /// The count window's rule, if it is on.
    pub fn count_window(&self) -> Option<CountWindow> {
        self.settings.count_window
    }

    /// Open wait of a first opening, before jitter.
    pub fn wait_duration_in_open(&self) -> Duration {
        self.settings.wait_duration_in_open
    }

    /// Cap of the growing open wait, before jitter.
    pub fn max_wait_duration_in_open(&self) -> Duration {
        self.max_wait
    }

    /// How open waits are spread.
    pub fn jitter(&self) -> Jitter {
        self.settings.jitter
    }

    /// Probes that may be in flight at once while half-open.
    pub fn max_concurrent_probes(&self) -> u32 {
        self.settings.max_concurrent_probes
    }

    /// Probe successes that close the breaker.
    pub fn successes_to_close(&self) -> u32 {
        self.settings.successes_to_close
    }

    /// Time after which a probe without outcome counts as failed.
    pub fn probe_deadline(&self) -> Duration {
        self.settings.probe_deadline
    }

    /// Recovery time objective the settings were checked against.
    pub fn recovery_objective(&self) -> Option<Duration> {
        self.settings.recovery_objective
    }

    /// Latest moment, counted from a first opening, at which its probe is due. Without a server's hint; with equal
    /// jitter and without jitter this is the whole first wait.
    pub fn latest_first_probe(&self) -> Duration {
        self.settings.wait_duration_in_open
    }

    /// Open wait of opening `n` before jitter: the first is 1 (0 is read as 1), doubled each time up to the cap.
    pub(crate) fn nominal_wait(&self, n: u32) -> Duration {
        let doublings = n.saturating_sub(1).min(MAX_DOUBLINGS);
        self.settings
            .wait_duration_in_open
            .saturating_mul(1 << doublings)
            .min(self.max_wait)
    }

    /// Open wait of opening `n` with jitter. `unit` is a uniform draw from `0.0..1.0`; `floor` a server's hint.
    ///
    /// Without a hint: `[wait/2, wait]` (equal jitter). With a hint: in `[hint, hint + wait/2]`, or the usual wait if
    /// that is longer.
    pub(crate) fn open_wait(&self, n: u32, floor: Option<Duration>, unit: f64) -> Duration {
        let nominal = self.nominal_wait(n);
        let (fixed, drawn) = match self.settings.jitter {
            Jitter::None => (nominal, Duration::ZERO),
            Jitter::Equal => {
                let half = nominal / 2;
                (nominal - half, half.mul_f64(unit.clamp(0.0, 1.0)).min(half))
            }
        };
        let hinted = floor.map_or(Duration::ZERO, |hint| hint.saturating_add(drawn));
        fixed.saturating_add(drawn).max(hinted)
    }

    /// The shortest open wait of opening `n`.
    pub(crate) fn shortest_wait(&self, n: u32) -> Duration {
        self.open_wait(n, None, 0.0)
    }
}

/// Collects settings; [`build`](Self::build) checks them.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "settings do nothing until built"]
pub struct ConfigBuilder {
    pub(crate) consecutive_failures: Option<u32>,
    pub(crate) count_window: Option<CountWindow>,
    pub(crate) wait_duration_in_open: Duration,
    pub(crate) max_wait_duration_in_open: Option<Duration>,
    pub(crate) jitter: Jitter,
    pub(crate) max_concurrent_probes: u32,
    pub(crate) successes_to_close: u32,
    pub(crate) probe_deadline: Duration,
    pub(crate) recovery_objective: Option<Duration>,
}

impl ConfigBuilder {
    pub(crate) fn new() -> Self {
        Self {
            consecutive_failures: Some(5),
            count_window: Some(CountWindow {
                size: 100,
                minimum_number_of_calls: 20,
                failure_rate_threshold: 0.5,
            }),
            wait_duration_in_open: Duration::from_secs(30),
            max_wait_duration_in_open: None,
            jitter: Jitter::Equal,
            max_concurrent_probes: 1,
            successes_to_close: 2,
            probe_deadline: Duration::from_secs(60),
            recovery_objective: None,
        }
    }

    /// Opens at this many failures in a row, at least 1. A success starts the row anew; ignored and cancelled calls
    /// do not touch it. Default 5: short enough to act within seconds, long enough to pass over one retried call.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Turns the consecutive rule off.
    pub fn without_consecutive_failures(mut self) -> Self {
        self.consecutive_failures = None;
        self
    }

    /// Opens by the ratio of failures over the last calls. Independent of the consecutive rule: either opens.
    pub fn count_window(mut self, window: CountWindow) -> Self {
        self.count_window = Some(window);
        self
    }

    /// Turns the count window's rule off.
    pub fn without_count_window(mut self) -> Self {
        self.count_window = None;
        self
    }

    /// Open wait of a first opening, above zero; later ones double. Default 30 s.
    pub fn wait_duration_in_open(mut self, wait: Duration) -> Self {
        self.wait_duration_in_open = wait;
        self
    }

    /// Cap of the doubling open wait, at least the first wait. Default: 8 times the first wait.
    pub fn max_wait_duration_in_open(mut self, wait: Duration) -> Self {
        self.max_wait_duration_in_open = Some(wait);
        self
    }

    /// How open waits are spread. Default [`Jitter::Equal`].
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Probes in flight at once while half-open, at least 1. Default 1: the gentlest trial.
    pub fn max_concurrent_probes(mut self, probes: u32) -> Self {
        self.max_concurrent_probes = probes;
        self
    }

    /// Probe successes that close the breaker, at least 1; they may come one after the other, so any number is
    /// reachable with any number of concurrent probes. Default 2: one success can be luck.
    pub fn successes_to_close(mut self, successes: u32) -> Self {
        self.successes_to_close = successes;
        self
    }

    /// Time after which a probe without outcome counts as failed, above zero. Default 60 s. Keep it above the
    /// longest time a good call may take, or slow but healthy probes never close the breaker.
    pub fn probe_deadline(mut self, deadline: Duration) -> Self {
        self.probe_deadline = deadline;
        self
    }

    /// Recovery time objective. The latest first probe of a first opening must come before it, so that a round of
    /// probes is left. Default none.
    pub fn recovery_objective(mut self, objective: Duration) -> Self {
        self.recovery_objective = Some(objective);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field, its value and the bound; or the two fields that contradict each other.
    pub fn build(self) -> Result<Config, ConfigError> {
        at_least_one("consecutive_failures", self.consecutive_failures)?;
        at_least_one("max_concurrent_probes", Some(self.max_concurrent_probes))?;
        at_least_one("successes_to_close", Some(self.successes_to_close))?;
        above_zero("wait_duration_in_open", self.wait_duration_in_open)?;
        above_zero("probe_deadline", self.probe_deadline)?;
        if let Some(window) = &self.count_window {
            check_window(window)?;
        }
        if self.consecutive_failures.is_none() && self.count_window.is_none() {
            return Err(ConfigError::new(
                &["consecutive_failures", "count_window"],
                "`consecutive_failures` and `count_window` are both off, so nothing can trip; turn one on".into(),
            ));
        }
        let wait = self.wait_duration_in_open;
        let max_wait = self
            .max_wait_duration_in_open
            .unwrap_or_else(|| wait.saturating_mul(DEFAULT_CAP_FACTOR));
        if max_wait < wait {
            return Err(ConfigError::new(
                &["max_wait_duration_in_open", "wait_duration_in_open"],
                format!(
                    "`max_wait_duration_in_open` is {max_wait:?}, below `wait_duration_in_open` of {wait:?}; raise the first or lower the second"
                ),
            ));
        }
        if let Some(objective) = self.recovery_objective
            && wait >= objective
        {
            return Err(ConfigError::new(
                &["wait_duration_in_open", "recovery_objective"],
                format!(
                    "`wait_duration_in_open` puts the latest first probe at {wait:?}, which leaves no probe before `recovery_objective` of {objective:?}; at most half of the objective is a good wait"
                ),
            ));
        }
        Ok(Config {
            settings: self,
            max_wait,
        })
    }
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    fields: Vec<&'static str>,
    message: String,
}

impl ConfigError {
    fn new(fields: &[&'static str], message: String) -> Self {
        Self {
            fields: fields.to_vec(),
            message,
        }
    }

    /// The field at fault, or the two that contradict each other, named as in [`ConfigBuilder`] (a window's own
    /// fields as in [`CountWindow`]).
    pub fn fields(&self) -> &[&'static str] {
        &self.fields
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

fn at_least_one(field: &'static str, value: Option<u32>) -> Result<(), ConfigError> {
    if value == Some(0) {
        return Err(ConfigError::new(
            &[field],
            format!("`{field}` is 0; it must be at least 1"),
        ));
    }
    Ok(())
}

fn above_zero(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(
            &[field],
            format!("`{field}` is 0s; it must be longer"),
        ));
    }
    Ok(())
}

fn check_window(window: &CountWindow) -> Result<(), ConfigError> {
    let CountWindow {
        size,
        minimum_number_of_calls: minimum,
        failure_rate_threshold: rate,
    } = *window;
    if size == 0 || size > MAX_WINDOW {
        return Err(ConfigError::new(
            &["size"],
            format!("`size` is {size}; it must be in 1..={MAX_WINDOW}"),
        ));
    }
    at_least_one("minimum_number_of_calls", Some(minimum))?;
    if minimum > size {
        return Err(ConfigError::new(
            &["minimum_number_of_calls", "size"],
            format!(
                "`minimum_number_of_calls` is {minimum}, above the window's `size` of {size}, so the window can never trip; lower the first or raise the second"
            ),
        ));
    }
    // Written so that NaN fails too.
    if !(rate > 0.0 && rate <= 1.0) {
        return Err(ConfigError::new(
            &["failure_rate_threshold"],
            format!("`failure_rate_threshold` is {rate}; it must be a ratio above 0 and at most 1"),
        ));
    }
    Ok(())
}
