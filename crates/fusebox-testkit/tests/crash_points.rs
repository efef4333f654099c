//! A process that dies at any commit of a run, before or after it is made, leaves a run that completes:
//! what was answered is not asked again, and each effect happens once per idempotency key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::{
    Approval, Decision, Engine, Inner, Predicate, Repeat, Resilience, RunId, RunOptions, RunStatus,
    Step, Test, Workflow, decide, load_output, load_run,
};
use fusebox_state::{Key, MemoryStore, Partition, StateStore};
use fusebox_testkit::{FailingStore, Operation, StoreFault, VirtualTime, virtual_time};
use serde_json::json;

/// Longer than a run's lease lasts.
const LEASE: Duration = Duration::from_secs(11);

/// One call of an agent.
#[derive(Debug, Clone)]
struct Called {
    step: String,
    key: String,
    /// Which answer of a repeat.
    iteration: Option<u64>,
}

type Store = FailingStore<MemoryStore>;

/// A run, and the world around it that outlives the processes that work on it.
struct World {
    time: VirtualTime,
    store: Arc<Store>,
    workflow: Workflow,
    calls: Arc<Mutex<Vec<Called>>>,
}

impl World {
    fn new(time: VirtualTime, workflow: Workflow) -> Self {
        Self {
            time,
            store: Arc::new(FailingStore::new(time.memory_store())),
            workflow,
            calls: Arc::default(),
        }
    }

    /// A process that begins: agents that take as many seconds as their place in the graph.
    fn engine(&self) -> Engine {
        let mut engine = Engine::builder(self.store.clone()).seed(self.time.seed());
        let mut known = BTreeSet::new();
        for (place, step) in self.workflow.steps().iter().enumerate() {
            let Some(name) = step.agent().filter(|name| known.insert(*name)) else {
                continue;
            };
            let (calls, takes) = (
                Arc::clone(&self.calls),
                Duration::from_secs(1 + place as u64),
            );
            let agent = agent_fn(name, move |task, cx| {
                calls.lock().unwrap().push(Called {
                    step: cx.step().to_owned(),
                    key: cx.idempotency_key().to_owned(),
                    iteration: task.input["iteration"].as_u64(),
                });
                async move {
                    tokio::time::sleep(takes).await;
                    let score = task.input["iteration"].as_u64().unwrap_or(0) + 1;
                    Ok(Reply::new(json!({ "of": cx.step(), "score": score })))
                }
            });
            engine = engine.agent(agent, Resilience::default());
        }
        engine.build().expect("agents of different names")
    }

    /// Does what is due next: runs, decides or resumes. Answers whether the run has delivered.
    async fn go_on(&self, id: &RunId) -> bool {
        let known = load_run(&*self.store, id).await.expect("it can be read");
        let Some(known) = known else {
            let options = RunOptions::default().with_id(id.clone());
            let report = self.engine().run(&self.workflow, options).await;
            return report.expect("a run of a new name").status.is_delivered();
        };
        if known.head.status == RunStatus::Suspended {
            let yes = Decision::approve("ada");
            let decided = decide(self.store.clone(), id, "go", yes).await;
            decided.expect("it waits for a decision");
            return false;
        }
        let options = RunOptions::default();
        let report = self.engine().resume(&known.workflow, id, options).await;
        report
            .expect("a run that is nobody's")
            .status
            .is_delivered()
    }

    /// Process after process, until one delivers or dies. Answers whether one died.
    async fn until_delivered_or_dead(&self, id: &RunId) -> bool {
        for _ in 0..10 {
            let delivered = tokio::select! {
                biased;
                () = self.store.died() => return true,
                delivered = self.go_on(id) => delivered,
            };
            if delivered {
                return false;
            }
            self.time.pass(LEASE).await;
        }
        panic!("it never ends");
    }

