//! What is written can be read, and what is read is checked.

use crate::bench::{bench, plain, secs};
use std::time::Duration;

use fusebox_breaker::{
    Availability, ChangeDetector, Combine, Config, FailureKind, Learning, Override, Ramp, Reason,
    SlowCalls, Snapshot, State, TimeWindow, presets,
};

#[test]
fn a_snapshot_survives_being_written_and_read() {
    let before = bench(plain());
    before.breaker.trip("test");
    before
        .breaker
        .force_open(Override::new("maintenance", "ops").with_expiry(secs(30)));
    let text = serde_json::to_string(&before.breaker.snapshot()).expect("written");
    let read: Snapshot = serde_json::from_str(&text).expect("read");
    assert_eq!(read, before.breaker.snapshot());

    let after = bench(plain());
    after.breaker.restore(&read);
    assert_eq!(after.breaker.state(), State::ForcedOpen);
    assert_eq!(
        after.breaker.availability(),
        Availability::NotBefore(secs(30))
    );
}

#[test]
fn a_snapshots_names_are_stable() {
    let bench = bench(plain());
    bench.fail();
    bench.fail();
    let written = serde_json::to_value(bench.breaker.snapshot()).expect("written");
    assert_eq!(
        written,
        serde_json::json!({
            "state": "open",
            "generation": 1,
            "remaining_ms": 10_000,
            "openings": 1,
            "reason": { "kind": "consecutive_failures", "failures": 2, "threshold": 2 },
            "forced": null,
        })
    );
    let short: Snapshot = serde_json::from_str(r#"{"state":"closed","generation":3}"#)
        .expect("the rest has defaults");
    assert_eq!((short.state, short.openings), (State::Closed, 0));
}

#[test]
fn every_presets_configuration_survives_and_a_bad_one_is_refused_by_name() {
    for preset in presets::ALL {
        let config = preset.config().expect("good");
        let text = serde_json::to_string(&config).expect("written");
        assert_eq!(serde_json::from_str::<Config>(&text).expect("read"), config);
    }
    let mut bad = serde_json::to_value(presets::DATA.config().expect("good")).expect("written");
    bad["successes_to_close"] = 0.into();
    let refused = serde_json::from_value::<Config>(bad).expect_err("zero");
    assert!(refused.to_string().contains("successes_to_close"));
}

#[test]
fn reasons_survive_being_written_and_read() {
    let reason = Reason::FailureRate {
        failures: 6,
        calls: 10,
        threshold: 0.6,
    };
    let text = serde_json::to_string(&reason).expect("written");
    assert_eq!(serde_json::from_str::<Reason>(&text).expect("read"), reason);
}

#[test]
fn every_rule_survives_being_written_and_read() {
    let config = Config::builder()
        .time_window(TimeWindow {
            size: secs(10),
            buckets: 5,
            minimum_number_of_calls: 7,
            failure_rate_threshold: 0.25,
        })
        .slow_calls(SlowCalls {
            slow_call_duration_threshold: Duration::from_millis(1_500),
            slow_call_rate_threshold: 0.75,
            minimum_number_of_calls: 9,
        })
        .change_detector(ChangeDetector {
            baseline_failure_rate: 0.02,
            changed_failure_rate: 0.2,
            mean_calls_between_false_trips: 1e5,
            learning: Some(Learning {
                floor: 0.01,
                horizon: 500,
            }),
        })
        .combine(Combine::All)
        .failure_weight(FailureKind::Overloaded, 0.25)
        .failure_weight(FailureKind::Quality, 0.5)
        .ramp(Ramp {
            steps: vec![0.01, 0.5],
            step_duration: secs(3),
            failure_rate_threshold: 0.5,
        })
        .build()
        .expect("good");
    let text = serde_json::to_string(&config).expect("written");
    assert_eq!(serde_json::from_str::<Config>(&text).expect("read"), config);
    // What was written before these rules existed still reads.
    let old = r#"{"consecutive_failures":5,"count_window":null,"wait_duration_in_open_ms":1000,
        "max_wait_duration_in_open_ms":null,"max_concurrent_probes":1,"successes_to_close":1,
        "probe_deadline_ms":1000,"recovery_objective_ms":null}"#;
    assert!(serde_json::from_str::<Config>(old).is_ok());

    let all = Reason::All {
        of: vec![
            Reason::ProbeFailed,
            Reason::RampCompleted { steps: 2 },
            Reason::ChangeDetected {
                sum: 9,
                limit: 8,
                baseline: 0.01,
                changed: 0.1,
            },
        ],
    };
    let text = serde_json::to_string(&all).expect("written");
    assert_eq!(serde_json::from_str::<Reason>(&text).expect("read"), all);
}
