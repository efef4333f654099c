//! Settings of one breaker, checked when they are built.

use std::fmt;
use std::time::Duration;

use crate::cusum::Design;
use crate::outcome::FailureKind;
use crate::rules::{
    ChangeDetector, Combine, Facts, Ramp, Rate, Rules, SlowCalls, TimeWindow, Weights,
};
use crate::word::Chores;

/// Longest count window: 128 KiB of bits. Beyond it a window no longer follows a change of behaviour.
const MAX_WINDOW: u32 = 1 << 20;

/// Most failures in a row to wait for: a row is counted no further.
pub(crate) const MAX_ROW: u32 = 500_000;

/// Most buckets of a time window.
const MAX_BUCKETS: u32 = 1_000;

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
    design: Option<Design>,
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

    /// The time window's rule, if it is on.
    pub fn time_window(&self) -> Option<TimeWindow> {
        self.settings.time_window
    }

    /// The rule over slow calls, if it is on.
    pub fn slow_calls(&self) -> Option<SlowCalls> {
        self.settings.slow_calls
    }

    /// The change detector, if it is on.
    pub fn change_detector(&self) -> Option<ChangeDetector> {
        self.settings.change_detector
    }

    /// Whether one rule is enough to open.
    pub fn combine(&self) -> Combine {
        self.settings.combine
    }

    /// The gradual return after the probes, if there is one.
    pub fn ramp(&self) -> Option<&Ramp> {
        self.settings.ramp.as_ref()
    }

    /// What a failure of this kind weighs.
    pub fn failure_weight(&self, kind: FailureKind) -> f64 {
        f64::from(self.settings.weights.of(kind)) / f64::from(Weights::ONE)
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

    pub(crate) fn weights(&self) -> Weights {
        self.settings.weights
    }

    /// What a call has to do beside being counted.
    pub(crate) fn chores(&self) -> Chores {
        let at_start = self.slow_calls().is_some();
        Chores {
            at_start,
            at_end: at_start || self.time_window().is_some() || self.change_detector().is_some(),
        }
    }

    /// Bits per outcome in the count window, as a power of two: one bit unless weights or slow calls need four.
    pub(crate) fn log_bits(&self) -> u32 {
        let plain = self.settings.weights == Weights::EQUAL && self.settings.slow_calls.is_none();
        if plain { 0 } else { 2 }
    }

    pub(crate) fn design(&self) -> Option<Design> {
        self.design
    }

    pub(crate) fn rules(&self) -> Rules {
        let settings = &self.settings;
        Rules {
            all: settings.combine == Combine::All,
            row: settings.consecutive_failures.unwrap_or(0),
            count: settings.count_window.map(|window| Rate {
                minimum: window.minimum_number_of_calls,
                threshold: window.failure_rate_threshold,
            }),
            time: settings.time_window.map(|window| Rate {
                minimum: window.minimum_number_of_calls,
                threshold: window.failure_rate_threshold,
            }),
            slow: settings.slow_calls.map(|slow| Rate {
                minimum: slow.minimum_number_of_calls,
                threshold: slow.slow_call_rate_threshold,
            }),
            sum: self.design.map_or(0, |design| u64::from(design.limit)),
            one: if self.log_bits() == 0 {
                1
            } else {
                u32::from(Weights::ONE)
            },
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts {
            window: self
                .settings
                .time_window
                .map_or(Duration::ZERO, |window| window.size),
            slow_limit: self
                .settings
                .slow_calls
                .map_or(Duration::ZERO, |slow| slow.slow_call_duration_threshold),
            baseline: self
                .settings
                .change_detector
                .map_or(0.0, |detector| detector.baseline_failure_rate),
            changed: self
                .settings
                .change_detector
                .map_or(0.0, |detector| detector.changed_failure_rate),
        }
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
    pub(crate) time_window: Option<TimeWindow>,
    pub(crate) slow_calls: Option<SlowCalls>,
    pub(crate) change_detector: Option<ChangeDetector>,
    pub(crate) combine: Combine,
    pub(crate) weights: Weights,
    pub(crate) ramp: Option<Ramp>,
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
            time_window: None,
            slow_calls: None,
            change_detector: None,
            combine: Combine::Any,
            weights: Weights::EQUAL,
            ramp: None,
            wait_duration_in_open: Duration::from_secs(30),
            max_wait_duration_in_open: None,
            jitter: Jitter::Equal,
            max_concurrent_probes: 1,
            successes_to_close: 2,
            probe_deadline: Duration::from_secs(60),
            recovery_objective: None,
        }
    }

    /// Opens at this many failures in a row, `1..=500_000`. A success starts the row anew; ignored and cancelled calls
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

    /// Opens by the ratio of failures over the last stretch of time. Default off: it needs a clock read per call.
    pub fn time_window(mut self, window: TimeWindow) -> Self {
        self.time_window = Some(window);
        self
    }

    /// Opens by the ratio of slow calls, those still in flight included. Default off: it needs two clock reads per
    /// call and a limit that only the user can know.
    pub fn slow_calls(mut self, slow: SlowCalls) -> Self {
        self.slow_calls = Some(slow);
        self
    }

    /// Opens when a change of the failure rate is found. Default off: its two rates have to be known.
    pub fn change_detector(mut self, detector: ChangeDetector) -> Self {
        self.change_detector = Some(detector);
        self
    }

    /// Whether one rule is enough to open. Default [`Combine::Any`].
    pub fn combine(mut self, combine: Combine) -> Self {
        self.combine = combine;
        self
    }

    /// What a failure of this kind weighs in the windows and in the change detector, in `(0, 1]`, rounded up to a
    /// quarter. A row of failures counts each as one. Default 1 for every kind.
    pub fn failure_weight(mut self, kind: FailureKind, weight: f64) -> Self {
        // What is no weight becomes 0, which `build` refuses.
        let quarters = (weight * f64::from(Weights::ONE)).ceil();
        let valid = weight > 0.0 && weight <= 1.0;
        self.weights
            .set(kind, if valid { quarters as u8 } else { 0 });
        self
    }

    /// Returns gradually after the probes have succeeded. Default none: closed at once.
    pub fn ramp(mut self, ramp: Ramp) -> Self {
        self.ramp = Some(ramp);
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
        check_rules(&self)?;
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
        if let (Some(ramp), Some(objective)) = (&self.ramp, self.recovery_objective) {
            let ramped = wait.saturating_add(
                ramp.step_duration
                    .saturating_mul(u32::try_from(ramp.steps.len()).unwrap_or(u32::MAX)),
            );
            if ramped >= objective {
                return Err(ConfigError::new(
                    &["ramp", "recovery_objective"],
                    format!(
                        "`ramp` closes no earlier than {ramped:?} after an opening, which is not before `recovery_objective` of {objective:?}; take fewer or shorter steps"
                    ),
                ));
            }
        }
        let design = self
            .change_detector
            .map(|detector| Design::for_detector(&detector, detector.baseline_failure_rate));
        Ok(Config {
            settings: self,
            max_wait,
            design,
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

fn check_rules(settings: &ConfigBuilder) -> Result<(), ConfigError> {
    if let Some(row) = settings.consecutive_failures
        && row > MAX_ROW
    {
        return Err(ConfigError::new(
            &["consecutive_failures"],
            format!(
                "`consecutive_failures` is {row}; it must be at most {MAX_ROW}, or turned off where it shall never open"
            ),
        ));
    }
    if let Some(window) = &settings.time_window {
        check_time_window(window)?;
    }
    if let Some(slow) = &settings.slow_calls {
        check_slow_calls(slow, settings)?;
    }
    if let Some(detector) = &settings.change_detector {
        check_detector(detector)?;
    }
    if let Some(ramp) = &settings.ramp {
        check_ramp(ramp)?;
    }
    let Weights {
        error,
        timed_out,
        overloaded,
        quality,
    } = settings.weights;
    if [error, timed_out, overloaded, quality].contains(&0) {
        return Err(ConfigError::new(
            &["failure_weight"],
            "`failure_weight` is not in (0, 1]; it must be a part of a failure above 0 and at most 1"
                .into(),
        ));
    }
    let none = settings.consecutive_failures.is_none()
        && settings.count_window.is_none()
        && settings.time_window.is_none()
        && settings.change_detector.is_none();
    if none {
        return Err(ConfigError::new(
            &["consecutive_failures", "count_window"],
            "`consecutive_failures` and `count_window` are both off, and so is every other rule, so nothing can trip; turn one on"
                .into(),
        ));
    }
    Ok(())
}

fn check_time_window(window: &TimeWindow) -> Result<(), ConfigError> {
    let TimeWindow { size, buckets, .. } = *window;
    if buckets == 0 || buckets > MAX_BUCKETS {
        return Err(ConfigError::new(
            &["buckets"],
            format!("`buckets` is {buckets}; it must be in 1..={MAX_BUCKETS}"),
        ));
    }
    if size < Duration::from_millis(u64::from(buckets)) {
        return Err(ConfigError::new(
            &["size", "buckets"],
            format!(
                "`size` is {size:?}, less than 1 ms for each of its {buckets} `buckets`; raise the first or lower the second"
            ),
        ));
    }
    at_least_one(
        "minimum_number_of_calls",
        Some(window.minimum_number_of_calls),
    )?;
    ratio("failure_rate_threshold", window.failure_rate_threshold)
}

fn check_slow_calls(slow: &SlowCalls, settings: &ConfigBuilder) -> Result<(), ConfigError> {
    let limit = slow.slow_call_duration_threshold;
    if limit < Duration::from_micros(1) {
        return Err(ConfigError::new(
            &["slow_call_duration_threshold"],
            format!("`slow_call_duration_threshold` is {limit:?}; it must be at least 1µs"),
        ));
    }
    at_least_one(
        "minimum_number_of_calls",
        Some(slow.minimum_number_of_calls),
    )?;
    ratio("slow_call_rate_threshold", slow.slow_call_rate_threshold)?;
    match (&settings.time_window, &settings.count_window) {
        (None, None) => Err(ConfigError::new(
            &["slow_calls", "count_window"],
            "`slow_calls` is on while `count_window` and `time_window` are off, so there are no calls to compare with; turn one on".into(),
        )),
        (None, Some(window)) if slow.minimum_number_of_calls > window.size => Err(ConfigError::new(
            &["minimum_number_of_calls", "size"],
            format!(
                "`minimum_number_of_calls` of the slow calls is {}, above the count window's `size` of {}; lower the first or raise the second",
                slow.minimum_number_of_calls, window.size
            ),
        )),
        _ => Ok(()),
    }
}

fn check_detector(detector: &ChangeDetector) -> Result<(), ConfigError> {
    let baseline = |field: &'static str, rate: f64| {
        if (0.001..=0.5).contains(&rate) {
            return Ok(());
        }
        Err(ConfigError::new(
            &[field],
            format!("`{field}` is {rate}; it must be a ratio in 0.001..=0.5"),
        ))
    };
    baseline("baseline_failure_rate", detector.baseline_failure_rate)?;
    let changed = detector.changed_failure_rate;
    if !(changed > detector.baseline_failure_rate * 1.2 && changed < 1.0) {
        return Err(ConfigError::new(
            &["changed_failure_rate", "baseline_failure_rate"],
            format!(
                "`changed_failure_rate` is {changed}; it must be below 1 and at least 1.2 times `baseline_failure_rate` of {}",
                detector.baseline_failure_rate
            ),
        ));
    }
    let apart = detector.mean_calls_between_false_trips;
    if !(100.0..=1e9).contains(&apart) {
        return Err(ConfigError::new(
            &["mean_calls_between_false_trips"],
            format!("`mean_calls_between_false_trips` is {apart}; it must be in 100..=1e9"),
        ));
    }
    if let Some(learning) = &detector.learning {
        baseline("floor", learning.floor)?;
        if learning.horizon < 100 {
            return Err(ConfigError::new(
                &["horizon"],
                format!("`horizon` is {}; it must be at least 100", learning.horizon),
            ));
        }
    }
    Ok(())
}

fn check_ramp(ramp: &Ramp) -> Result<(), ConfigError> {
    let rising = ramp.steps.windows(2).all(|pair| pair[0] < pair[1]);
    let shares = ramp.steps.iter().all(|share| *share > 0.0 && *share < 1.0);
    if ramp.steps.is_empty() || ramp.steps.len() > 16 || !rising || !shares {
        return Err(ConfigError::new(
            &["steps"],
            format!(
                "`steps` is {:?}; it must hold 1 to 16 rising shares above 0 and below 1",
                ramp.steps
            ),
        ));
    }
    above_zero("step_duration", ramp.step_duration)?;
    ratio("failure_rate_threshold", ramp.failure_rate_threshold)
}

fn ratio(field: &'static str, value: f64) -> Result<(), ConfigError> {
    // Written so that NaN fails too.
    if !(value > 0.0 && value <= 1.0) {
        return Err(ConfigError::new(
            &[field],
            format!("`{field}` is {value}; it must be a ratio above 0 and at most 1"),
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
    ratio("failure_rate_threshold", rate)
}
