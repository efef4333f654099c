//! A run's journal as a store gives it back: the first byte chooses the record that is not what was written, the others
//! are what stands there.

use std::cell::OnceCell;

use fusebox_orchestrator::{
    EventRecord, RunHead, RunId, RunRecord, StepRecord, list_runs, load_events, load_run,
};
use fusebox_state::{Commit, CommitOutcome, Expect, Key, MemoryStore, Partition, StateStore};
use tokio::runtime::{Builder, Runtime};

use crate::text::{assert_same, json};
use crate::workflow_file::check_workflow;

/// A journal as it should be, one record a row.
const GOOD: [(&str, &str); 5] = [
    ("head", include_str!("journal/head.json")),
    ("definition", include_str!("journal/definition.json")),
    ("step.a", include_str!("journal/step.json")),
    ("breakers", include_str!("journal/breakers.json")),
    ("event.000000000000", include_str!("journal/event.json")),
];

pub(crate) fn holds(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    let Some((choice, record)) = bytes.split_first() else {
        return;
    };
    let (damaged, _) = GOOD[usize::from(*choice) % GOOD.len()];
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let runtime = Builder::new_current_thread().build();
            runtime.expect("a runtime without drivers")
        });
        runtime.block_on(read_with(damaged, record));
    });
}

async fn read_with(damaged: &str, record: &[u8]) {
    let id: RunId = "r".parse().expect("a plain name");
    let store = MemoryStore::new();
    let partition = Partition::try_new("run.r").expect("a plain name");
    let mut commit = Commit::new(fusebox_state::WriteId::random());
    for (key, good) in GOOD {
        let value = if key == damaged {
            record
        } else {
            good.as_bytes()
        };
        let key = Key::try_new(key).expect("a plain name");
        commit = commit.put(key, Expect::Absent, value.to_vec());
    }
    let written = store.commit(&partition, commit).await;
    if !matches!(written, Ok(CommitOutcome::Applied { .. })) {
        return; // larger than a value may be
    }
    match load_run(&store, &id).await {
        Ok(run) => check_run(&run.expect("it has a head")),
        Err(error) => assert!(error.to_string().contains("`r`"), "{error}"),
    }
    match load_events(&store, &id).await {
        Ok(events) => events.iter().for_each(assert_same::<EventRecord>),
        Err(error) => assert!(error.to_string().contains("`event.0"), "{error}"),
    }
    let listed = list_runs(&store).await;
    assert!(listed.is_err() || listed.is_ok_and(|heads| heads.len() == 1));
    if damaged == "head" {
        let _ = json::<RunHead>(record);
    }
}

fn check_run(run: &RunRecord) {
    assert_same(&run.head);
    check_workflow(&run.workflow);
    run.steps.values().for_each(assert_same::<StepRecord>);
}
