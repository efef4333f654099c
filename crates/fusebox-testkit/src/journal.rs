//! What a run left in a store, and assertions over it.

use std::collections::BTreeMap;
use std::fmt;

use fusebox_orchestrator::{
    EventKind, EventRecord, RunId, RunRecord, RunStatus, StepRecord, StepStatus, load_events,
    load_output, load_run,
};
use fusebox_state::StateStore;
use serde_json::Value;

/// The journal of a run, as it was when it was read.
///
/// Every assertion gives the journal back, to be asked on, and panics with the whole story of the
/// run where it does not hold. Displayed, it is that story.
///
/// ```
/// use std::sync::Arc;
///
/// use fusebox_orchestrator::{Engine, Resilience, RunOptions, Step, Workflow};
/// use fusebox_testkit::{Journal, ScriptedAgent, virtual_time};
///
/// virtual_time(1, async |time| {
///     let store = Arc::new(time.memory_store());
///     let a = ScriptedAgent::new("a").answers("done");
///     let engine = Engine::builder(store.clone()).agent(a, Resilience::default()).build().unwrap();
///     let workflow = Workflow::builder("w").step(Step::new("a")).build().unwrap();
///     let options = RunOptions::default().with_id("r".parse().unwrap());
///     engine.run(&workflow, options).await.unwrap();
///
///     let journal = Journal::read(&*store, "r").await;
///     journal.assert_completed().assert_executions("a", 1);
///     assert!(journal.to_string().starts_with("run r of w: completed"));
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Journal {
    record: RunRecord,
    outputs: BTreeMap<String, Vec<u8>>,
    events: Vec<EventRecord>,
}

impl Journal {
    /// Reads the journal of the run called `run`.
    ///
    /// # Panics
    /// There is no such run, or the store cannot be read.
    pub async fn read(store: &dyn StateStore, run: &str) -> Self {
        let id: RunId = run.parse().unwrap_or_else(|error| panic!("{error}"));
        let unread = |error| -> RunRecord { panic!("the journal of run `{run}`: {error:?}") };
        let record = load_run(store, &id).await.map_or_else(unread, |record| {
            record.unwrap_or_else(|| panic!("there is no run `{run}` in {}", store.describe()))
        });
        let mut outputs = BTreeMap::new();
        for name in record.steps.keys() {
            let output = load_output(store, &id, name).await;
            let output = output.unwrap_or_else(|error| panic!("output of `{name}`: {error:?}"));
            outputs.extend(output.map(|bytes| (name.clone(), bytes)));
        }
        let events = load_events(store, &id).await;
        let events = events.unwrap_or_else(|error| panic!("events of run `{run}`: {error:?}"));
        Self {
            record,
            outputs,
            events,
        }
    }

    /// How the run stands and its steps, as the orchestrator reads them.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// What happened, oldest first.
    pub fn events(&self) -> &[EventRecord] {
        &self.events
    }

    /// The committed output of a step, byte for byte.
    pub fn output(&self, step: &str) -> Option<&[u8]> {
        self.outputs.get(step).map(Vec::as_slice)
    }

    /// Asserts that the run completed: every output there, none by fallback.
    ///
    /// # Panics
    /// It stands otherwise.
    #[track_caller]
    pub fn assert_completed(&self) -> &Self {
        self.assert_status(RunStatus::Completed)
    }

    /// Asserts how the run stands.
    ///
    /// # Panics
    /// It stands otherwise.
    #[track_caller]
    pub fn assert_status(&self, status: RunStatus) -> &Self {
        let found = self.record.head.status;
        self.check(found == status, || {
            format!("the run is {found}, not {status}")
        })
    }

    /// Asserts how a step stands.
    ///
    /// # Panics
    /// It stands otherwise, or the workflow has no such step.
    #[track_caller]
    pub fn assert_step(&self, step: &str, status: StepStatus) -> &Self {
        let found = self.step(step).status;
        self.check(found == status, || {
            format!("step `{step}` is {found}, not {status}")
        })
    }

    /// Asserts how often a step's agent was called, over all processes. It is counted before the
    /// call: after a crash, or a commit without an answer, the last one may not have begun.
    ///
    /// # Panics
    /// It was another number, or the workflow has no such step.
    #[track_caller]
    pub fn assert_executions(&self, step: &str, executions: u32) -> &Self {
        let found = self.step(step).executions;
        self.check(found == executions, || {
            format!("step `{step}` was executed {found} times, not {executions}")
        })
    }

    /// Asserts that a step's agent was never called for it.
    ///
    /// # Panics
    /// It was, or the workflow has no such step.
    #[track_caller]
    pub fn assert_never_called(&self, step: &str) -> &Self {
        self.assert_executions(step, 0)
    }

    /// Asserts that `step` was at some time not called because `by`, which it requires directly or
    /// through others, had no output: while `by` waited, or in the end.
    ///
    /// # Panics
    /// It was not, or the workflow has no such step.
    #[track_caller]
    pub fn assert_shielded_by(&self, step: &str, by: &str) -> &Self {
        let record = self.step(step);
        let told = self.events.iter().any(|event| {
            matches!(&event.event, EventKind::StepShielded { step: of, by: other }
                if of == step && other == by)
        });
        let reason = record.reason.as_deref().unwrap_or_default();
        let in_the_end =
            record.status == StepStatus::Shielded && reason.contains(&format!("`{by}`"));
        self.check(told || in_the_end, || {
            format!("step `{step}` was never shielded by `{by}`")
        })
    }

    /// Asserts a step's committed output.
    ///
    /// # Panics
    /// It is another, or there is none.
    #[track_caller]
    pub fn assert_output(&self, step: &str, output: &Value) -> &Self {
        let bytes = self.output(step);
        let found: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok());
        self.check(found.as_ref() == Some(output), || {
            let found = found.as_ref().map_or("missing".into(), Value::to_string);
            format!("the output of step `{step}` is {found}, not {output}")
        })
    }

    #[track_caller]
    fn step(&self, name: &str) -> StepRecord {
        let known = self.record.workflow.step(name).is_some();
        self.check(known, || format!("the workflow has no step `{name}`"));
        // A step whose turn never came has no record.
        self.record.steps.get(name).cloned().unwrap_or_default()
    }

    #[track_caller]
    fn check(&self, holds: bool, complaint: impl FnOnce() -> String) -> &Self {
        assert!(holds, "{}\n{self}", complaint());
        self
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.record.head;
        write!(f, "run {} of {}: {}", head.run, head.workflow, head.status)?;
        writeln!(f, "{}", because(head.reason.as_deref()))?;
        for step in self.record.workflow.steps() {
            let known = self.record.steps.get(step.name());
            let known = known.cloned().unwrap_or_default();
            let (name, status, executions) = (step.name(), known.status, known.executions);
            let reason = because(known.reason.as_deref());
            writeln!(f, "  {name}: {status}, executions {executions}{reason}")?;
        }
        for event in &self.events {
            let (seq, process) = (event.seq, event.process);
            let text = serde_json::to_string(&event.event).expect("events are plain data");
            writeln!(f, "  {seq:>4} [process {process}] {text}")?;
        }
        Ok(())
    }
}

fn because(reason: Option<&str>) -> String {
    reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default()
}
