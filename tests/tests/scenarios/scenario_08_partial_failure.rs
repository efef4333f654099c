//! State outlives a process that is killed in the middle of a run with failing agents: what was finished
//! is kept byte for byte and not done again, what was under way is done again under the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fusebox::orchestrator::EventKind;
use fusebox::{RunOptions, RunStatus};
use fusebox_testkit::Journal;

use crate::standard::{
    COMPLETION, Chain, DATA, OPTIMIZATION, SUPERVISOR, Setup, Stage, TRIAGE, answer, shielded,
};
use crate::world::{World, fails, on_virtual_time};

const CHAIN: Chain = &[TRIAGE, SUPERVISOR, DATA, OPTIMIZATION, COMPLETION];

/// Longer than a dead process keeps a run from others.
const LEASE: Duration = Duration::from_secs(11);

fn faulty(world: &World) -> Stage {
    Setup::new(world, CHAIN)
        .fault("data=corruption:0.8")
        .fault("optimization=exhaustion:0.6")
        .build()
}

/// The outputs that a journal holds.
fn finished(journal: &Journal) -> BTreeMap<&'static str, Vec<u8>> {
    let output = |agent: &&'static str| Some((*agent, journal.output(agent)?.to_vec()));
    CHAIN.iter().filter_map(output).collect()
}

/// Runs until agents have been called `calls` times in all, and dies there; whether it came so far.
async fn run_and_die(stage: &Stage, calls: u64) -> bool {
    let mut events = stage.engine.subscribe();
    let moment = async {
        let mut seen = 0;
        while seen < calls {
            let event = events
                .recv()
                .await
                .expect("the engine is there, and nothing is missed");
            seen += u64::from(matches!(event.kind, EventKind::StepStarted { .. }));
        }
    };
    let workflow = shielded(CHAIN);
    tokio::select! {
        biased;
        () = moment => true,
        _ = stage.run(&workflow, 1) => false,
    }
}

/// What a restart finds.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    TheJournal,
    Nothing,
}

/// Kills a run at a moment that the seed chooses and goes on with it in another process; how many
/// steps were finished when it died, if it did.
async fn partial_failure(world: &World, left: Left) -> Option<usize> {
    let first = faulty(world);
    let died = run_and_die(&first, 2 + world.seed % 12).await;
    let before = first.journal(1).await;
    let kept = finished(&before);
    if let Some(time) = world.time() {
        time.pass(LEASE).await;
    }

    let (second, journal) = match left {
        Left::TheJournal => {
            let second = faulty(world);
            let id = "r1".parse().expect("a name");
            let options = RunOptions::default();
            let resumed = second.engine.resume(&shielded(CHAIN), &id, options).await;
            let report = resumed.expect("nobody owns it");
            assert_eq!(report.status, RunStatus::Completed, "{report:?}");
            let journal = second.journal(1).await;
            (second, journal)
        }
        Left::Nothing => {
            let empty = world.elsewhere();
            let second = faulty(&empty);
            second.run(&shielded(CHAIN), 1).await;
            let journal = second.journal(1).await;
            (second, journal)
        }
    };
    journal.assert_completed();
    for agent in CHAIN {
        journal.assert_output(agent, &answer(CHAIN, agent, 1));
        if let Some(bytes) = kept.get(agent) {
            assert_eq!(
                second.asked(agent),
                0,
                "{agent} had finished and was run again\n{journal}"
            );
            assert_eq!(
                journal.output(agent),
                Some(bytes.as_slice()),
                "{agent}\n{journal}"
            );
            let executions = before.record().steps[*agent].executions;
            journal.assert_executions(agent, executions);
        }
        let keys = [&first, &second].map(|stage| stage.players[agent].asked.idempotency_keys());
        let different: BTreeSet<&String> = keys.iter().flatten().collect();
        assert_eq!(different.len(), 1, "one piece of work has one key: {agent}");
    }
    died.then_some(kept.len())
}

#[test]
fn what_was_finished_is_kept_and_not_done_again_on_virtual_time() {
    let kept = on_virtual_time(async |world| partial_failure(world, Left::TheJournal).await);
    for finished in 1..CHAIN.len() {
        let moments = kept
            .iter()
            .filter(|steps| **steps == Some(finished))
            .count();
        assert!(moments > 0, "no run died after {finished} steps: {kept:?}");
    }
}

