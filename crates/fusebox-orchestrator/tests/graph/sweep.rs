//! A run that dies at any of its events ends as if it had not, and calls nobody twice for one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use fusebox_orchestrator::{
    Approval, Condition, Decision, Engine, EventKind, Join, Map, Predicate, Repeat, RunStatus,
    Step, Test, Workflow, decide, load_events, load_output,
};
use serde_json::{Value, json};

use crate::support::{Bench, named, resume, run, run_id};

/// A list, a map over it, a loop with an approval behind it, two routes of which one is taken.
fn workflow() -> Workflow {
    let good = Predicate::new("/score", Test::AtLeast(2.into()));
    let long = |wanted| {
        let test = if wanted {
            Test::Greater(2.into())
        } else {
            Test::AtMost(2.into())
        };
        Condition::new("list", Predicate::new("/count", test))
    };
    Workflow::builder("w")
        .step(Step::new("list"))
        .step(
            Step::new("each")
                .requires(["list"])
                .map(Map::over("list", "/items").with_concurrency(2)),
        )
        .step(Step::new("short").requires(["list"]).when(long(false)))
        .step(Step::new("long").requires(["list"]).when(long(true)))
        .step(
            Step::new("improve")
                .requires(["short", "long"])
                .join(Join::Any)
                .repeat(Repeat::until(good, 5)),
        )
        .step(
            Step::new("go")
                .requires(["improve"])
                .approval(Approval::new("go?")),
        )
        .step(Step::new("end").requires(["go", "each"]))
        .build()
        .unwrap()
}

fn engine(bench: &Bench) -> Engine {
    let better = |input: &Value| {
        let before = input["previous"]["score"].as_u64().unwrap_or(0);
        Ok(json!({ "score": before + 1 }))
    };
    bench
        .engine()
        .agent("list", 1, |_| Ok(json!({ "items": [1, 2, 3], "count": 3 })))
        .agent("each", 3, |input| Ok(input["item"].clone()))
        .agent("improve", 1, better)
        .plain(&[("short", 1), ("long", 1), ("end", 1)])
        .build()
}

/// Approves and resumes what is suspended, to the run's end. Answers the last step's input.
async fn finish(bench: &Bench, mut status: RunStatus) -> Value {
    if status == RunStatus::Suspended {
        decide(
            bench.store.clone(),
            &run_id("r"),
            "go",
            Decision::approve("ada"),
        )
        .await
        .unwrap();
        status = resume(&engine(bench), &workflow()).await.status;
    }
    assert_eq!(status, RunStatus::Completed);
    let calls = bench.calls_of("end");
    let mut input = calls.last().unwrap().input.clone();
    input["upstream"]["go"]["at_ms"] = Value::Null;
    input
}

fn keys(bench: &Bench) -> BTreeMap<String, usize> {
    let mut calls_of_key = BTreeMap::new();
    for call in bench.calls().iter() {
        *calls_of_key.entry(call.key.clone()).or_insert(0) += 1;
    }
    calls_of_key
}

#[tokio::test(start_paused = true)]
async fn dying_at_any_event_changes_neither_the_route_nor_the_outputs_nor_the_keys() {
    let whole = Bench::new();
    let status = run(&engine(&whole), &workflow()).await.status;
    let events = load_events(&*whole.store, &run_id("r")).await.unwrap();
    // From there on all is told at one moment, between which no process can die.
    let last = events.iter().position(|event| {
        matches!(&event.event, EventKind::PartEnded { step, part: 2, .. } if step == "each")
    });
    let last = last.unwrap();
    assert!(last > 15, "{last}");
    let expected = finish(&whole, status).await;
    let expected_keys: BTreeSet<String> = keys(&whole).into_keys().collect();
    assert!(keys(&whole).values().all(|calls| *calls == 1));
    for dies_at in 1..=last {
        let bench = Bench::new();
        let seen = AtomicUsize::new(0);
        bench
            .crash_at(&engine(&bench), &workflow(), |_| {
                seen.fetch_add(1, Ordering::SeqCst) + 1 >= dies_at
            })
            .await;
        let in_flight: BTreeSet<String> = unanswered(&bench).await;
        let status = resume(&engine(&bench), &workflow()).await.status;
        assert_eq!(
            finish(&bench, status).await,
            expected,
            "died at event {dies_at}"
        );
        let keys = keys(&bench);
        let made: BTreeSet<String> = keys.keys().cloned().collect();
        assert_eq!(made, expected_keys, "died at event {dies_at}");
        for (key, calls) in keys {
            let most = 1 + usize::from(in_flight.contains(&key));
            assert!(
                calls <= most,
                "died at event {dies_at}: {calls} calls of one key"
            );
        }
    }
}

/// The keys of calls whose answers are not in the journal.
async fn unanswered(bench: &Bench) -> BTreeSet<String> {
    let mut unanswered = BTreeSet::new();
    let calls = bench.calls().clone();
    for call in calls {
        let part = call
            .input
            .get("index")
            .or_else(|| call.input.get("iteration"));
        let answered = match part.and_then(Value::as_u64) {
            Some(part) => bench.has_part(&call.agent, part).await,
            None => {
                let output = load_output(&*bench.store, &run_id("r"), &call.agent).await;
                output.unwrap().is_some()
            }
        };
        if !answered {
            unanswered.insert(call.key);
        }
    }
    unanswered
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_name_has_other_keys() {
    let bench = Bench::new();
    for name in ["one", "two"] {
        engine(&bench).run(&workflow(), named(name)).await.unwrap();
    }
    assert!(keys(&bench).values().all(|calls| *calls == 1));
}
