//! Fault plans: `--fault AGENT=KIND:RATIO[,OPTION=TIME…]`.

use fusebox_agent::{FaultKind, FaultPlan, FaultRule};

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(rule) = text.parse::<FaultRule>() {
        check_rule(&rule);
    }
    match text.parse::<FaultPlan>() {
        Ok(plan) => check_plan(&plan),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_plan(plan: &FaultPlan) {
    let mut entries = Vec::new();
    for agent in plan.agents() {
        assert!(!agent.is_empty());
        for rule in plan.rules(agent) {
            check_rule(rule);
            entries.push(format!("{agent}={rule}"));
        }
    }
    let written = entries.join(";");
    assert_eq!(written.parse().as_ref(), Ok(plan), "{written}");
}

fn check_rule(rule: &FaultRule) {
    let written = rule.to_string();
    assert_eq!(written.parse().as_ref(), Ok(rule), "{written}");
    assert!((0.0..=1.0).contains(&rule.ratio()));
    assert!(rule.is_on(rule.from()), "on from its start");
    if let Some(until) = rule.until() {
        assert!(rule.from() < until && !rule.is_on(until), "off at its end");
    }
    assert!(rule.kind() == FaultKind::Latency || rule.delay().is_zero());
}
