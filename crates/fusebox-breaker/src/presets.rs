//! Calibrated settings for the standard workflow's stages and for common dependencies.
//!
//! Agents' presets keep their recovery time objective reachable: an opening's latest first probe plus its probe
//! rounds, each as long as a call may take, end within it. For dependencies no objective was ever stated; theirs is
//! what their wait, their successes and their time-out add up to, with the probes coming one after the other.
//!
//! Everywhere the count window must hold more calls than the consecutive rule needs before it may open, so that
//! neither rule overrides the other, and the open wait is at most half of the objective.

use std::time::Duration;

use crate::config::{Config, ConfigError, CountWindow};

/// How much longer than one attempt a probe may hold its slot: the attempt's own time-out must end it first, and what
/// runs around the attempt (a journal entry, a queue) needs its share.
const PROBE_DEADLINE_FACTOR: u32 = 2;

/// Settings for a breaker and for the policy around it. All durations are real time; see [`scaled`](Self::scaled).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Preset {
    /// Name in files and on the command line.
    pub name: &'static str,
    /// Time from opening to closing that the settings can keep.
    pub recovery_objective: Duration,
    /// Time one attempt may take.
    pub attempt_timeout: Duration,
    /// Failures in a row that open.
    pub consecutive_failures: u32,
    /// Rule over the last calls.
    pub window: CountWindow,
    /// Open wait of a first opening.
    pub wait_duration_in_open: Duration,
    /// Cap of the doubling open wait.
    pub max_wait_duration_in_open: Duration,
    /// Probe successes that close.
    pub successes_to_close: u32,
    /// Probes in flight at once.
    pub max_concurrent_probes: u32,
    /// Attempts per call, the first included.
    pub max_attempts: u32,
    /// Wait before the first retry; later ones double.
    pub retry_base: Duration,
    /// Cap of the wait between attempts.
    pub retry_cap: Duration,
    /// Time all attempts and waits of one call may take together.
    pub retry_total: Duration,
}

impl Preset {
    /// The same settings with every duration multiplied by `factor`, for tests and demonstrations on short time.
    /// No duration falls below 1 ms; a `factor` that is not finite or not above zero is read as 1.
    pub fn scaled(mut self, factor: f64) -> Self {
        let factor = if factor.is_finite() && factor > 0.0 {
            factor
        } else {
            1.0
        };
        for duration in [
            &mut self.recovery_objective,
            &mut self.attempt_timeout,
            &mut self.wait_duration_in_open,
            &mut self.max_wait_duration_in_open,
            &mut self.retry_base,
            &mut self.retry_cap,
            &mut self.retry_total,
        ] {
            let scaled = duration.as_secs_f64() * factor;
            *duration = Duration::try_from_secs_f64(scaled)
                .unwrap_or(Duration::MAX)
                .max(Duration::from_millis(1));
        }
        self
    }

    /// The breaker's part of the preset. A probe's deadline is twice the attempt time-out.
    ///
    /// # Errors
    /// [`ConfigError`] only if fields were changed, or scaled to where rounding makes them contradict each other.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::builder()
            .consecutive_failures(self.consecutive_failures)
            .count_window(self.window)
            .wait_duration_in_open(self.wait_duration_in_open)
            .max_wait_duration_in_open(self.max_wait_duration_in_open)
            .max_concurrent_probes(self.max_concurrent_probes)
            .successes_to_close(self.successes_to_close)
            .probe_deadline(self.attempt_timeout.saturating_mul(PROBE_DEADLINE_FACTOR))
            .recovery_objective(self.recovery_objective)
            .build()
    }

    /// Rounds of probes until it closes if all slots are used: `successes_to_close / max_concurrent_probes`, up.
    pub fn probe_rounds(&self) -> u32 {
        self.successes_to_close
            .div_ceil(self.max_concurrent_probes.max(1))
    }

    /// Latest close after an opening whose probes all succeed: the whole open wait, then every round as long as an
    /// attempt may take.
    pub fn latest_recovery(&self) -> Duration {
        self.attempt_timeout
            .saturating_mul(self.probe_rounds())
            .saturating_add(self.wait_duration_in_open)
    }
}

/// The preset called `name`.
pub fn by_name(name: &str) -> Option<Preset> {
    ALL.iter().find(|preset| preset.name == name).copied()
}

