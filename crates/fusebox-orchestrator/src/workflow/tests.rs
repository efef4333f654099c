//! The rules of a graph, and the errors that name what breaks them.

use std::collections::BTreeSet;

use super::*;
use crate::digest::sha256_hex;

#[test]
fn an_objective_below_a_millisecond_is_not_zero() {
    let workflow = Workflow::builder("w")
        .step(Step::new("a"))
        .objective(Duration::from_micros(500));
    let workflow = workflow.build().expect("it is good");
    assert_eq!(workflow.objective(), Duration::from_millis(1));
}

#[test]
fn a_stored_workflow_keeps_its_order_and_is_refused_if_an_edge_leads_nowhere() {
    let workflow = Workflow::builder("w")
        .step(Step::new("b").requires(["a"]))
        .step(Step::new("c"))
        .step(Step::new("a"))
        .build()
        .expect("it is good");
    let stored = serde_json::to_string(&workflow).expect("it can be written");
    let read: Workflow = serde_json::from_str(&stored).expect("it was written");
    assert_eq!(read, workflow);
    let damaged = stored.replace("\"requires\":[\"a\"]", "\"requires\":[\"z\"]");
    let error = serde_json::from_str::<Workflow>(&damaged).expect_err("damaged");
    assert!(error.to_string().contains("takes from `z`"), "{error}");
}

#[test]
fn a_cycle_is_named_in_the_direction_of_the_edges() {
    let error = Workflow::builder("w")
        .step(Step::new("a").requires(["c"]))
        .step(Step::new("b").requires(["a"]))
        .step(Step::new("c").requires(["b"]))
        .build()
        .unwrap_err();
    let WorkflowError::Cycle { steps } = error else {
        panic!("{error}")
    };
    assert_eq!(steps.len(), 4);
    for pair in steps.windows(2) {
        let follows = [("a", "b"), ("b", "c"), ("c", "a")];
        assert!(
            follows.contains(&(pair[0].as_str(), pair[1].as_str())),
            "{steps:?}"
        );
    }
}

