//! Each fault a file can have, and the place its error points at.

use super::*;

const GOOD: &str = r#"[workflow]
name = "w"
objective = "60s"

[agents.a]
kind = "command"
command = ["true"]
preset = "triage"

[agents.b]
kind = "rust"
function = "f"

[[step]]
name = "a"

[[step]]
name = "b"
requires = ["a"]
"#;

/// The one error that `text` has: line, column, message, help.
fn error_of(text: &str) -> (usize, usize, String, String) {
    let errors = WorkflowFile::parse("f.toml", text).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    let error = &errors.errors()[0];
    (
        error.line,
        error.column,
        error.message.clone(),
        error.help.clone().unwrap_or_default(),
    )
}

/// The error after replacing `from`, which must be there, by `to`.
fn after(from: &str, to: &str) -> (usize, usize, String, String) {
    assert!(GOOD.contains(from), "{from}");
    error_of(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_good_file_is_read() {
    let file = WorkflowFile::parse("f.toml", GOOD).unwrap();
    assert_eq!(file.workflow.steps().len(), 2);
    assert_eq!(
        file.agents["b"].kind,
        AgentKind::Rust {
            function: "f".into()
        }
    );
}

#[test]
fn a_syntax_error_points_at_the_place() {
    let (line, _, _, _) = after("objective = \"60s\"", "objective = \"60s");
    assert_eq!(line, 3);
}

#[test]
fn a_cycle_names_its_steps_and_points_at_an_edge() {
    let (line, column, message, _) = after("name = \"a\"\n", "name = \"a\"\nrequires = [\"b\"]\n");
    assert!(message.contains("wait for each other"), "{message}");
    assert!(line >= 15 && column > 10, "{line}:{column}");
}

#[test]
fn an_unknown_agent_is_pointed_at_with_the_nearest_name() {
    let text = GOOD.replace(
        "name = \"b\"\nrequires",
        "name = \"b\"\nagent = \"bb\"\nrequires",
    );
    let (line, column, message, help) = error_of(&text);
    assert_eq!((line, column), (19, 9));
    assert_eq!(message, "step calls agent `bb`, which is not defined");
    assert!(
        help.starts_with("agents: a, b") || help.starts_with("did you mean"),
        "{help}"
    );
}

#[test]
fn a_duplicate_step_points_at_the_second() {
    let text = GOOD.replace("name = \"b\"\nrequires = [\"a\"]\n", "name = \"a\"\n");
    let (line, column, message, help) = error_of(&text);
    assert_eq!((line, column), (18, 8));
    assert_eq!(message, "step `a` is defined twice");
    assert!(help.contains("line 15"), "{help}");
}

#[test]
fn a_missing_field_is_named() {
    let (_, _, message, help) = after("kind = \"rust\"\n", "");
    assert_eq!(message, "missing field `kind`");
    assert!(help.contains("kind = "), "{help}");
}

#[test]
fn a_wrong_type_says_what_would_be_right() {
    let (line, column, message, help) = after("objective = \"60s\"", "objective = 60");
    assert_eq!((line, column), (3, 13));
    assert!(message.contains("integer `60`"), "{message}");
    assert!(
        help.contains("a duration in quotes with its unit"),
        "{help}"
    );
}

#[test]
fn an_unknown_field_lists_the_known_ones() {
    let (line, column, message, help) = after("preset = \"triage\"", "presets = \"triage\"");
    assert_eq!((line, column), (8, 1));
    assert_eq!(message, "unknown field `presets`");
    assert!(help.contains("`preset`"), "{help}");
}

#[test]
fn an_objective_that_cannot_be_met_points_at_a_field_it_contradicts() {
    let contradiction =
        "preset = \"triage\"\nrecovery_objective = \"1s\"\nwait_duration_in_open = \"3s\"";
    let (line, _, message, help) = after("preset = \"triage\"", contradiction);
    assert!(line == 9 || line == 10, "{line}");
    assert!(
        message.contains("recovery_objective") && message.contains("wait_duration_in_open"),
        "{message}"
    );
    assert!(help.contains("change one of"), "{help}");
}

#[test]
fn several_faults_are_reported_together_in_order() {
    let text = GOOD.replace(
        "requires = [\"a\"]",
        "requires = [\"x\"]\noptional = [\"y\"]",
    );
    let errors = WorkflowFile::parse("f.toml", &text).unwrap_err();
    let lines: Vec<usize> = errors.errors().iter().map(|error| error.line).collect();
    assert_eq!(lines, [19, 20]);
}

#[test]
fn kinds_and_their_fields_must_fit() {
    let (_, _, message, _) = after("kind = \"rust\"", "kind = \"wasm\"");
    assert_eq!(message, "agent kind `wasm` does not exist");
    let (_, _, message, _) = after("function = \"f\"", "command = [\"true\"]");
    assert_eq!(message, "a rust agent has no `command`");
    let (_, _, message, _) = after("command = [\"true\"]\n", "");
    assert_eq!(message, "this command agent has no `command`");
    let (_, _, message, _) = after("preset = \"triage\"", "preset = \"triag\"");
    assert_eq!(message, "preset `triag` does not exist");
}

#[test]
fn no_text_makes_the_reader_panic() {
    // Every prefix, and every single byte left out.
    for end in 0..GOOD.len() {
        let _ = WorkflowFile::parse("f", &GOOD[..end]);
        let without = format!("{}{}", &GOOD[..end], &GOOD[end + 1..]);
        if let Err(errors) = WorkflowFile::parse("f", &without) {
            let _ = errors.to_string();
        }
    }
}

/// The good file with a third step that has `fields`.
fn third(fields: &str) -> String {
    format!("{GOOD}\n[[step]]\nname = \"c\"\nagent = \"b\"\n{fields}\n")
}

#[test]
fn joins_and_conditions_are_read() {
    use crate::workflow::{Join, Test};

    let fields = "requires = [\"a\", \"b\"]\njoin = { quorum = 1 }\n\
                  when = [{ step = \"a\", at = \"/n\", at_least = 3 }, { step = \"b\", equals = [1, \"x\"] }]";
    let file = WorkflowFile::parse("f.toml", &third(fields)).unwrap();
    let step = file.workflow.step("c").unwrap();
    assert_eq!(step.join_rule(), Join::Quorum(1));
    assert_eq!(
        step.conditions()[0].predicate().test(),
        &Test::AtLeast(3.into())
    );
    assert_eq!(step.conditions()[1].to_string(), "b = [1,\"x\"]");
    for (text, join) in [
        ("any", Join::Any),
        ("all", Join::All),
        ("all_settled", Join::AllSettled),
    ] {
        let fields = format!("requires = [\"a\"]\njoin = \"{text}\"");
        let file = WorkflowFile::parse("f.toml", &third(&fields)).unwrap();
        assert_eq!(file.workflow.step("c").unwrap().join_rule(), join);
    }
}

#[test]
fn a_join_that_cannot_choose_is_pointed_at() {
    let (line, column, message, _) = error_of(&third("join = \"any\""));
    assert_eq!((line, column), (24, 8));
    assert_eq!(message, "step `c` has a join and requires nothing");
    let (line, column, message, help) =
        error_of(&third("requires = [\"a\"]\njoin = { quorum = 2 }"));
    assert_eq!((line, column), (25, 8));
    assert_eq!(message, "step `c` needs 2 of 1 required steps");
    assert_eq!(help, "give a quorum from 1 to 1");
    let (line, _, message, help) = error_of(&third("requires = [\"a\"]\njoin = \"most\""));
    assert_eq!((line, message.as_str()), (25, "unknown variant `most`"));
    assert!(help.contains("all_settled"), "{help}");
}

#[test]
fn each_fault_of_a_condition_is_pointed_at() {
    let of = |condition: &str| {
        let (line, column, message, _) =
            error_of(&third(&format!("requires = [\"a\"]\nwhen = [{condition}]")));
        assert_eq!(line, 25, "{message}");
        (column, message)
    };
    let off = (
        18,
        "step `c` asks the output of `b`, from which it does not take".into(),
    );
    assert_eq!(of("{ step = \"b\", exists = true }"), off);
    let pointer = (28, "`n` is not a JSON Pointer".into());
    assert_eq!(of("{ step = \"a\", at = \"n\", exists = true }"), pointer);
    let none = (9, "a condition needs exactly one test".into());
    assert_eq!(of("{ step = \"a\" }"), none);
    assert_eq!(of("{ step = \"a\", equals = 1, less = 2 }"), none);
    let whose = (9, "a condition does not say whose output it asks".into());
    assert_eq!(of("{ equals = 1 }"), whose);
    let text = (9, "`\"3\"` is not a number".into());
    assert_eq!(of("{ step = \"a\", less = \"3\" }"), text);
    let date = (9, "an output never holds the date `2026-01-01`".into());
    assert_eq!(of("{ step = \"a\", equals = 2026-01-01 }"), date);
    let nan = (9, "an output never holds the number `NaN`".into());
    assert_eq!(of("{ step = \"a\", equals = nan }"), nan);
}

#[test]
fn maps_and_repeats_are_read_and_their_faults_pointed_at() {
    use crate::workflow::{Exhausted, Work};

    let file = |fields: &str| WorkflowFile::parse("f.toml", &third(fields)).unwrap();
    let map = file("requires = [\"a\"]\nmap = { step = \"a\", at = \"/l\", concurrency = 2 }");
    let Work::Map(map) = map.workflow.step("c").unwrap().work().clone() else {
        panic!("it maps")
    };
    assert_eq!((map.step(), map.at(), map.concurrency()), ("a", "/l", 2));
    let repeat =
        file("repeat = { until = { at = \"/n\", less = 3 }, at_most = 4, exhausted = \"keep\" }");
    let Work::Repeat(repeat) = repeat.workflow.step("c").unwrap().work().clone() else {
        panic!("it repeats")
    };
    assert_eq!((repeat.at_most(), repeat.exhausted()), (4, Exhausted::Keep));

    let of = |fields: &str| {
        let (line, column, message, _) = error_of(&third(fields));
        (line, column, message)
    };
    assert_eq!(
        of("optional = [\"a\"]\nmap = { step = \"a\" }"),
        (
            25,
            16,
            "step `c` maps over the output of `a`, which it does not require".into()
        )
    );
    assert_eq!(
        of("requires = [\"a\"]\nmap = { step = \"a\", concurrency = 0 }"),
        (25, 35, "`concurrency` is 0".into())
    );
    assert_eq!(
        of("repeat = { until = { at = \"n\", exists = true }, at_most = 4 }"),
        (24, 27, "`n` is not a JSON Pointer".into())
    );
    assert_eq!(
        of("repeat = { until = { exists = true }, at_most = 0 }"),
        (24, 49, "`at_most` is 0".into())
    );
    assert_eq!(
        of("repeat = { until = { step = \"a\", exists = true }, at_most = 1 }"),
        (
            24,
            29,
            "`until` asks the step's own answer and names no step".into()
        )
    );
    assert_eq!(
        of(
            "requires = [\"a\"]\nmap = { step = \"a\" }\nrepeat = { until = { exists = true }, at_most = 0 }"
        ),
        (26, 49, "`at_most` is 0".into())
    );
}

#[test]
fn approvals_are_read_and_their_faults_pointed_at() {
    let step = |fields: &str| format!("{GOOD}\n[[step]]\nname = \"ok\"\n{fields}\n");
    let text = step("approval = { prompt = \"go?\", expires = \"1d\", fallback = \"a\" }");
    let file = WorkflowFile::parse("f.toml", &text).unwrap();
    assert_eq!(file.workflow.step("ok").unwrap().agent(), Some("a"));
    let file = WorkflowFile::parse("f.toml", &step("approval = { prompt = \"go?\" }")).unwrap();
    assert_eq!(file.workflow.step("ok").unwrap().agent(), None);

    let of = |fields: &str| {
        let (line, column, message, _) = error_of(&step(fields));
        (line, column, message)
    };
    assert_eq!(
        of("approval = { prompt = \"go?\", fallback = \"a\" }"),
        (
            23,
            41,
            "the approval of step `ok` has a fallback and never expires".into()
        )
    );
    assert_eq!(
        of("approval = { prompt = \"go?\", expires = \"0s\" }"),
        (23, 40, "the approval of step `ok` expires at once".into())
    );
    assert_eq!(
        of("approval = { prompt = \"go?\", expires = \"1s\", fallback = \"x\" }"),
        (23, 57, "step calls agent `x`, which is not defined".into())
    );
    assert_eq!(
        of("agent = \"a\"\napproval = { prompt = \"go?\" }"),
        (24, 12, "step `ok` has both `agent` and `approval`".into())
    );
}

#[test]
fn a_last_good_output_is_read_with_its_age_and_pointed_at_where_it_has_none() {
    use crate::workflow::OnUnavailable;

    let fields = "on_unavailable = { last_good = \"2h\" }";
    let file = WorkflowFile::parse("f.toml", &third(fields)).unwrap();
    let policy = file.workflow.step("c").unwrap().unavailable_policy();
    assert_eq!(
        policy,
        OnUnavailable::LastGood {
            max_age_ms: 7_200_000
        }
    );
    let (line, column, message, _) = error_of(&third("on_unavailable = { last_good = \"0s\" }"));
    assert_eq!((line, column), (24, 18));
    assert_eq!(message, "the last good output of step `c` may be 0 old");
    let (line, _, message, _) = error_of(&third("on_unavailable = \"later\""));
    assert_eq!((line, message.as_str()), (24, "unknown variant `later`"));
}

#[test]
fn agents_share_the_slots_of_a_pool() {
    let pool = "\n[pools.llm]\nmax_concurrent_calls = 20\nmax_wait = \"5s\"\nmax_queue = 50\n";
    let text = GOOD.replace("preset = \"triage\"", "preset = \"triage\"\npool = \"llm\"") + pool;
    let file = WorkflowFile::parse("f.toml", &text).unwrap();
    assert_eq!(file.agents["a"].resilience.pool.as_deref(), Some("llm"));
    let [llm] = file.pools.as_slice() else {
        panic!("one pool: {:?}", file.pools);
    };
    let slots = (
        llm.max_concurrent_calls,
        llm.max_wait.as_secs(),
        llm.max_queue,
    );
    assert_eq!(slots, (20, 5, Some(50)));
    assert_eq!(
        (llm.bulkhead().limit(), &**llm.bulkhead().name()),
        (20, "llm")
    );
}

#[test]
fn a_pool_that_is_not_there_or_does_not_fit_is_pointed_at() {
    let with = |line: &str| GOOD.replace("preset = \"triage\"", line);
    let (line, column, message, _) = error_of(&with("pool = \"llm\""));
    assert_eq!((line, column), (8, 8));
    assert_eq!(message, "pool `llm` is not defined");
    let both = with("pool = \"llm\"\nmax_concurrent_calls = 3");
    let (line, _, message, _) = error_of(&(both + "\n[pools.llm]\nmax_concurrent_calls = 20\n"));
    assert_eq!(
        (line, message.as_str()),
        (9, "this agent takes the slots of its pool")
    );
    let (_, _, message, _) =
        error_of(&(GOOD.to_owned() + "\n[pools.llm]\nmax_concurrent_calls = 0\n"));
    assert_eq!(message, "no call could ever run");
    let (_, _, message, _) = error_of(&with("retry_ratio = 1.5"));
    assert_eq!(message, "1.5 is no share of calls");
}

#[test]
fn an_edge_whose_ends_contradict_each_other_is_pointed_at() {
    let given = "output_schema = { type = \"object\", properties = { n = { type = \"string\" } } }";
    let with = |takes: &str| {
        let text = GOOD.replace("preset = \"triage\"", given);
        text.replace(
            "function = \"f\"",
            &format!("function = \"f\"\ninput_schema = {{ properties = {{ {takes} }} }}"),
        )
    };
    let of_a = |schema: &str| with(&format!("upstream = {{ properties = {{ a = {schema} }} }}"));
    let (line, column, message, help) = error_of(&of_a("{ required = [\"m\"] }"));
    assert_eq!((line, column), (20, 13));
    let why = "step `b` cannot take what `a` gives: property `m` is required, and is not among those given";
    assert_eq!(message, why);
    assert!(help.contains("output schema of the one"), "{help}");
    let wrong = of_a("{ properties = { n = { type = \"integer\" } } }");
    assert!(
        error_of(&wrong)
            .2
            .ends_with("at `/n` it is string, and must be integer")
    );
    let (line, _, message, _) = error_of(&with("upstream = { required = [\"c\"] }"));
    assert_eq!(line, 19);
    assert!(message.contains("requires the output of `c`"), "{message}");
    let (_, _, message, _) = error_of(&with("input = { required = [\"day\"], type = \"object\" }"));
    assert!(
        message.contains("cannot take what the run's input gives"),
        "{message}"
    );
    let fits = of_a("{ properties = { n = { enum = [\"x\", 1] } } }");
    assert!(WorkflowFile::parse("f.toml", &fits).is_ok());
}
