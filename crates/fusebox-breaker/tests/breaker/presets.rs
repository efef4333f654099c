//! Presets keep what their documentation says.

use std::collections::BTreeSet;

use crate::bench::{bench, secs};
use fusebox_breaker::presets::{self, Preset};
use fusebox_breaker::{ConfigBuilder, State};

#[test]
fn every_preset_builds_and_its_latest_first_probe_and_probe_rounds_fit_its_objective() {
    for preset in presets::ALL {
        let config = preset
            .config()
            .unwrap_or_else(|error| panic!("{}: {error}", preset.name));
        let objective = preset.recovery_objective;
        assert!(
            preset.wait_duration_in_open * 2 <= objective,
            "{}",
            preset.name
        );
        assert!(preset.latest_recovery() <= objective, "{}", preset.name);
        assert_eq!(config.latest_first_probe(), preset.wait_duration_in_open);
        assert!(
            config.probe_deadline() > preset.attempt_timeout,
            "{}",
            preset.name
        );
    }
}

#[test]
fn in_every_preset_failures_in_a_row_are_reported_by_their_own_rule() {
    for preset in presets::ALL {
        let minimum = preset.window.minimum_number_of_calls;
        assert!(minimum > preset.consecutive_failures, "{}", preset.name);
    }
}

#[test]
fn every_presets_attempts_and_waits_fit_into_its_total() {
    for preset in presets::ALL {
        let mut needed = preset.attempt_timeout;
        let mut wait = preset.retry_base;
        for _ in 1..preset.max_attempts {
            needed += wait.min(preset.retry_cap) + preset.attempt_timeout;
            wait *= 2;
        }
        assert!(needed <= preset.retry_total, "{}: {needed:?}", preset.name);
    }
}

#[test]
fn names_are_unique_and_found() {
    let names: BTreeSet<_> = presets::ALL.iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), presets::ALL.len());
    for preset in presets::ALL {
        assert_eq!(presets::by_name(preset.name), Some(*preset));
    }
    assert_eq!(presets::by_name("unheard_of"), None);
}

fn builder_of(preset: &Preset) -> ConfigBuilder {
    fusebox_breaker::Config::builder()
        .consecutive_failures(preset.consecutive_failures)
        .count_window(preset.window)
}

#[test]
fn one_failure_in_three_does_not_open_completion() {
    for phase in 0..3 {
        let bench = bench(builder_of(&presets::COMPLETION));
        for call in 0..300 {
            if call % 3 == phase {
                bench.fail()
            } else {
                bench.succeed()
            }
            assert_eq!(bench.breaker.state(), State::Closed, "call {call}");
        }
    }
}

#[test]
fn scaling_multiplies_every_duration_and_keeps_the_preset_valid() {
    for preset in presets::ALL {
        let small = preset.scaled(0.01);
        assert!(small.config().is_ok(), "{}", preset.name);
        assert!(
            small.latest_recovery() <= small.recovery_objective,
            "{}",
            preset.name
        );
    }
    assert_eq!(presets::TRIAGE.scaled(2.0).recovery_objective, secs(10));
    assert_eq!(presets::TRIAGE.scaled(0.0), presets::TRIAGE);
    assert_eq!(presets::TRIAGE.scaled(f64::NAN), presets::TRIAGE);
}
