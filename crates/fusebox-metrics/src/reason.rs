//! The kinds of reasons: few words, where the reason itself has figures and names.

use fusebox_breaker::Reason;

/// The kind of a reason, as a label.
pub(crate) fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::ConsecutiveFailures { .. } => "consecutive_failures",
        Reason::FailureRate { .. } => "failure_rate",
        Reason::FailureRateOverTime { .. } => "failure_rate_over_time",
        Reason::SlowCallRate { .. } => "slow_call_rate",
        Reason::ChangeDetected { .. } => "change_detected",
        Reason::All { .. } => "all",
        Reason::RampFailed { .. } => "ramp_failed",
        Reason::RampCompleted { .. } => "ramp_completed",
        Reason::ProbeFailed => "probe_failed",
        Reason::ProbeLost { .. } => "probe_lost",
        Reason::ProbesSucceeded { .. } => "probes_succeeded",
        Reason::WaitElapsed => "wait_elapsed",
        Reason::TripUntil { .. } => "trip_until",
        Reason::Tripped { .. } => "tripped",
        Reason::Forced { .. } => "forced",
        Reason::Released { .. } => "released",
        Reason::Expired => "expired",
        Reason::Restored => "restored",
        // A kind that is younger than this list.
        _ => crate::labels::OTHER,
    }
}
