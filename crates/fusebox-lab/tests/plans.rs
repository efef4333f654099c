//! Plans that are good, and what is said of those that are not.

use std::path::Path;

use fusebox_lab::{Arrivals, Latency, Plan, Time, Without};

const WORKFLOW: &str = r#"
[workflow]
name = "w"
[input.day]
[agents.triage]
kind = "command"
command = ["false"]
[agents.answer]
kind = "command"
command = ["false"]
output_schema = { type = "object", required = ["text"], properties = { text = { type = "string" } } }
[agents.either]
kind = "failover"
targets = ["triage", "answer"]
[[step]]
name = "triage"
[[step]]
name = "answer"
agent = "either"
requires = ["triage"]
"#;

const GOOD: &str = "workflow = \"w.toml\"\nduration = \"5m\"\nevery = \"1s\"\n";

fn parse(text: &str) -> Result<Plan, String> {
    let read = |path: &Path| match path.to_str() {
        Some("w.toml") => Ok(WORKFLOW.to_owned()),
        Some("bad.toml") => Ok(WORKFLOW.replace("triage", "triage!")),
        Some("asks.toml") => Ok(format!(
            "{WORKFLOW}[[step]]\nname = \"go\"\napproval = {{ prompt = \"go?\" }}"
        )),
        _ => Err("no such file".to_owned()),
    };
    Plan::parse_with("dir/plan.toml", text, &read).map_err(|errors| errors.to_string())
}

/// Each fault in a line, without what is shown of the file.
fn faults(text: &str) -> Vec<String> {
    let shown = parse(text).expect_err("must be refused");
    let lines = shown
        .lines()
        .filter(|line| line.contains(": ") && !line.contains(" | "));
    lines.map(|line| line.trim().to_owned()).collect()
}