#[test]
fn steps_come_out_after_what_they_take_from() {
    let workflow = Workflow::builder("w")
        .step(Step::new("c").requires(["b"]).optional(["a"]))
        .step(Step::new("b").requires(["a"]))
        .step(Step::new("a"))
        .build()
        .unwrap();
    let names: Vec<_> = workflow.steps().iter().map(Step::name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(workflow.outputs(), ["c"]);
}

#[test]
fn the_fingerprint_follows_the_definition() {
    let make = |policy| {
        Workflow::builder("w")
            .step(Step::new("a").on_unavailable(policy))
            .build()
            .unwrap()
    };
    let (wait, fail) = (make(OnUnavailable::Wait), make(OnUnavailable::Fail));
    assert_eq!(wait.fingerprint(), make(OnUnavailable::Wait).fingerprint());
    assert_ne!(wait.fingerprint(), fail.fingerprint());
    assert_eq!(wait.differences(&fail), ["step `a`: changed"]);
}

#[test]
fn dangling_and_doubled_edges_are_refused_by_name() {
    let dangling = Workflow::builder("w")
        .step(Step::new("a").requires(["x"]))
        .build()
        .unwrap_err();
    assert_eq!(
        dangling,
        WorkflowError::UnknownUpstream {
            step: "a".into(),
            upstream: "x".into()
        }
    );
    let doubled = Workflow::builder("w")
        .step(Step::new("a"))
        .step(Step::new("b").requires(["a"]).optional(["a"]))
        .build()
        .unwrap_err();
    assert_eq!(
        doubled,
        WorkflowError::DuplicateEdge {
            step: "b".into(),
            upstream: "a".into()
        }
    );
}

#[test]
fn a_drawing_shows_optional_edges_dashed() {
    let workflow = Workflow::builder("w")
        .step(Step::new("a"))
        .step(Step::new("b").optional(["a"]))
        .build()
        .unwrap();
    assert!(workflow.to_mermaid().contains("s0 -.-> s1"));
}

#[test]
fn a_definition_without_the_newer_fields_keeps_the_fingerprint_it_had_without_them() {
    let stored = r#"{"name":"w","objective_ms":300000,"steps":[{"name":"a","agent":"a","requires":[],"optional":[],"on_unavailable":"wait"}],"outputs":["a"]}"#;
    let workflow: Workflow = serde_json::from_str(stored).expect("an older program wrote it");
    assert_eq!(workflow.fingerprint(), sha256_hex(stored.as_bytes()));
}

#[test]
fn joins_and_conditions_are_part_of_the_fingerprint_and_survive_the_store() {
    let with = |join, limit: u32| {
        let predicate = Predicate::new("/n", Test::AtLeast(limit.into()));
        Workflow::builder("w")
            .step(Step::new("a"))
            .step(
                Step::new("b")
                    .requires(["a"])
                    .join(join)
                    .when(Condition::new("a", predicate)),
            )
            .build()
            .expect("it is good")
    };
    let one = with(Join::Any, 1);
    assert_ne!(one.fingerprint(), with(Join::Quorum(1), 1).fingerprint());
    assert_ne!(one.fingerprint(), with(Join::Any, 2).fingerprint());
    let stored = serde_json::to_string(&one).expect("it can be written");
    let read: Workflow = serde_json::from_str(&stored).expect("it was written");
    assert_eq!(read.fingerprint(), one.fingerprint());
}

#[test]
fn a_drawing_shows_joins_and_conditions() {
    let urgent = Predicate::new("/n", Test::Less(3.into()));
    let drawing = Workflow::builder("w")
        .step(Step::new("a"))
        .step(Step::new("b"))
        .step(
            Step::new("c")
                .requires(["a", "b"])
                .join(Join::Any)
                .when(Condition::new("a", urgent)),
        )
        .build()
        .expect("it is good")
        .to_mermaid();
    assert!(drawing.contains("s2[\"c<br/>any\"]"), "{drawing}");
    assert!(drawing.contains("s0 -->|\"/n #lt; 3\"| s2"), "{drawing}");
    assert!(drawing.contains("s1 --> s2"), "{drawing}");
}

#[test]
fn what_a_step_does_is_drawn_and_part_of_the_fingerprint() {
    let with = |step: Step| {
        Workflow::builder("w")
            .step(Step::new("a"))
            .step(step.requires(["a"]))
            .build()
            .expect("it is good")
    };
    let until = Predicate::new("/ok", Test::Equals(true.into()));
    let once = with(Step::new("b"));
    let each = with(Step::new("b").map(Map::over("a", "/items").with_concurrency(3)));
    let loops = with(Step::new("b").repeat(Repeat::until(until, 5)));
    let kept = Predicate::new("/ok", Test::Equals(true.into()));
    let kept = Repeat::until(kept, 5).when_exhausted(Exhausted::Keep);
    let all = [&once, &each, &loops, &with(Step::new("b").repeat(kept))];
    let prints: BTreeSet<String> = all.iter().map(|one| one.fingerprint()).collect();
    assert_eq!(prints.len(), all.len());
    for (workflow, label) in [
        (each, "b<br/>each of a/items, 3 at once"),
        (loops, "b<br/>until /ok = true, at most 5 times"),
    ] {
        let drawing = workflow.to_mermaid();
        assert!(drawing.contains(&format!("s1[\"{label}\"]")), "{drawing}");
        let stored = serde_json::to_string(&workflow).expect("it can be written");
        let read: Workflow = serde_json::from_str(&stored).expect("it was written");
        assert_eq!(read, workflow);
    }
}

#[test]
fn what_sets_a_step_apart_is_said_in_words() {
    assert_eq!(
        Step::new("plain").requires(["a"]).particulars(),
        Vec::<String>::new()
    );
    let low = Predicate::new("/n", Test::Less(3.into()));
    let step = Step::new("b")
        .requires(["a", "c"])
        .join(Join::Quorum(1))
        .when(Condition::new("a", low))
        .map(Map::over("a", "/items"));
    let words = [
        "needs at least 1",
        "when a/n < 3",
        "each of a/items, 8 at once",
    ];
    assert_eq!(step.particulars(), words);
}

#[test]
fn a_stored_workflow_inside_another_is_refused_if_its_inside_is_reached_from_outside() {
    let inner = Workflow::builder("inner")
        .step(Step::new("x"))
        .step(Step::new("y").requires(["x"]));
    let workflow = Workflow::builder("w")
        .step(Step::new("a"))
        .step(
            Step::new("it")
                .requires(["a"])
                .workflow(inner.build().expect("it is good")),
        )
        .step(Step::new("e").requires(["it"]));
    let stored = serde_json::to_string(&workflow.build().expect("it is good")).expect("plain data");
    assert!(serde_json::from_str::<Workflow>(&stored).is_ok());
    let rows = [
        (r#"["it"]"#, r#"["it/y"]"#, "`e` takes from `it/y`"),
        (r#"["it/x"]"#, r#"["a"]"#, "`it/y` takes from `a`"),
        (
            r#"["it/x"]"#,
            "[]",
            "`it/y` is inside of a workflow and does not wait",
        ),
        (
            r#""name":"it/","#,
            r#""name":"at/","#,
            "step name `at/` is not allowed",
        ),
        (
            r#""work":"leave""#,
            r#""work":"call""#,
            "step name `it/` is not allowed",
        ),
    ];
    for (from, to, message) in rows {
        let damaged = stored.replacen(
            &format!("\"requires\":{from}"),
            &format!("\"requires\":{to}"),
            1,
        );
        let damaged = if damaged == stored {
            stored.replacen(from, to, 1)
        } else {
            damaged
        };
        assert_ne!(damaged, stored, "{from} is not in {stored}");
        let error = serde_json::from_str::<Workflow>(&damaged).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
}
