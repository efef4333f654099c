//! Both ends of an edge are compared before anything starts; what a schema does not say is allowed.

use std::sync::Arc;

use fusebox_agent::{Agent, Reply, agent_fn};
use fusebox_orchestrator::{
    Approval, Engine, EngineError, Feed, Inner, Map, PortError, Predicate, Repeat, Resilience,
    RunOptions, Step, Test, Workflow, list_runs,
};
use fusebox_state::MemoryStore;
use serde_json::{Value, json};

/// `a` gives `given`, `b` takes `wanted`, `c` neither.
async fn run(workflow: &Workflow, given: Value, wanted: Value) -> Result<(), EngineError> {
    let store = Arc::new(MemoryStore::new());
    let answer = |name: &str| agent_fn(name, |_, _| async { Ok(Reply::new(json!({ "rows": 1 }))) });
    let agents: [Box<dyn Agent>; 3] = [
        Box::new(answer("a").with_output_schema(given)),
        Box::new(answer("b").with_input_schema(wanted)),
        Box::new(answer("c")),
    ];
    let builder = agents
        .into_iter()
        .fold(Engine::builder(store.clone()), |builder, agent| {
            builder.agent(agent, Resilience::default())
        });
    let engine = builder.build().unwrap();
    let started = engine
        .run(workflow, RunOptions::default().without_waiting())
        .await;
    if started.is_err() {
        assert!(
            list_runs(&*store).await.unwrap().is_empty(),
            "nothing began"
        );
    }
    started.map(|_| ())
}

fn rows(kind: &str) -> Value {
    json!({ "type": "object", "required": ["rows"], "properties": { "rows": { "type": kind } } })
}

/// A task whose `upstream` has `schema` under `a`.
fn from_a(schema: &Value) -> Value {
    json!({ "properties": { "upstream": { "properties": { "a": schema } } } })
}

fn chain() -> Workflow {
    let b = Step::new("b").requires(["a"]);
    Workflow::builder("w")
        .step(Step::new("a"))
        .step(b)
        .build()
        .unwrap()
}

fn message(result: Result<(), EngineError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, EngineError::Ports(_)), "{error}");
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn an_edge_whose_ends_contradict_each_other_is_refused_naming_both_and_the_property() {
    let wrong = run(&chain(), rows("string"), from_a(&rows("integer"))).await;
    let why = "step `b` cannot take what `a` gives: at `/rows` it is string, and must be integer";
    assert!(message(wrong).starts_with(why));
    let needs_columns = json!({ "required": ["columns"] });
    let missing = message(run(&chain(), rows("integer"), from_a(&needs_columns)).await);
    assert!(
        missing.contains("property `columns` is required, and is not among those given"),
        "{missing}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_fits_or_is_not_known_is_allowed() {
    for (given, wanted) in [
        (rows("integer"), from_a(&rows("number"))),
        (json!({}), from_a(&rows("integer"))),
        (rows("integer"), json!({})),
        (
            rows("integer"),
            json!({ "properties": { "upstream": { "required": ["a"] } } }),
        ),
    ] {
        assert!(run(&chain(), given, wanted).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_an_agent_requires_and_its_step_does_not_take_is_named() {
    let wanted = json!({ "properties": { "upstream": { "required": ["a", "c"] } } });
    let Err(EngineError::Ports(error)) = run(&chain(), json!({}), wanted).await else {
        panic!("`c` is not upstream");
    };
    let (step, upstream) = ("b".to_owned(), "c".to_owned());
    assert_eq!(error, PortError::NotTaken { step, upstream });
}

#[tokio::test(start_paused = true)]
async fn items_of_a_map_and_what_a_map_gives_are_compared_as_lists() {
    let list = json!({ "type": "object", "properties": { "all": { "type": "array", "items": { "type": "string" } } } });
    let each = Step::new("b").requires(["a"]).map(Map::over("a", "/all"));
    let workflow = Workflow::builder("w")
        .step(Step::new("a"))
        .step(each)
        .build()
        .unwrap();
    let item = |kind: &str| json!({ "properties": { "item": { "type": kind } } });
    let error = message(run(&workflow, list, item("integer")).await);
    assert!(
        error.contains("it is string, and must be integer"),
        "{error}"
    );

    let workflow = Workflow::builder("w")
        .step(Step::new("c"))
        .step(Step::new("a").requires(["c"]).map(Map::over("c", "")))
        .step(Step::new("b").requires(["a"]))
        .build()
        .unwrap();
    let error = message(run(&workflow, rows("integer"), from_a(&rows("integer"))).await);
    assert!(error.contains("it is array, and must be object"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_decides_and_what_a_loop_gave_before_have_types_too() {
    let ask = Step::new("a").approval(Approval::new("go?"));
    let workflow = Workflow::builder("w")
        .step(ask)
        .step(Step::new("b").requires(["a"]));
    let workflow = workflow.build().unwrap();
    let refused = json!({ "properties": { "approved": { "const": false } } });
    let error = message(run(&workflow, json!({}), from_a(&refused)).await);
    assert!(
        error.contains("at `/approved` it is true, and must be false"),
        "{error}"
    );

    let until = Repeat::until(Predicate::new("", Test::Exists(true)), 1);
    let once = Step::new("it").with_agent("both").repeat(until);
    let workflow = Workflow::builder("w").step(once).build().unwrap();
    let both = agent_fn("both", |_, _| async { Ok(Reply::new(json!(1))) })
        .with_output_schema(json!({ "type": "integer" }))
        .with_input_schema(json!({ "properties": { "previous": { "type": "string" } } }));
    let engine = Engine::builder(Arc::new(MemoryStore::new())).agent(both, Resilience::default());
    let started = engine
        .build()
        .unwrap()
        .run(&workflow, RunOptions::default())
        .await;
    assert!(message(started.map(|_| ())).contains("step `it` cannot take what `it` gives"));
}

#[tokio::test(start_paused = true)]
async fn edges_into_and_out_of_an_inner_workflow_are_compared_by_its_own_names() {
    let inner = |name: &str| {
        Workflow::builder("inner")
            .step(Step::new(name))
            .build()
            .unwrap()
    };
    let fed = Inner::new(inner("b")).with_input("n", Feed::step("a", "/rows"));
    let workflow = Workflow::builder("w")
        .step(Step::new("a"))
        .step(Step::new("it").requires(["a"]).workflow(fed))
        .build()
        .unwrap();
    let input = |kind: &str| json!({ "properties": { "input": { "properties": { "n": { "type": kind } } } } });
    let error = message(run(&workflow, rows("integer"), input("string")).await);
    let why = "step `it/b` cannot take what `it/` gives: at `/n` it is integer, and must be string";
    assert!(error.starts_with(why), "{error}");
    assert!(
        run(&workflow, rows("integer"), input("integer"))
            .await
            .is_ok()
    );

    let workflow = Workflow::builder("w")
        .step(Step::new("it").workflow(inner("a")))
        .step(Step::new("b").requires(["it"]))
        .build()
        .unwrap();
    let wanted =
        json!({ "properties": { "upstream": { "properties": { "it": rows("string") } } } });
    let error = message(run(&workflow, rows("integer"), wanted).await);
    assert!(
        error.starts_with("step `b` cannot take what `it` gives"),
        "{error}"
    );
}