fn refused(more: &str, place: &str, what: &str, help: &str) {
    let found = faults(&format!("{GOOD}{more}"));
    assert_eq!(
        found[0],
        format!("dir/plan.toml:{place}: {what}"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("= help: ") && found[1].contains(help),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn what_a_plan_leaves_out_has_defaults() {
    let plan = parse(GOOD).expect("a good plan");
    assert_eq!((plan.time, plan.seeds), (Time::Virtual, 10));
    assert_eq!(plan.without, Without::Breakers);
    assert_eq!(
        plan.arrivals,
        Arrivals::Every(std::time::Duration::from_secs(1))
    );
    assert_eq!((plan.runs_per_seed(), plan.runs()), (300, 6000));
    // A failover needs nobody to stand in for it.
    assert!(plan.stand_ins.keys().eq(["answer", "triage"]));
    let latency = Latency::Fixed(std::time::Duration::from_millis(200));
    assert!(
        plan.stand_ins
            .values()
            .all(|stand_in| stand_in.latency == latency)
    );
    assert!(plan.faults.is_empty());
}

#[test]
fn an_agents_own_table_wins_over_the_default() {
    let more = "[agents.default]\nlatency = { median = \"1s\", p99 = \"3s\" }\n\
                [agents.answer]\nlatency = \"5ms\"\nanswer = { text = \"yes\" }";
    let plan = parse(&format!("{GOOD}{more}")).expect("a good plan");
    let of = |name: &str| plan.stand_ins[name].latency;
    assert_eq!(
        of("answer"),
        Latency::Fixed(std::time::Duration::from_millis(5))
    );
    assert!(matches!(of("triage"), Latency::Lognormal { .. }));
    assert_eq!(
        plan.stand_ins["answer"].answer,
        serde_json::json!({ "text": "yes" })
    );
}

#[test]
fn a_fault_says_from_when_and_for_how_long() {
    let more = "[[faults]]\nagent = \"answer\"\nkind = \"latency\"\ndelay = \"3s\"\nfrom = \"1m\"\nfor = \"90s\"\nratio = 0.5";
    let plan = parse(&format!("{GOOD}{more}")).expect("a good plan");
    let rule = plan.faults[0].rule.to_string();
    assert_eq!(rule, "latency:0.5,delay=3s,from=60s,until=150s");
}

#[test]
fn every_wrong_value_is_told_with_its_place_and_what_would_be_right() {
    let fault = "[[faults]]\nagent = \"answer\"\nkind = \"api\"\n";
    for (more, place, what, help) in [
        (
            "time = \"vritual\"",
            "4:8",
            "time `vritual` does not exist",
            "did you mean `virtual`?",
        ),
        ("seeds = 0", "4:9", "no seed, no run", "at least 1"),
        (
            "rate = 2",
            "4:8",
            "`every` and `rate` contradict each other",
            "say how often",
        ),
        (
            "without = \"breaker\"",
            "4:11",
            "the other side cannot go without `breaker`",
            "breakers and waiting",
        ),
        (
            "input.dya = \"1\"",
            "4:7",
            "the workflow has no input `dya`",
            "did you mean `day`?",
        ),
        (
            "[agents.anser]\nlatency = \"1s\"",
            "4:9",
            "the workflow has no agent `anser`",
            "did you mean `answer`?",
        ),
        (
            "[agents.either]",
            "4:9",
            "agent `either` only asks others",
            "targets",
        ),
        (
            "[agents.answer]\nlatency = { median = \"2s\", p99 = \"1s\" }",
            "5:11",
            "there is no such distribution of latencies",
            "`p99` not below",
        ),
        (
            "[agents.answer]\nanswer = 3",
            "5:10",
            "agent `answer` could not answer so: 3 is not of type \"object\"",
            "output_schema",
        ),
        (
            "[targets]\navailability = 99",
            "5:16",
            "99 is no share",
            "0.0 to 1.0",
        ),
        (
            "[[faults]]\nagent = \"anser\"\nkind = \"api\"",
            "5:9",
            "the workflow has no agent `anser`",
            "did you mean `answer`? agents: answer, either, triage",
        ),
        (
            "[[faults]]\nagent = \"either\"\nkind = \"api\"",
            "5:9",
            "agent `either` only asks others",
            "targets",
        ),
        (
            "[[faults]]\nagent = \"answer\"\nkind = \"apy\"",
            "6:8",
            "fault `apy` does not exist",
            "did you mean `api`?",
        ),
        (
            "[[faults]]\nagent = \"answer\"\nkind = \"latency\"",
            "6:8",
            "a latency without `delay`",
            "delay = \"3s\"",
        ),
        (
            &format!("{fault}delay = \"3s\""),
            "7:9",
            "only a latency has a delay",
            "leave it out",
        ),
        (
            &format!("{fault}from = \"5m\""),
            "7:8",
            "the fault begins when no run does any more",
            "`duration`",
        ),
        (
            &format!("{fault}for = \"0s\""),
            "7:7",
            "the fault would never be on",
            "90s",
        ),
        (
            &format!("{fault}ratio = 1.5"),
            "7:9",
            "1.5 is no share",
            "0.0 to 1.0",
        ),
    ] {
        refused(more, place, what, help);
    }
}

#[test]
fn a_plan_without_runs_or_with_too_many_is_refused() {
    let only = |text: &str| faults(&format!("workflow = \"w.toml\"\n{text}"))[0].clone();
    assert_eq!(
        only("duration = \"0s\"\nevery = \"1s\""),
        "dir/plan.toml:2:12: no run would ever begin"
    );
    assert_eq!(
        only("duration = \"1s\""),
        "dir/plan.toml:2:12: there is neither `every` nor `rate`"
    );
    assert_eq!(
        only("duration = \"1s\"\nevery = \"0s\""),
        "dir/plan.toml:3:9: all runs would begin at once"
    );
    assert_eq!(
        only("duration = \"1s\"\nrate = -1.0"),
        "dir/plan.toml:3:8: -1 runs a second is no rate"
    );
    assert_eq!(
        only("duration = \"1h\"\nevery = \"50ms\""),
        "dir/plan.toml:2:12: the plan needs 1440000 runs (72000 for each of 10 seeds, on two sides), more than 1000000"
    );
    let found = faults("workflow = \"w.toml\"\nduration = \"1h\"\nrate = 1e18");
    assert!(found[0].contains("more than 1000000"), "{found:?}");
}

#[test]
fn real_time_has_neither_stand_ins_nor_seeds() {
    refused(
        "time = \"real\"\nseeds = 3",
        "5:9",
        "real time cannot be repeated",
        "leave it out",
    );
    let what = "on real time the agents of the workflow answer themselves";
    refused(
        "time = \"real\"\n[agents.default]\nlatency = \"1s\"",
        "5:9",
        what,
        "virtual",
    );
    assert_eq!(
        parse(&format!("{GOOD}time = \"real\""))
            .expect("a good plan")
            .seeds,
        1
    );
}

#[test]
fn faults_of_the_plan_are_told_together_in_their_order() {
    let more = "seeds = 0\ntime = \"soon\"\n[[faults]]\nagent = \"x\"\nkind = \"y\"\nratio = 2";
    let found = faults(&format!("{GOOD}{more}"));
    let places: Vec<&str> = found
        .iter()
        .filter_map(|line| line.strip_prefix("dir/plan.toml:"))
        .map(|line| line.split_once(": ").expect("a place and a message").0)
        .collect();
    assert_eq!(places, ["4:9", "5:8", "7:9", "8:8", "9:9"]);
}

#[test]
fn a_workflow_that_cannot_be_read_is_the_plans_fault_and_one_that_is_wrong_its_own() {
    let plan =
        |workflow: &str| format!("workflow = \"{workflow}\"\nduration = \"1s\"\nevery = \"1s\"");
    let found = faults(&plan("gone.toml"));
    assert_eq!(
        found[0],
        "dir/plan.toml:1:12: workflow file gone.toml could not be read: no such file"
    );
    let shown = parse(&plan("bad.toml")).expect_err("a bad name");
    assert!(shown.starts_with("dir/bad.toml:"), "{shown}");
    let found = faults(&plan("asks.toml"));
    assert_eq!(
        found[0],
        "dir/plan.toml:1:12: step `go` of it waits for a person"
    );
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    let found = faults(&format!("{GOOD}evry = \"1s\""));
    assert_eq!(found[0], "dir/plan.toml:4:1: unknown field `evry`");
    let found = faults("workflow = \"w.toml\"\nduration = \"soon\"\nevery = \"1s\"");
    assert!(
        found[0].starts_with("dir/plan.toml:2:12: invalid value"),
        "{found:?}"
    );
    let found = faults(&format!(
        "{GOOD}[agents.answer]\nlatency = {{ median = \"1s\" }}"
    ));
    assert!(found[0].contains("missing field `p99`"), "{found:?}");
    let found = faults(&format!("{GOOD}[agents.answer]\nlatency = 3"));
    assert!(found[1].contains("a time such as \"200ms\""), "{found:?}");
}