/// Every preset: the stages of the standard workflow in their order, then the dependencies.
pub const ALL: &[Preset] = &[
    TRIAGE,
    SUPERVISOR,
    DATA,
    OPTIMIZATION,
    AGGREGATION,
    COMPLETION,
    DATABASE,
    AUTH,
    LLM,
    LLM_FAST,
    LLM_HEAVY,
    AGENT,
    REDIS,
    COLUMN_STORE,
    EXTERNAL_API,
    CACHE,
    FILE_SYSTEM,
    NETWORK,
];

/// First stage. The original waited 5 s against an objective of 5 s and allowed 8 s for a call: now 1 s (at most
/// 2.5 s) and 4 s. Two probes at once make its 2 successes one round. The window needs all of its 6 calls, where 3
/// overrode the consecutive rule.
pub const TRIAGE: Preset = Preset {
    name: "triage",
    recovery_objective: Duration::from_secs(5),
    attempt_timeout: Duration::from_secs(4),
    consecutive_failures: 3,
    window: CountWindow {
        size: 6,
        minimum_number_of_calls: 6,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(1),
    max_wait_duration_in_open: Duration::from_millis(2500),
    successes_to_close: 2,
    max_concurrent_probes: 2,
    max_attempts: 3,
    retry_base: Duration::from_millis(200),
    retry_cap: Duration::from_secs(1),
    retry_total: Duration::from_secs(15),
};

/// Plans the work. Waited 10 s against an objective of 10 s with 15 s per call: now 2.5 s (at most 5 s) and 7 s.
/// Its 3 successes are one round of 3 probes; the window needs all of its 8 calls.
pub const SUPERVISOR: Preset = Preset {
    name: "supervisor",
    recovery_objective: Duration::from_secs(10),
    attempt_timeout: Duration::from_secs(7),
    consecutive_failures: 4,
    window: CountWindow {
        size: 8,
        minimum_number_of_calls: 8,
        failure_rate_threshold: 0.4,
    },
    wait_duration_in_open: Duration::from_millis(2500),
    max_wait_duration_in_open: Duration::from_secs(5),
    successes_to_close: 3,
    max_concurrent_probes: 3,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(2),
    retry_total: Duration::from_secs(25),
};

/// Data processing. Waited 20 s against an objective of 20 s with 30 s per call: now 5 s (at most 10 s) and 15 s.
/// Its 3 successes are one round of 3 probes; the window needs all of its 10 calls.
pub const DATA: Preset = Preset {
    name: "data",
    recovery_objective: Duration::from_secs(20),
    attempt_timeout: Duration::from_secs(15),
    consecutive_failures: 5,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.6,
    },
    wait_duration_in_open: Duration::from_secs(5),
    max_wait_duration_in_open: Duration::from_secs(10),
    successes_to_close: 3,
    max_concurrent_probes: 3,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(4),
    retry_total: Duration::from_secs(55),
};

