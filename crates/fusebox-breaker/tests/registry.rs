//! The registry through its public API.

use std::sync::Arc;
use std::time::Duration;

use fusebox_breaker::{
    Config, FailureKind, ManualClock, ParentRule, Part, Registry, RegistryBuilder, State, Target,
};

fn config(failures: u32) -> Config {
    Config::builder()
        .consecutive_failures(failures)
        .build()
        .expect("good settings")
}

fn registry(clock: &ManualClock) -> RegistryBuilder {
    Registry::builder(config(5)).clock(Arc::new(clock.clone()))
}

fn model(number: usize) -> Target {
    Target::new().provider("acme").model(format!("m-{number}"))
}

#[test]
fn a_target_has_one_breaker_and_its_parts_make_its_name() {
    let registry = Registry::new(config(1));
    let first = registry.breaker(&model(1));
    first.trip("test");
    assert_eq!(registry.breaker(&model(1)).state(), State::Open);
    assert_eq!(registry.breaker(&model(2)).state(), State::Closed);
    assert_eq!(&**first.name(), "provider=acme/model=m-1");
    assert_eq!(
        (registry.len(), Target::new().to_string()),
        (2, "*".to_owned())
    );
}

#[test]
fn the_template_that_names_most_parts_wins() {
    let clock = ManualClock::new();
    let acme = Target::new().provider("acme");
    let registry = registry(&clock)
        .template(acme.clone(), config(3))
        .template(acme.clone().model("m-1"), config(1))
        .template(Target::new().model("m-2"), config(2))
        .build();
    let threshold = |target: Target| registry.breaker(&target).config().consecutive_failures();
    assert_eq!(threshold(model(1).tenant("t")), Some(1));
    assert_eq!(threshold(model(9)), Some(3));
    assert_eq!(threshold(model(2)), Some(2), "of equals the later one");
    assert_eq!(threshold(Target::new().tool("grep")), Some(5));
}

#[test]
fn beyond_its_capacity_it_evicts_the_least_recently_used() {
    let clock = ManualClock::new();
    let registry = registry(&clock).capacity(100).build();
    for number in 0..1_000 {
        clock.advance(Duration::from_millis(10));
        let _ = registry.breaker(&model(number));
    }
    assert!(
        registry.len() <= 132,
        "one per shard at most: {}",
        registry.len()
    );
    assert!(registry.find(&model(999)).is_some());
    assert!(registry.find(&model(0)).is_none());
    assert_eq!(registry.evicted() as usize, 1_000 - registry.len());
}

#[test]
fn a_breaker_that_is_not_closed_or_in_use_is_never_evicted() {
    let clock = ManualClock::new();
    let registry = registry(&clock)
        .capacity(1)
        .idle_time_out(Duration::from_secs(1))
        .build();
    let open = registry.breaker(&model(0));
    open.trip("test");
    drop(open);
    let held = registry.breaker(&model(1));
    let permit = registry.breaker(&model(2)).try_acquire().expect("closed");
    for number in 10..500 {
        clock.advance(Duration::from_secs(2));
        let _ = registry.breaker(&model(number));
    }
    registry.sweep();
    for number in 0..3 {
        assert!(registry.find(&model(number)).is_some(), "{number}");
    }
    permit.failure(FailureKind::Error);
    drop(held);
    clock.advance(Duration::from_secs(2));
    registry.sweep();
    assert!(registry.find(&model(0)).is_some(), "open still");
    assert!(registry.find(&model(1)).is_none());
    assert!(registry.find(&model(2)).is_none());
}

#[test]
fn childrens_trips_add_up_to_a_parents_verdict() {
    let clock = ManualClock::new();
    let registry = registry(&clock)
        .parent(ParentRule {
            parts: vec![Part::Provider],
            minimum_open: 2,
            open_ratio: 0.5,
        })
        .build();
    let acme = Target::new().provider("acme");
    assert_eq!(registry.verdict(&acme), None);
    let children: Vec<_> = (0..4)
        .map(|number| registry.breaker(&model(number)))
        .collect();
    let other = registry.breaker(&Target::new().provider("other"));
    other.trip("not of the group");
    children[0].trip("test");
    let verdict = registry.verdict(&acme).expect("a group");
    assert_eq!((verdict.children, verdict.open, verdict.trips), (4, 1, 1));
    assert!(!verdict.is_tripped);
    children[1].trip("test");
    assert!(registry.verdict(&acme).expect("a group").is_tripped);

    clock.advance(Duration::from_secs(30));
    for _ in 0..2 {
        children[0].try_acquire().expect("a probe").success();
    }
    let verdict = registry.verdict(&acme).expect("a group");
    assert_eq!((verdict.open, verdict.is_tripped), (1, false));
    assert_eq!(
        registry.verdict(&Target::new().tenant("t")),
        None,
        "no such rule"
    );
}
