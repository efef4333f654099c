//! What is written can be read, and what is read is checked.

use crate::bench::{bench, plain, secs};
use fusebox_breaker::{Availability, Config, Override, Reason, Snapshot, State, presets};

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
