//! A journal that an older program wrote is resumed; a newer one's is refused with the reason.

use fusebox_orchestrator::{EngineError, HistoryError, RunOptions, RunStatus, Step, Workflow};
use fusebox_state::{Commit, CommitOutcome, Expect, Key, StateStore, WriteId};
use serde_json::{Value, json};

use crate::support::{Bench, partition, resume, run_id, starts};

fn workflow() -> Workflow {
    Workflow::builder("w")
        .step(Step::new("a"))
        .step(Step::new("b").requires(["a"]))
        .build()
        .unwrap()
}

/// A run that died in its second step, in a journal of format `format`.
async fn left_in(format: u32) -> Bench {
    let bench = Bench::new();
    let first = bench.engine().plain(&[("a", 1), ("b", 9)]).build();
    bench
        .crash_at(&first, &workflow(), |kind| starts(kind, "b"))
        .await;
    let key = Key::try_new("head").unwrap();
    let entry = bench.store.get(&partition(), &key).await.unwrap().unwrap();
    let mut head: Value = serde_json::from_slice(&entry.value).unwrap();
    head["format"] = json!(format);
    let fence = bench.lease(None).await;
    let commit = Commit::new(WriteId::random()).fenced(fence.clone());
    let commit = commit.put(key, Expect::Any, serde_json::to_vec(&head).unwrap());
    let outcome = bench.store.commit(&partition(), commit).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Applied { .. }),
        "{outcome:?}"
    );
    let _ = bench.store.release(&partition(), &fence).await.unwrap();
    bench
}

#[tokio::test(start_paused = true)]
async fn a_run_of_an_older_format_is_resumed() {
    let bench = left_in(1).await;
    let report = resume(
        &bench.engine().plain(&[("a", 1), ("b", 1)]).build(),
        &workflow(),
    )
    .await;
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(
        (bench.calls_of("a").len(), bench.calls_of("b").len()),
        (1, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_newer_format_is_refused_with_the_reason() {
    let bench = left_in(fusebox_orchestrator::JOURNAL_FORMAT + 1).await;
    let engine = bench.engine().plain(&[("a", 1), ("b", 1)]).build();
    let refused = engine
        .resume(&workflow(), &run_id("r"), RunOptions::default())
        .await;
    let Err(EngineError::History(newer @ HistoryError::NewerFormat { .. })) = refused else {
        panic!("{refused:?}")
    };
    assert!(newer.to_string().contains("use a newer fusebox"), "{newer}");
}