    /// The next process begins, once the lease of the dead one is over.
    async fn bury(&self) {
        self.store.heal();
        self.time.pass(LEASE).await;
    }

    fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap().clone()
    }

    /// The calls of each key.
    fn effects(&self) -> BTreeMap<String, usize> {
        let mut effects = BTreeMap::new();
        for call in self.calls() {
            *effects.entry(call.key).or_insert(0) += 1;
        }
        effects
    }

    /// The keys of the calls whose answers are on record.
    async fn answered(&self) -> BTreeSet<String> {
        let mut answered = BTreeSet::new();
        for call in self.calls() {
            let on_record = match call.iteration {
                None => {
                    let output = load_output(&*self.store, &run("r"), &call.step).await;
                    output.expect("it can be read").is_some()
                }
                Some(iteration) => {
                    let key = Key::try_new(format!("part.{}.{iteration:06}", call.step));
                    let key = key.expect("a plain name");
                    let partition = Partition::try_new("run.r").expect("a plain name");
                    let part = self.store.get(&partition, &key).await;
                    part.expect("it can be read").is_some()
                }
            };
            if on_record {
                answered.insert(call.key);
            }
        }
        answered
    }

    /// That the same effects happened as where nobody died, each once, and no answer was asked for
    /// again that was on record at the death.
    fn judge(&self, whole: &BTreeSet<String>, answered: &BTreeSet<String>) -> Result<(), String> {
        let effects = self.effects();
        let made: BTreeSet<String> = effects.keys().cloned().collect();
        if made != *whole {
            let (made, whole) = (made.len(), whole.len());
            return Err(format!("{made} effects, {whole} where nobody died"));
        }
        let again = effects.iter().find(|(key, calls)| {
            let most = 1 + usize::from(!answered.contains(*key));
            **calls > most
        });
        match again {
            None => Ok(()),
            Some((key, calls)) => Err(format!("{calls} calls of key {key}")),
        }
    }
}

fn run(name: &str) -> RunId {
    name.parse().expect("a plain name")
}

fn build(name: &str, steps: impl IntoIterator<Item = Step>) -> Workflow {
    let builder = Workflow::builder(name);
    let builder = steps
        .into_iter()
        .fold(builder, |builder, step| builder.step(step));
    let builder = builder.objective(Duration::from_secs(24 * 3600));
    builder.build().expect("a graph")
}

/// The six agents of the standard workflow.
fn chain() -> Workflow {
    let steps = [
        Step::new("triage"),
        Step::new("supervisor").requires(["triage"]),
        Step::new("data").requires(["triage", "supervisor"]),
        Step::new("optimization").requires(["supervisor", "data"]),
        Step::new("aggregation").requires(["data", "optimization"]),
        Step::new("completion").requires(["aggregation"]),
    ];
    build("standard", steps)
}

fn fan_out() -> Workflow {
    let workers: Vec<String> = (0..20).map(|n| format!("worker-{n:02}")).collect();
    let end = Step::new("end").requires(&workers);
    let workers = workers
        .iter()
        .map(|name| Step::new(name).requires(["begin"]));
    build(
        "wide",
        [Step::new("begin")].into_iter().chain(workers).chain([end]),
    )
}

fn loop_with_approval() -> Workflow {
    let good = Predicate::new("/score", Test::AtLeast(4.into()));
    let steps = [
        Step::new("improve").repeat(Repeat::until(good, 6)),
        Step::new("go")
            .requires(["improve"])
            .approval(Approval::new("go?")),
        Step::new("end").requires(["go"]),
    ];
    build("loop", steps)
}

fn inside() -> Workflow {
    let inner = build(
        "inner",
        [
            Step::new("left"),
            Step::new("right"),
            Step::new("both").requires(["left", "right"]),
        ],
    );
    let steps = [
        Step::new("begin"),
        Step::new("it")
            .requires(["begin"])
            .workflow(Inner::new(inner)),
        Step::new("end").requires(["it"]),
    ];
    build("outer", steps)
}

