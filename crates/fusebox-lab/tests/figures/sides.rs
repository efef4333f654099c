//! What the sides differ in, fault by fault, and what the targets make of it.

use crate::{ONE, both, plan, simulate, standard};

fn struck(workflow: &str, kind: &str, more: &str) -> fusebox_lab::Comparison {
    let text = format!(
        "duration = \"30s\"\nevery = \"500ms\"\nseeds = 2\n{more}\n\
         [[faults]]\nagent = \"only\"\nkind = \"{kind}\"\nfrom = \"5s\"\nfor = \"12s\"\n"
    );
    simulate(&plan(workflow, &text))
}

#[test]
fn every_kind_that_fails_calls_is_seen_to_make_them_in_vain_and_more_so_without_breakers() {
    for kind in [
        "timeout",
        "hang",
        "exhaustion",
        "api",
        "dependency",
        "corruption",
    ] {
        let comparison = struck(ONE, kind, "");
        let (protected, unprotected) = both(&comparison);
        assert!(protected.calls.in_vain > 0, "{kind}");
        assert!(
            protected.calls.in_vain < unprotected.calls.in_vain / 2,
            "{kind}: {:?} {:?}",
            protected.calls,
            unprotected.calls
        );
        assert_eq!(
            comparison
                .difference
                .as_ref()
                .map(|less| less.calls_in_vain < 0),
            Some(true)
        );
        assert_eq!(protected.agents[0].calls_failed_otherwise, 0, "{kind}");
    }
}

#[test]
fn without_waiting_runs_that_meet_the_outage_are_lost() {
    let waits = struck(ONE, "api", "");
    let gives_up = struck(ONE, "api", "without = \"breakers and waiting\"");
    let (_, unprotected) = both(&waits);
    assert_eq!(unprotected.runs.availability_ratio, Some(1.0));
    // 24 of 60 runs begin within the 12 s, with each of 2 seeds.
    let (protected, unprotected) = both(&gives_up);
    assert_eq!(protected.runs.availability_ratio, Some(1.0));
    assert_eq!((unprotected.runs.failed, unprotected.runs.begun), (48, 120));
}

#[test]
fn a_pool_that_hanging_calls_fill_draws_others_in_and_less_so_behind_a_breaker() {
    let workflow = r#"
[workflow]
name = "shared"
objective = "30s"
outputs = ["right"]
[pools.provider]
max_concurrent_calls = 4
max_wait = "2s"
[agents.left]
kind = "command"
command = ["false"]
pool = "provider"
attempt_timeout = "5s"
wait_duration_in_open = "5s"
max_wait_duration_in_open = "10s"
[agents.right]
kind = "command"
command = ["false"]
pool = "provider"
[[step]]
name = "left"
on_unavailable = "skip"
[[step]]
name = "right"
on_unavailable = "fail"
"#;
    let text = "duration = \"60s\"\nevery = \"500ms\"\nseeds = 2\n\
        [[faults]]\nagent = \"left\"\nkind = \"timeout\"\nfrom = \"10s\"\nfor = \"30s\"";
    let comparison = simulate(&plan(workflow, text));
    let (protected, unprotected) = both(&comparison);
    assert_eq!(unprotected.cascade.drawn_in, ["right"]);
    let lost = |side: &fusebox_lab::Side| side.runs.failed + side.runs.late;
    assert!(
        lost(protected) < lost(unprotected) / 2,
        "{:?} {:?}",
        protected.runs,
        unprotected.runs
    );
}

#[test]
fn a_server_of_tools_with_a_breaker_of_its_own_stands_behind_stand_ins_too() {
    let workflow = r#"
[workflow]
name = "tools"
objective = "60s"
[mcp.orders]
command = ["orders"]
breaker = { preset = "external_api" }
[agents.find]
kind = "mcp"
server = "orders"
tool = "find"
[agents.ship]
kind = "mcp"
server = "orders"
tool = "ship"
[[step]]
name = "find"
[[step]]
name = "ship"
requires = ["find"]
"#;
    let text = "duration = \"20s\"\nevery = \"1s\"\nseeds = 1\n\
        [[faults]]\nagent = \"ship\"\nkind = \"dependency\"\nfrom = \"5s\"\nfor = \"5s\"";
    let comparison = simulate(&plan(workflow, text));
    let (protected, unprotected) = both(&comparison);
    assert_eq!(protected.runs.begun, 20);
    assert!(protected.calls.in_vain <= unprotected.calls.in_vain);
    assert!(unprotected.lanes.is_empty(), "{:?}", unprotected.lanes);
}

#[test]
fn late_runs_are_those_whose_objective_was_over() {
    let workflow = ONE.replace("objective = \"20s\"", "objective = \"2s\"");
    let text = "duration = \"10s\"\nevery = \"1s\"\nseeds = 1\n[agents.only]\nlatency = \"5s\"";
    let workflow = workflow.replace("attempt_timeout = \"1s\"", "attempt_timeout = \"9s\"");
    let workflow = workflow.replace(
        "recovery_objective = \"10s\"",
        "recovery_objective = \"30s\"",
    );
    let comparison = simulate(&plan(&workflow, text));
    let (_, unprotected) = both(&comparison);
    assert_eq!((unprotected.runs.late, unprotected.runs.begun), (10, 10));
    assert_eq!(unprotected.runs.availability_ratio, Some(0.0));
    assert_eq!(unprotected.runs.latency_median_ms, None);
    // Nobody answered because the runs were over: that says nothing about the agent.
    assert!(unprotected.cascade.drawn_in.is_empty());
}

#[test]
fn targets_are_held_against_the_protected_side() {
    let targets = "\n[targets]\navailability = 1.0\ncalls_in_vain = 3\nlatency_p95 = \"1ms\"\nobjectives_met = 0.5";
    let quiet = "duration = \"10s\"\nevery = \"1s\"\nseeds = 1";
    let comparison = simulate(&plan(&standard("30s"), &format!("{quiet}{targets}")));
    let met: Vec<(&str, bool)> = comparison
        .targets
        .iter()
        .map(|target| (target.name, target.is_met))
        .collect();
    let expected = [
        ("availability", true),
        ("latency_p95_ms", false),
        ("calls_in_vain", true),
        ("objectives_met", true),
    ];
    assert_eq!(met, expected);
    assert!(!comparison.meets_targets());
    assert_eq!(
        comparison.targets[3].measured, None,
        "no outage misses no objective"
    );
}