/// Optimization. Waited 30 s against an objective of 30 s with 60 s per call: now 6 s (at most 15 s) and 12 s.
/// Wanted 4 successes from 3 probes in all; its 3 probes are now a limit of concurrency, so 4 successes take two
/// rounds, which fit. The window needs all of its 12 calls.
pub const OPTIMIZATION: Preset = Preset {
    name: "optimization",
    recovery_objective: Duration::from_secs(30),
    attempt_timeout: Duration::from_secs(12),
    consecutive_failures: 6,
    window: CountWindow {
        size: 12,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(6),
    max_wait_duration_in_open: Duration::from_secs(15),
    successes_to_close: 4,
    max_concurrent_probes: 3,
    max_attempts: 3,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(6),
    retry_total: Duration::from_secs(45),
};

/// Aggregation. Waited 15 s against an objective of 15 s with 25 s per call: now 3 s (at most 7.5 s) and 12 s. Its
/// 3 successes are one round of 3 probes; the window needs all of its 8 calls.
pub const AGGREGATION: Preset = Preset {
    name: "aggregation",
    recovery_objective: Duration::from_secs(15),
    attempt_timeout: Duration::from_secs(12),
    consecutive_failures: 4,
    window: CountWindow {
        size: 8,
        minimum_number_of_calls: 8,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(3),
    max_wait_duration_in_open: Duration::from_millis(7500),
    successes_to_close: 3,
    max_concurrent_probes: 3,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(3),
    retry_total: Duration::from_secs(45),
};

/// Last stage. Waited 5 s against an objective of 5 s with 10 s per call: now 1 s (at most 2.5 s) and 4 s. A ratio
/// of 0.3 over at least 3 calls opened it at one failure in three: now 0.5 over at least 6 of the last 10, and 3
/// failures in a row instead of 2, so one in three never opens it by the window.
pub const COMPLETION: Preset = Preset {
    name: "completion",
    recovery_objective: Duration::from_secs(5),
    attempt_timeout: Duration::from_secs(4),
    consecutive_failures: 3,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 6,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(1),
    max_wait_duration_in_open: Duration::from_millis(2500),
    successes_to_close: 2,
    max_concurrent_probes: 2,
    max_attempts: 3,
    retry_base: Duration::from_millis(200),
    retry_cap: Duration::from_secs(1),
    retry_total: Duration::from_secs(15),
};

/// Relational database. Thresholds, wait and time-out as they were; the window needs all of its 8 calls. Objective:
/// 30 s of wait are half of it, and two probes of 10 s fit.
pub const DATABASE: Preset = Preset {
    name: "database",
    recovery_objective: Duration::from_secs(60),
    attempt_timeout: Duration::from_secs(10),
    consecutive_failures: 3,
    window: CountWindow {
        size: 8,
        minimum_number_of_calls: 8,
        failure_rate_threshold: 0.6,
    },
    wait_duration_in_open: Duration::from_secs(30),
    max_wait_duration_in_open: Duration::from_secs(60),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 5,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(30),
    retry_total: Duration::from_secs(60),
};

/// Authentication. Thresholds, wait and time-out as they were; the wait does not grow, since nobody should be
/// locked out for longer. Not retried: a repeated attempt can lock an account. A rejected log-in must be judged
/// neutral by the classifier.
pub const AUTH: Preset = Preset {
    name: "auth",
    recovery_objective: Duration::from_secs(600),
    attempt_timeout: Duration::from_secs(15),
    consecutive_failures: 2,
    window: CountWindow {
        size: 12,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(300),
    max_wait_duration_in_open: Duration::from_secs(300),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 1,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(5),
    retry_total: Duration::from_secs(15),
};

/// Language model. A window of 6 calls opened before 10 failures in a row could: now 20 calls, at least 12. Wait
/// and time-out as they were; their objective is 130 s, as two serial answers may take 60 s each.
pub const LLM: Preset = Preset {
    name: "llm",
    recovery_objective: Duration::from_secs(130),
    attempt_timeout: Duration::from_secs(60),
    consecutive_failures: 10,
    window: CountWindow {
        size: 20,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.4,
    },
    wait_duration_in_open: Duration::from_secs(10),
    max_wait_duration_in_open: Duration::from_secs(60),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 4,
    retry_base: Duration::from_secs(2),
    retry_cap: Duration::from_secs(120),
    retry_total: Duration::from_secs(300),
};

/// Fast tier of a language model: as `llm`, with the tier's 5 s of wait and 5 s per call, and retries to match.
pub const LLM_FAST: Preset = Preset {
    name: "llm_fast",
    recovery_objective: Duration::from_secs(15),
    attempt_timeout: Duration::from_secs(5),
    consecutive_failures: 10,
    window: CountWindow {
        size: 20,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.4,
    },
    wait_duration_in_open: Duration::from_secs(5),
    max_wait_duration_in_open: Duration::from_secs(30),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(5),
    retry_total: Duration::from_secs(20),
};

/// Heavy tier of a language model: as `llm`, with the tier's 10 s of wait and 17 s per call, and retries to match.
pub const LLM_HEAVY: Preset = Preset {
    name: "llm_heavy",
    recovery_objective: Duration::from_secs(45),
    attempt_timeout: Duration::from_secs(17),
    consecutive_failures: 10,
    window: CountWindow {
        size: 20,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.4,
    },
    wait_duration_in_open: Duration::from_secs(10),
    max_wait_duration_in_open: Duration::from_secs(60),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(10),
    retry_total: Duration::from_secs(60),
};

/// Any agent. Thresholds, wait and time-out as they were; the window needs all of its 10 calls. Three attempts of
/// 300 s do not fit into 120 s: the total is now 920 s. The objective leaves three serial probes of 300 s.
pub const AGENT: Preset = Preset {
    name: "agent",
    recovery_objective: Duration::from_secs(960),
    attempt_timeout: Duration::from_secs(300),
    consecutive_failures: 4,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(60),
    max_wait_duration_in_open: Duration::from_secs(240),
    successes_to_close: 3,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(60),
    retry_total: Duration::from_secs(920),
};

/// Redis. Thresholds, wait and time-out as they were; the window needs all of its 15 calls. The wait is half of the
/// objective. Retries, which it lacked, are few and quick.
pub const REDIS: Preset = Preset {
    name: "redis",
    recovery_objective: Duration::from_secs(40),
    attempt_timeout: Duration::from_secs(5),
    consecutive_failures: 5,
    window: CountWindow {
        size: 15,
        minimum_number_of_calls: 15,
        failure_rate_threshold: 0.6,
    },
    wait_duration_in_open: Duration::from_secs(20),
    max_wait_duration_in_open: Duration::from_secs(40),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_millis(100),
    retry_cap: Duration::from_secs(1),
    retry_total: Duration::from_secs(16),
};

/// Column store. Thresholds, wait and time-out as they were; the window needs all of its 10 calls. The objective
/// leaves three serial probes of 20 s. Retries, which it lacked, fit three attempts.
pub const COLUMN_STORE: Preset = Preset {
    name: "column_store",
    recovery_objective: Duration::from_secs(105),
    attempt_timeout: Duration::from_secs(20),
    consecutive_failures: 4,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(45),
    max_wait_duration_in_open: Duration::from_secs(90),
    successes_to_close: 3,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(10),
    retry_total: Duration::from_secs(65),
};

/// Somebody else's API. Thresholds, wait and time-out as they were; the window needs all of its 10 calls. Three
/// attempts of 30 s do not fit into 30 s: the total is now 95 s.
pub const EXTERNAL_API: Preset = Preset {
    name: "external_api",
    recovery_objective: Duration::from_secs(120),
    attempt_timeout: Duration::from_secs(30),
    consecutive_failures: 5,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(60),
    max_wait_duration_in_open: Duration::from_secs(120),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_secs(1),
    retry_cap: Duration::from_secs(30),
    retry_total: Duration::from_secs(95),
};

/// Cache. A window of 10 calls opened no later than 10 failures in a row could: now 20 calls, at least 12. Not
/// retried: a miss is cheaper than a wait.
pub const CACHE: Preset = Preset {
    name: "cache",
    recovery_objective: Duration::from_secs(30),
    attempt_timeout: Duration::from_secs(5),
    consecutive_failures: 10,
    window: CountWindow {
        size: 20,
        minimum_number_of_calls: 12,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(15),
    max_wait_duration_in_open: Duration::from_secs(30),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 1,
    retry_base: Duration::from_millis(100),
    retry_cap: Duration::from_secs(1),
    retry_total: Duration::from_secs(5),
};

/// File system. Thresholds, wait and time-out as they were; the window needs all of its 10 calls. The wait is half
/// of the objective. Retries, which it lacked, fit three attempts.
pub const FILE_SYSTEM: Preset = Preset {
    name: "file_system",
    recovery_objective: Duration::from_secs(60),
    attempt_timeout: Duration::from_secs(10),
    consecutive_failures: 5,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(30),
    max_wait_duration_in_open: Duration::from_secs(60),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_millis(200),
    retry_cap: Duration::from_secs(2),
    retry_total: Duration::from_secs(32),
};

/// Network path. Thresholds, wait and time-out as they were; the window needs all of its 10 calls. The objective
/// leaves two serial probes of 30 s. Retries, which it lacked, fit three attempts.
pub const NETWORK: Preset = Preset {
    name: "network",
    recovery_objective: Duration::from_secs(105),
    attempt_timeout: Duration::from_secs(30),
    consecutive_failures: 3,
    window: CountWindow {
        size: 10,
        minimum_number_of_calls: 10,
        failure_rate_threshold: 0.5,
    },
    wait_duration_in_open: Duration::from_secs(45),
    max_wait_duration_in_open: Duration::from_secs(90),
    successes_to_close: 2,
    max_concurrent_probes: 1,
    max_attempts: 3,
    retry_base: Duration::from_millis(500),
    retry_cap: Duration::from_secs(10),
    retry_total: Duration::from_secs(95),
};
