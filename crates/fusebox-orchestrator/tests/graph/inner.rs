//! A workflow as a step of another: one graph, one journal, and the names that each side gave.

use fusebox_orchestrator::{
    Approval, Condition, Decision, Engine, Feed, Inner, Join, Predicate, RunOptions, RunStatus,
    Step, StepStatus, Test, Workflow, WorkflowError, decide, load_output, load_run,
};
use serde_json::{Value, json};

use crate::support::{Bench, ends, resume, run, run_id};

/// `rate` and `audit` side by side, then `total`; the audit may fail.
fn billing() -> Workflow {
    Workflow::builder("billing")
        .step(Step::new("rate"))
        .step(Step::new("audit"))
        .step(
            Step::new("total")
                .requires(["rate", "audit"])
                .join(Join::AllSettled),
        )
        .build()
        .unwrap()
}

fn month(billing: Step) -> Workflow {
    Workflow::builder("month")
        .step(Step::new("orders"))
        .step(billing.requires(["orders"]))
        .step(Step::new("mail").requires(["billing"]))
        .build()
        .unwrap()
}

fn with_orders() -> Inner {
    Inner::new(billing())
        .with_input("orders", Feed::step("orders", "/open"))
        .with_input("day", Feed::input("/day"))
        .with_input("mode", Feed::Value(json!("fast")))
}

fn engine(bench: &Bench) -> Engine {
    bench
        .engine()
        .agent("orders", 1, |_| Ok(json!({ "open": [7, 8] })))
        .plain(&[("rate", 1), ("audit", 1), ("total", 1), ("mail", 1)])
        .build()
}

fn options() -> RunOptions {
    RunOptions::default()
        .with_id(run_id("r"))
        .with_input(json!({ "day": "monday" }))
}