#[test]
fn everything_is_done_again_without_protection() {
    fails("had finished and was run again", async |world| {
        partial_failure(world, Left::Nothing).await
    });
}

/// The same with programs as agents, a real process and a real kill.
#[cfg(target_os = "linux")]
mod killed {
    use std::collections::BTreeSet;

    use fusebox_test_server::TestServer;
    use fusebox_testkit::Journal;
    use fusebox_tests::{Gate, Sandbox};

    const CHAIN: [&str; 5] = ["triage", "supervisor", "data", "optimization", "completion"];

    const FLOW: &str = r#"
[workflow]
name = "standard"
objective = "10m"

[agents.stage]
kind = "command"
command = ["sh", "-c", 'printf "{\"step\": \"%s\", \"by\": %s}" "$FUSEBOX_STEP" $$']

[agents.data]
kind = "command"
command = ["sh", "-c", 'printf "{\"rows\": %s}" $$']
output_schema = { type = "object", required = ["rows"], properties = { rows = { type = "integer", minimum = 1 } } }
max_attempts = 3
retry_base = "5ms"
retry_cap = "10ms"
consecutive_failures = 3
wait_duration_in_open = "50ms"
max_wait_duration_in_open = "100ms"
successes_to_close = 1
recovery_objective = "5m"

[agents.optimization]
kind = "command"
command = ["sh", "gated.sh"]
max_attempts = 3
retry_base = "5ms"
retry_cap = "10ms"
consecutive_failures = 3
wait_duration_in_open = "50ms"
max_wait_duration_in_open = "100ms"
successes_to_close = 1
recovery_objective = "5m"

[[step]]
name = "triage"
agent = "stage"

[[step]]
name = "supervisor"
agent = "stage"
requires = ["triage"]

[[step]]
name = "data"
requires = ["triage", "supervisor"]

[[step]]
name = "optimization"
requires = ["supervisor", "data"]

[[step]]
name = "completion"
agent = "stage"
requires = ["optimization"]
"#;

    fn journal(server: &TestServer) -> Journal {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let store = fusebox::state::open(server.url()).await;
            Journal::read(&*store.unwrap_or_else(|error| panic!("{error}")), "r1").await
        })
    }

    #[test]
    fn what_was_finished_is_kept_when_the_process_is_killed_on_redis() {
        let server = TestServer::start().unwrap_or_else(|error| panic!("{error}"));
        let sandbox = Sandbox::new().with_store(server.url());
        let gate = Gate::new(sandbox.path());
        sandbox.write("standard.toml", FLOW);
        let log = sandbox.execution_log();
        let faults = [
            "--fault",
            "data=corruption:0.8",
            "--fault",
            "optimization=exhaustion:0.6",
        ];
        let mut run = vec!["run", "standard.toml", "--id", "r1", "--seed", "1"];
        run.extend(["--execution-log", &log]);
        run.extend(faults);
        let running = sandbox.start(&run);
        gate.arrived("optimization", 1);
        assert_eq!(running.kill().code, None);
        sandbox.assert_nobody_left();

        let before = journal(&server);
        let calls = sandbox.calls().len();
        gate.open(1);
        let mut resume = vec![
            "resume",
            "r1",
            "--json",
            "--seed",
            "2",
            "--execution-log",
            &log,
        ];
        resume.extend(faults);
        let report = sandbox.fusebox(&resume).exited(0).json();
        assert_eq!(report["status"], "completed", "{report}");
        let after = journal(&server);
        after.assert_completed();
        let finished = &CHAIN[..3];
        for step in CHAIN {
            assert_eq!(
                before.output(step).is_some(),
                finished.contains(&step),
                "{before}"
            );
            assert!(after.output(step).is_some(), "{after}");
        }
        for step in finished {
            assert_eq!(after.output(step), before.output(step), "{step}");
        }
        let again: BTreeSet<String> = sandbox.calls()[calls..]
            .iter()
            .map(|call| call.step.clone())
            .collect();
        assert_eq!(
            again,
            BTreeSet::from(["completion".into(), "optimization".into()])
        );
        let keys = gate.arrived("optimization", 2);
        assert_eq!(keys[0], keys[1], "the same work has the same key");
        sandbox.assert_nobody_left();
    }
}
