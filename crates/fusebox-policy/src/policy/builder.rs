//! Collects a policy's stages.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::Breaker;
use fusebox_breaker::presets::Preset;

use super::Policy;
use super::stages::Stages;
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::fallback::NoFallback;
use crate::loops::LoopDetector;
#[cfg(feature = "rate-limit")]
use crate::rate_limit::RateLimit;
use crate::retry::Retry;

/// Collects a policy's stages.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until built"]
pub struct PolicyBuilder<F = NoFallback> {
    stages: Stages,
    fallback: F,
}

impl PolicyBuilder {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self {
            stages: Stages {
                breaker,
                retry: Retry::none(),
                attempt_timeout: None,
                total_timeout: None,
                fallback_timeout: None,
                budgets: Vec::new(),
                loops: None,
                rate_limit: None,
                bulkhead: None,
            },
            fallback: NoFallback,
        }
    }
}

impl<F> PolicyBuilder<F> {
    /// What answers in place of a call that gave no answer, a [`Fallback`](crate::Fallback). Default: nothing does.
    pub fn fallback<G>(self, fallback: G) -> PolicyBuilder<G> {
        PolicyBuilder {
            stages: self.stages,
            fallback,
        }
    }

    /// How long the fallback may take. Default: as long as one attempt, without limit if the attempts have none. The
    /// caller's deadline holds in any case.
    pub fn fallback_timeout(mut self, limit: Duration) -> Self {
        self.stages.fallback_timeout = Some(limit);
        self
    }

    /// Reserves each attempt's cost in one more budget. Default: no budgets but the call's own.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.stages.budgets.push(budget);
        self
    }

    /// Refuses calls that repeat themselves, if they say which call they are. Default: no detector but the call's own.
    pub fn loop_detector(mut self, detector: LoopDetector) -> Self {
        self.stages.loops = Some(detector);
        self
    }

    /// When to try again. Default [`Retry::none`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.stages.retry = retry;
        self
    }

    /// How long one attempt may take. Default: no limit of its own. Keep it below the breaker's probe deadline.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.stages.attempt_timeout = Some(limit);
        self
    }

    /// How long all attempts, queues and waits of one call may take together. Default: no limit.
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.stages.total_timeout = Some(limit);
        self
    }

    /// Limits calls per time. Default: no limit.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit(mut self, rate_limit: RateLimit) -> Self {
        self.stages.rate_limit = Some(rate_limit);
        self
    }

    /// Limits concurrent calls. Default: no limit.
    pub fn bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.stages.bulkhead = Some(bulkhead);
        self
    }

    /// Takes retry, attempt and total time-out from a preset; the breaker's settings are
    /// [`Preset::config`].
    pub fn preset(self, preset: &Preset) -> Self {
        let retry = Retry::new(preset.max_attempts)
            .with_base(preset.retry_base)
            .with_cap(preset.retry_cap);
        self.retry(retry)
            .attempt_timeout(preset.attempt_timeout)
            .total_timeout(preset.retry_total)
    }

    /// The policy.
    pub fn build(self) -> Policy<F> {
        Policy {
            stages: self.stages,
            fallback: Arc::new(self.fallback),
        }
    }
}