async fn output(bench: &Bench, step: &str) -> Value {
    let bytes = load_output(&*bench.store, &run_id("r"), step)
        .await
        .unwrap();
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn inner_agents_are_given_their_own_input_and_the_names_of_their_own_workflow() {
    let bench = Bench::new();
    let workflow = month(Step::new("billing").workflow(with_orders()));
    let report = engine(&bench).run(&workflow, options()).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let total = &bench.calls_of("total")[0].input;
    assert_eq!(
        total["input"],
        json!({ "orders": [7, 8], "day": "monday", "mode": "fast" })
    );
    assert_eq!(
        total["upstream"],
        json!({ "rate": "rate", "audit": "audit" })
    );
    assert_eq!(total["missing"], json!({}));
    assert_eq!(total["step"], "billing/total");
    let mail = &bench.calls_of("mail")[0].input;
    assert_eq!(mail["upstream"], json!({ "billing": "total" }));
    assert_eq!(mail["input"], json!({ "day": "monday" }));
}

#[tokio::test(start_paused = true)]
async fn without_named_inputs_it_is_given_what_its_step_takes() {
    let bench = Bench::new();
    let workflow = month(Step::new("billing").workflow(billing()));
    run(&engine(&bench), &workflow).await;
    let expected = json!({ "orders": { "open": [7, 8] } });
    assert_eq!(bench.calls_of("rate")[0].input["input"], expected);
    assert_eq!(bench.calls_of("rate")[0].input["upstream"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_not_there_fails_the_step_and_calls_nobody_inside() {
    let bench = Bench::new();
    let inner = Inner::new(billing()).with_input("orders", Feed::step("orders", "/closed"));
    let report = run(
        &engine(&bench),
        &month(Step::new("billing").workflow(inner)),
    )
    .await;
    assert_eq!(report.status, RunStatus::Failed);
    let begin = report.step("billing/").unwrap();
    assert_eq!(begin.status, StepStatus::Failed);
    let reason = "input `orders` is to be from `orders/closed`, which is not there";
    assert_eq!(begin.reason.as_deref(), Some(reason));
    assert_eq!(bench.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_outputs_come_as_an_object_by_the_inner_names_without_those_not_taken() {
    let low = Condition::new("size", Predicate::new("", Test::Less(3.into())));
    let inner = Workflow::builder("inner")
        .step(Step::new("size"))
        .step(Step::new("small").requires(["size"]).when(low))
        .step(Step::new("sum").requires(["size"]))
        .step(Step::new("mean").requires(["size"]))
        .build()
        .unwrap();
    let workflow = Workflow::builder("w")
        .step(Step::new("it").workflow(inner))
        .build()
        .unwrap();
    let bench = Bench::new();
    let engine = bench
        .engine()
        .agent("size", 1, |_| Ok(json!(5)))
        .plain(&[("small", 1), ("sum", 1), ("mean", 2)])
        .build();
    let report = run(&engine, &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let expected = json!({ "sum": "sum", "mean": "mean" });
    assert_eq!(output(&bench, "it").await, expected);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_taken_calls_nobody_inside_and_is_not_owed() {
    let many = Predicate::new("/open/2", Test::Exists(true));
    let step = Step::new("billing").workflow(billing());
    let workflow = month(step.when(Condition::new("orders", many)));
    let bench = Bench::new();
    let report = run(&engine(&bench), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(bench.calls().len(), 1, "only `orders`");
    for step in [
        "billing/",
        "billing/rate",
        "billing/total",
        "billing",
        "mail",
    ] {
        assert_eq!(
            report.step(step).unwrap().status,
            StepStatus::Skipped,
            "{step}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_behind_a_failed_step_is_shielded_as_a_whole_even_what_would_start_without_any_output()
{
    let bench = Bench::new();
    let engine = bench
        .engine()
        .broken(&["orders"])
        .plain(&[("rate", 1), ("audit", 1), ("total", 1), ("mail", 1)])
        .build();
    let report = run(&engine, &month(Step::new("billing").workflow(billing()))).await;
    assert_eq!(report.status, RunStatus::Failed);
    for step in [
        "billing/",
        "billing/rate",
        "billing/total",
        "billing",
        "mail",
    ] {
        let step = report.step(step).unwrap();
        assert_eq!(step.status, StepStatus::Shielded, "{step:?}");
        assert_eq!(
            step.reason.as_deref(),
            Some("required step `orders` failed")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_inside_shields_what_requires_the_outer_step_and_nothing_else() {
    let inner = Workflow::builder("inner")
        .step(Step::new("rate"))
        .step(Step::new("total").requires(["rate"]))
        .build()
        .unwrap();
    let workflow = Workflow::builder("w")
        .step(Step::new("it").workflow(inner))
        .step(Step::new("strict").requires(["it"]))
        .step(Step::new("lenient").optional(["it"]))
        .outputs(["lenient"])
        .build()
        .unwrap();
    let bench = Bench::new();
    let members = bench.engine().broken(&["rate"]);
    let engine = members
        .plain(&[("total", 1), ("strict", 1), ("lenient", 1)])
        .build();
    let report = run(&engine, &workflow).await;
    assert_eq!(report.status, RunStatus::Degraded, "{report:?}");
    let strict = report.step("strict").unwrap();
    assert_eq!(strict.status, StepStatus::Shielded);
    let lenient = &bench.calls_of("lenient")[0].input;
    assert_eq!(
        lenient["missing"],
        json!({ "it": "required step `it/rate` failed" })
    );
}

#[tokio::test(start_paused = true)]
async fn an_approval_deep_inside_is_decided_by_its_whole_name() {
    let innermost = Workflow::builder("innermost")
        .step(Step::new("ask").approval(Approval::new("go?")))
        .step(Step::new("do").requires(["ask"]))
        .build()
        .unwrap();
    let middle = Workflow::builder("middle")
        .step(Step::new("in").workflow(innermost))
        .step(Step::new("after").requires(["in"]))
        .build()
        .unwrap();
    let workflow = Workflow::builder("w")
        .step(Step::new("out").workflow(middle))
        .build()
        .unwrap();
    let bench = Bench::new();
    let engine = bench.engine().plain(&[("do", 1), ("after", 1)]).build();
    let report = run(&engine, &workflow).await;
    assert_eq!(report.status, RunStatus::Suspended);
    let yes = Decision::approve("ada");
    let store = bench.store.clone();
    decide(store, &run_id("r"), "out/in/ask", yes)
        .await
        .unwrap();
    let report = resume(&engine, &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(output(&bench, "out").await, "after");
    let upstream = &bench.calls_of("after")[0].input["upstream"];
    assert_eq!(*upstream, json!({ "in": "do" }));
}

#[tokio::test(start_paused = true)]
async fn the_join_of_the_outer_step_decides_once_what_the_inner_workflow_sees() {
    let workflow = Workflow::builder("w")
        .step(Step::new("fast"))
        .step(Step::new("slow"))
        .step(
            Step::new("it")
                .requires(["fast", "slow"])
                .join(Join::Any)
                .workflow(billing()),
        )
        .build()
        .unwrap();
    let bench = Bench::new();
    let members = bench.engine().plain(&[("fast", 1), ("slow", 2)]);
    let engine = members
        .plain(&[("rate", 5), ("audit", 1), ("total", 1)])
        .build();
    run(&engine, &workflow).await;
    assert_eq!(
        bench.calls_of("total")[0].input["input"],
        json!({ "fast": "fast" })
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_dies_inside_resumes_inside_from_the_stored_definition() {
    let bench = Bench::new();
    let workflow = month(Step::new("billing").workflow(billing()));
    let dies = |kind: &_| ends(kind, "billing/rate");
    bench.crash_at(&engine(&bench), &workflow, dies).await;
    let stored = load_run(&*bench.store, &run_id("r")).await.unwrap();
    let stored = stored.unwrap().workflow;
    assert_eq!(stored, workflow);
    assert_eq!(stored.fingerprint(), workflow.fingerprint());
    let report = resume(&engine(&bench), &stored).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(bench.calls_of("rate").len(), 1);
    assert_eq!(bench.calls_of("orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_steps_may_be_the_same_workflow() {
    let workflow = Workflow::builder("w")
        .step(Step::new("a").workflow(billing()))
        .step(Step::new("b").workflow(billing()))
        .build()
        .unwrap();
    let bench = Bench::new();
    let report = run(&engine(&bench), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let calls = bench.calls_of("total");
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].key, calls[1].key);
}

#[test]
fn what_cannot_be_a_workflow_inside_another_is_refused_with_its_reason() {
    let build = |step: Step| {
        let builder = Workflow::builder("w").step(Step::new("orders"));
        builder.step(step.requires(["orders"])).build().unwrap_err()
    };
    let inner = || Step::new("it").workflow(billing());
    let agent = build(inner().with_agent("a"));
    assert!(matches!(
        &agent,
        WorkflowError::InnerWith { other: "agent", .. }
    ));
    let map = build(inner().map(fusebox_orchestrator::Map::over("orders", "")));
    assert_eq!(
        map.to_string(),
        "step `it` is a workflow of its own and cannot have `map` too; give it to the steps inside"
    );
    let feed = Inner::new(billing()).with_input("x", Feed::step("elsewhere", ""));
    let feed = build(Step::new("it").workflow(feed));
    assert!(matches!(feed, WorkflowError::FeedOffEdge { .. }), "{feed}");
    let reaching_in = Workflow::builder("w")
        .step(inner())
        .step(Step::new("after").requires(["it/rate"]))
        .build()
        .unwrap_err();
    let unknown = matches!(reaching_in, WorkflowError::UnknownUpstream { .. });
    assert!(unknown, "{reaching_in}");
    let slow = Workflow::builder("slow")
        .step(Step::new("a"))
        .objective(std::time::Duration::from_secs(900))
        .build()
        .unwrap();
    let slow = build(Step::new("it").workflow(slow)).to_string();
    assert!(
        slow.contains("objective of 15m, the one around it only 5m"),
        "{slow}"
    );
    let named = build(Step::new("it/x"));
    assert!(matches!(named, WorkflowError::BadName { .. }), "{named}");
}

#[test]
fn workflows_are_inside_each_other_to_a_depth_of_8() {
    let nested = |depth: usize| {
        let flat = Workflow::builder("w").step(Step::new("s")).build().unwrap();
        let around = |inner: Result<Workflow, WorkflowError>, _| {
            let step = Step::new("s").workflow(inner?);
            Workflow::builder("w").step(step).build()
        };
        (0..depth).fold(Ok(flat), around)
    };
    let deepest = nested(8).unwrap();
    let stored = serde_json::to_string(&deepest).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&stored).unwrap(), deepest);
    let error = nested(9).unwrap_err();
    assert!(matches!(error, WorkflowError::TooDeep { .. }), "{error}");
}
