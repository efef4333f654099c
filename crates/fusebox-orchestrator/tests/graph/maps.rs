//! A map calls its agent once per item, few at a time, and never again for an item that is finished.

use std::collections::BTreeSet;
use std::time::Duration;

use fusebox_agent::AgentError;
use fusebox_orchestrator::{
    Engine, EventKind, Map, OnUnavailable, RunStatus, Step, StepStatus, Workflow, load_events,
    load_output,
};
use serde_json::{Value, json};

use crate::support::{Bench, Members, resume, run, run_id};

fn workflow(concurrency: u32) -> Workflow {
    let map = Map::over("list", "/items").with_concurrency(concurrency);
    Workflow::builder("w")
        .step(Step::new("list"))
        .step(Step::new("each").requires(["list"]).map(map))
        .step(Step::new("end").requires(["each"]))
        .build()
        .unwrap()
}

/// A list of `count` numbers, and the step behind the map.
fn around(bench: &Bench, count: u64) -> Members {
    let items: Vec<u64> = (0..count).collect();
    let list = move |_: &Value| Ok(json!({ "items": items }));
    bench.engine().agent("list", 1, list).plain(&[("end", 1)])
}

fn doubles(input: &Value) -> Result<Value, AgentError> {
    Ok(json!(input["item"].as_u64().unwrap() * 2))
}

fn doubling(bench: &Bench, count: u64) -> Engine {
    around(bench, count).agent("each", 10, doubles).build()
}

async fn output(bench: &Bench, step: &str) -> Value {
    let output = load_output(&*bench.store, &run_id("r"), step)
        .await
        .unwrap();
    serde_json::from_slice(&output.unwrap()).unwrap()
}

fn part_ended(kind: &EventKind, wanted: u32) -> bool {
    matches!(kind, EventKind::PartEnded { part, .. } if *part == wanted)
}

