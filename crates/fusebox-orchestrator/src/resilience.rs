//! What stands around one agent: breaker, retries, time-outs, bulkhead.

use std::time::Duration;

use fusebox_breaker::{Config, ConfigError, presets::Preset};
use fusebox_policy::Limits;

/// The protection of one agent. [`Resilience::default`] suits an agent nothing is known about.
///
/// ```
/// use std::time::Duration;
/// use fusebox_breaker::presets;
/// use fusebox_orchestrator::Resilience;
///
/// let calibrated = Resilience::preset(presets::DATA)?;
/// assert!(calibrated.attempt_timeout.is_some());
/// # Ok::<(), fusebox_breaker::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Resilience {
    /// The breaker's rules; its recovery objective is the agent's RTO.
    pub breaker: Config,
    /// Attempts per call, the first included. Defaults to 3.
    pub max_attempts: u32,
    /// The wait before the first retry; doubled for each further one. Defaults to 200 ms.
    pub retry_base: Duration,
    /// The longest wait between attempts. Defaults to 5 s.
    pub retry_cap: Duration,
    /// How long one attempt may take. `None`: as long as the run's objective. Defaults to 30 s.
    pub attempt_timeout: Option<Duration>,
    /// Calls in flight at once, over all runs of the engine. `None`: no limit. Defaults to 16.
    pub max_concurrent_calls: Option<usize>,
    /// How long a call may queue for a free slot before it counts as not available. Defaults to 30 s.
    pub max_wait: Duration,
    /// The pool whose slots its calls take, by the name of a bulkhead given to
    /// [`EngineBuilder::pool`](crate::EngineBuilder::pool). It takes the place of `max_concurrent_calls` and
    /// `max_wait`. Defaults to none.
    pub pool: Option<String>,
    /// How long an attempt may show no sign of life before it counts as timed out; see
    /// [`Guard::with_max_silence`](fusebox_agent::Guard::with_max_silence). Defaults to none.
    pub max_silence: Option<Duration>,
    /// Retries a call earns for the agent's budget, over all runs: `0.5` is one for two calls. With
    /// `retry_reserve` of them saved up at most, retries never are more than `retry_reserve + retry_ratio * calls`.
    /// A call that finds the budget empty ends with its last error; its step waits. Defaults to 0.5.
    pub retry_ratio: f64,
    /// Retries saved up for an agent at most, and at first. Defaults to 20.
    pub retry_reserve: u32,
    /// Tokens and money that its calls may cost, over all runs of the engine and for as long as it
    /// lives. Each attempt's estimate is reserved, and settled to what it cost. A call that finds not
    /// enough left waits like one whose breaker is open, and fails where neither time nor calls in flight
    /// will bring it. For a budget that outlives the process see [`RunOptions::budget`](crate::RunOptions::budget)
    /// and [`EngineBuilder::tenant_budget`](crate::EngineBuilder::tenant_budget). Defaults to no limit.
    pub budget: Option<Limits>,
}

impl Default for Resilience {
    fn default() -> Self {
        Self {
            breaker: Config::builder()
                .build()
                .expect("the default configuration is valid"),
            max_attempts: 3,
            retry_base: Duration::from_millis(200),
            retry_cap: Duration::from_secs(5),
            attempt_timeout: Some(Duration::from_secs(30)),
            max_concurrent_calls: Some(16),
            max_wait: Duration::from_secs(30),
            pool: None,
            max_silence: None,
            retry_ratio: 0.5,
            retry_reserve: 20,
            budget: None,
        }
    }
}

impl Resilience {
    /// The protection a calibrated preset gives.
    ///
    /// # Errors
    /// A preset that was changed into a contradiction names the two fields.
    pub fn preset(preset: Preset) -> Result<Self, ConfigError> {
        Ok(Self {
            breaker: preset.config()?,
            max_attempts: preset.max_attempts,
            retry_base: preset.retry_base,
            retry_cap: preset.retry_cap,
            attempt_timeout: Some(preset.attempt_timeout),
            ..Self::default()
        })
    }

    /// Replaces the breaker's rules.
    #[must_use]
    pub fn with_breaker(mut self, breaker: Config) -> Self {
        self.breaker = breaker;
        self
    }

    /// Replaces the number of attempts per call; 0 is read as 1.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Lets calls take the slots of a pool that several agents share.
    #[must_use]
    pub fn with_pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Gives an attempt up that shows no sign of life for so long.
    #[must_use]
    pub fn with_max_silence(mut self, limit: Duration) -> Self {
        self.max_silence = Some(limit);
        self
    }

    /// Replaces the budget of the agent's retries.
    #[must_use]
    pub fn with_retry_budget(mut self, ratio: f64, reserve: u32) -> Self {
        (self.retry_ratio, self.retry_reserve) = (ratio, reserve);
        self
    }

    /// Limits what its calls may cost.
    #[must_use]
    pub fn with_budget(mut self, limits: Limits) -> Self {
        self.budget = Some(limits);
        self
    }

    /// Replaces the limit of one attempt.
    #[must_use]
    pub fn with_attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = Some(limit);
        self
    }
}