/// What a run without a death does: its keys, and how many commits it makes.
async fn whole(time: VirtualTime, workflow: Workflow) -> (BTreeSet<String>, u64) {
    let world = World::new(time, workflow);
    assert!(!world.until_delivered_or_dead(&run("r")).await);
    let effects = world.effects();
    assert!(effects.values().all(|calls| *calls == 1), "{effects:?}");
    let commits = world.store.calls(Operation::Commit);
    (effects.into_keys().collect(), commits)
}

/// Dies at every commit of a run of `workflow`, before and after it is made, goes on as `then` says,
/// and answers what was judged, by the commit.
fn sweep(
    make: fn() -> Workflow,
    then: impl AsyncFn(&mut World),
) -> Vec<(u64, bool, usize, Result<(), String>)> {
    virtual_time(1, async |time| {
        let (keys, commits) = whole(time, make()).await;
        let mut judged = Vec::new();
        for commit in 0..commits {
            for made in [false, true] {
                let mut world = World::new(time, make());
                let fault = if made {
                    StoreFault::dies_after()
                } else {
                    StoreFault::dies_before()
                };
                let here = fault.on(Operation::Commit).skipping(commit).times(1);
                world.store.inject(here);
                let died = world.until_delivered_or_dead(&run("r")).await;
                assert!(died, "no death at commit {commit} of {commits}");
                world.bury().await;
                let answered = world.answered().await;
                then(&mut world).await;
                let verdict = world.judge(&keys, &answered);
                judged.push((commit, made, answered.len(), verdict));
            }
        }
        judged
    })
}

fn survives(make: fn() -> Workflow, least: usize) {
    let judged = sweep(make, async |world| {
        assert!(!world.until_delivered_or_dead(&run("r")).await);
        let record = load_run(&*world.store, &run("r")).await;
        let head = record.expect("it can be read").expect("it is there").head;
        assert_eq!(head.status, RunStatus::Completed, "{head:?}");
    });
    assert!(judged.len() >= 2 * least, "{} deaths", judged.len());
    for (commit, made, _, verdict) in judged {
        let when = if made { "after" } else { "before" };
        assert_eq!(verdict, Ok(()), "died {when} commit {commit} was made");
    }
}

#[test]
fn a_chain_of_six_survives_a_death_at_every_commit() {
    survives(chain, 7);
}

#[test]
fn a_fan_out_to_twenty_survives_a_death_at_every_commit() {
    survives(fan_out, 23);
}

#[test]
fn a_loop_with_an_approval_survives_a_death_at_every_commit() {
    survives(loop_with_approval, 8);
}

#[test]
fn a_workflow_inside_another_survives_a_death_at_every_commit() {
    survives(inside, 6);
}

/// The count sees what the journal saves: without it, every answer is asked for once more.
#[test]
fn a_resume_that_ignores_the_journal_is_told_by_the_count_of_calls() {
    for make in [chain, fan_out, loop_with_approval, inside] {
        let judged = sweep(make, async |world| {
            let forgetful = FailingStore::new(world.time.memory_store());
            world.store = Arc::new(forgetful);
            assert!(!world.until_delivered_or_dead(&run("r")).await);
        });
        let known = judged.iter().filter(|(_, _, answered, _)| *answered > 0);
        assert!(known.clone().count() > 5);
        for (commit, _, answered, verdict) in known {
            assert!(verdict.is_err(), "commit {commit}, {answered} answers");
        }
    }
}

/// Keys that are not the run's own would let each effect happen again.
#[test]
fn a_resume_under_another_name_is_told_by_the_count_of_effects() {
    let judged = sweep(chain, async |world| {
        assert!(!world.until_delivered_or_dead(&run("other")).await);
    });
    for (commit, _, _, verdict) in judged {
        assert!(verdict.is_err(), "commit {commit}");
    }
}