#[tokio::test(start_paused = true)]
async fn results_come_in_the_order_of_the_items_and_each_call_has_its_own_key() {
    let bench = Bench::new();
    let engine = around(&bench, 3).agent("each", 1, doubles).build();
    let report = run(&engine, &workflow(3)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(output(&bench, "each").await, json!([0, 2, 4]));
    assert_eq!(report.step("each").unwrap().executions, 3);
    let calls = bench.calls_of("each");
    let keys: BTreeSet<&String> = calls.iter().map(|call| &call.key).collect();
    assert_eq!(keys.len(), 3);
    assert!(
        calls
            .iter()
            .all(|call| call.input["index"] == call.input["item"])
    );
    assert_eq!(
        calls[0].input["upstream"],
        json!({}),
        "not the whole list with every item"
    );
    assert_eq!(
        bench.calls_of("end")[0].input["upstream"]["each"],
        json!([0, 2, 4])
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_the_limit_are_in_flight_and_a_slot_is_filled_as_it_falls_free() {
    let at = |bench: &Bench| -> Vec<u64> {
        let calls = bench.calls_of("each");
        calls.iter().map(|call| call.at.as_secs()).collect()
    };
    for (limit, expected) in [(2, vec![1, 1, 11, 11, 21]), (5, vec![1; 5])] {
        let bench = Bench::new();
        run(&doubling(&bench, 5), &workflow(limit)).await;
        assert_eq!(at(&bench), expected);
    }
    // The first item is slow; the other slot goes on.
    let bench = Bench::new();
    let slow_first = fusebox_agent::agent_fn("each", |task, _| async move {
        let first = task.input["item"] == 0;
        tokio::time::sleep(Duration::from_secs(if first { 30 } else { 5 })).await;
        Ok(fusebox_agent::Reply::new(task.input["item"].clone()))
    });
    let engine = around(&bench, 4).with(slow_first).build();
    let report = run(&engine, &workflow(2)).await;
    assert_eq!(report.step("each").unwrap().duration_ms, Some(30_000));
    assert_eq!(output(&bench, "each").await, json!([0, 1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn items_finished_before_a_crash_are_not_called_again() {
    let bench = Bench::new();
    let workflow = workflow(2);
    bench
        .crash_at(&doubling(&bench, 6), &workflow, |kind| part_ended(kind, 3))
        .await;
    let before: BTreeSet<String> = bench
        .calls_of("each")
        .into_iter()
        .map(|call| call.key)
        .collect();
    let report = resume(&doubling(&bench, 6), &workflow).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(output(&bench, "each").await, json!([0, 2, 4, 6, 8, 10]));
    let mut calls_of_item = [0; 6];
    for call in bench.calls_of("each") {
        calls_of_item[call.input["item"].as_u64().unwrap() as usize] += 1;
    }
    // Two pairs were finished, the third may have been in flight.
    assert_eq!(calls_of_item[..4], [1; 4]);
    assert!(
        calls_of_item[4..]
            .iter()
            .all(|calls| (1..=2).contains(calls))
    );
    let all: BTreeSet<String> = bench
        .calls_of("each")
        .into_iter()
        .map(|call| call.key)
        .collect();
    assert_eq!(all.len(), 6, "a call made again has the key it had");
    assert!(before.is_subset(&all));
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_middle_is_waited_for_and_only_what_is_missing_is_called() {
    let bench = Bench::new();
    let failures = std::sync::atomic::AtomicU32::new(0);
    let flaky = move |input: &Value| {
        let failed = failures.load(std::sync::atomic::Ordering::SeqCst);
        if input["item"] == 2 && failed < 3 {
            failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return Err(AgentError::api("down"));
        }
        doubles(input)
    };
    let engine = around(&bench, 5).agent("each", 1, flaky).build();
    let report = run(&engine, &workflow(2)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(output(&bench, "each").await, json!([0, 2, 4, 6, 8]));
    let items: Vec<u64> = bench
        .calls_of("each")
        .iter()
        .map(|call| call.input["item"].as_u64().unwrap())
        .collect();
    for item in [0, 1, 3, 4] {
        assert_eq!(
            items.iter().filter(|called| **called == item).count(),
            1,
            "{items:?}"
        );
    }
    assert_eq!(items.iter().filter(|called| **called == 2).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_done_ends_the_step_as_its_policy_says_once_its_siblings_are_over() {
    for (policy, expected) in [
        (OnUnavailable::Fail, StepStatus::Failed),
        (OnUnavailable::Wait, StepStatus::Failed),
        (OnUnavailable::Skip, StepStatus::Skipped),
    ] {
        let bench = Bench::new();
        let map = Map::over("list", "/items").with_concurrency(2);
        let workflow = Workflow::builder("w")
            .step(Step::new("list"))
            .step(
                Step::new("each")
                    .requires(["list"])
                    .map(map)
                    .on_unavailable(policy),
            )
            .build()
            .unwrap();
        let refuses = |input: &Value| match input["item"].as_u64() {
            Some(1) => Err(AgentError::invalid_input("it cannot")),
            _ => doubles(input),
        };
        let engine = around(&bench, 9).agent("each", 1, refuses).build();
        let report = run(&engine, &workflow).await;
        assert_eq!(report.step("each").unwrap().status, expected);
        assert_eq!(bench.calls_of("each").len(), 2, "no further item is begun");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_done_at_once_and_what_is_no_list_fails_its_step() {
    let bench = Bench::new();
    let report = run(&doubling(&bench, 0), &workflow(2)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(output(&bench, "each").await, json!([]));
    assert_eq!(bench.calls_of("each").len(), 0);

    let bench = Bench::new();
    let engine = bench
        .engine()
        .plain(&[("list", 1), ("each", 1), ("end", 1)])
        .build();
    let report = run(&engine, &workflow(2)).await;
    assert_eq!(report.status, RunStatus::Failed);
    assert!(
        report
            .reason
            .unwrap()
            .contains("`list/items` is not a list")
    );
}

#[tokio::test(start_paused = true)]
async fn a_journal_grows_with_the_number_of_items_and_not_with_its_square() {
    let mut sizes = Vec::new();
    for count in [50, 100] {
        let bench = Bench::new();
        run(&doubling(&bench, count), &workflow(8)).await;
        let events = load_events(&*bench.store, &run_id("r")).await.unwrap();
        let parts = events
            .iter()
            .filter(|event| matches!(event.event, EventKind::PartEnded { .. }));
        assert_eq!(parts.count() as u64, count);
        sizes.push(bench.bytes().await);
    }
    // Twice the items, a little less than twice the bytes: what every run has is there once.
    assert!(sizes[1] < 2 * sizes[0], "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn while_its_agent_is_probed_a_map_makes_one_call() {
    let bench = Bench::new();
    let engine = doubling(&bench, 4);
    let breaker = engine.breaker("each").unwrap();
    breaker.trip("by hand");
    let report = run(&engine, &workflow(4)).await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    let counts = breaker.counts();
    assert_eq!((counts.admitted, counts.rejected), (4, 0));
}
