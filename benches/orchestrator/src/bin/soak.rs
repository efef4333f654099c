//! Runs that follow each other for long: what is left of them in the process.
//!
//! A workflow of three agents with faults around them, over the store in memory, which fails now and
//! then as well; a journal is kept for five seconds. Time is virtual, so that waits and retentions
//! cost nothing. The runs are made in ten parts, after some that warm up: what is bounded fills to its
//! bound (the store's records of removals among it), and the allocator finds its size. After each part
//! everything is let run out, and what is left is compared.
//!
//! Fails, with figures, if live bytes or resident memory are not flat, or a task or slot is left.

use std::alloc::System;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, FaultyAgent, Reply, Task, agent_fn};
use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus, Step, Workflow};
use fusebox_state::{MemoryStore, StateStore};
use fusebox_testkit::{FailingStore, Operation, StoreFault, VirtualTime, virtual_time};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::Barrier;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SEED: u64 = 7;
const PARTS: u64 = 10;
/// Runs before those that count: many times what fills the store's 10,000 records of removals.
const WARM_UP: u64 = 100_000;
/// Fewer, and a tenth of them would say little.
const FEWEST: u64 = 10_000;
const IN_FLIGHT: usize = 32;
/// Calls an agent takes at once.
const SLOTS: usize = 16;
const RETENTION: Duration = Duration::from_secs(5);
/// How often the store is asked to drop what has expired, in runs.
const SWEEP: u64 = 500;
const STORE_FAULT: u64 = 5_000;

const AGENTS: [(&str, &[&str]); 3] = [
    ("fetch", &["api:0.1", "latency:0.1,delay=50ms"]),
    ("think", &["exhaustion:0.3", "timeout:0.02"]),
    ("write", &["dependency:0.05", "hang:0.01"]),
];

fn main() -> ExitCode {
    let runs = match arguments() {
        Ok(runs) => runs,
        Err(complaint) => {
            eprintln!("error: {complaint}");
            return ExitCode::from(2);
        }
    };
    match virtual_time(SEED, async |time| Soak::new(&time).run(&time, runs).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("error: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<u64, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runs = match words[..] {
        [] => 1_000_000,
        ["--runs", runs] => runs
            .parse()
            .map_err(|_| format!("`{runs}` is not a number"))?,
        _ => return Err("takes `--runs N` only".to_owned()),
    };
    if runs < FEWEST {
        return Err(format!("{runs} runs say little; at least {FEWEST}"));
    }
    Ok(runs)
}

struct Soak {
    store: Arc<FailingStore<MemoryStore>>,
    engine: Engine,
    workflow: Arc<Workflow>,
    agents: Vec<Arc<Switched>>,
    next: Arc<AtomicU64>,
    endings: BTreeMap<String, u64>,
}

/// What a part left in the end, and how much it held on the way.
struct Left {
    live_bytes: usize,
    resident_kib: u64,
}

impl Soak {
    fn new(time: &VirtualTime) -> Self {
        let store = Arc::new(FailingStore::new(time.memory_store()));
        let mut builder = Engine::builder(Arc::clone(&store) as Arc<dyn StateStore>)
            .seed(SEED)
            .retention(RETENTION);
        let mut workflow = Workflow::builder("soak");
        let mut agents: Vec<Arc<Switched>> = Vec::new();
        for (name, rules) in AGENTS {
            let agent = Arc::new(Switched::new(name, rules));
            let resilience = Resilience {
                max_concurrent_calls: Some(SLOTS),
                ..Resilience::default()
            };
            builder = builder.shared_agent(Arc::clone(&agent) as Arc<dyn Agent>, resilience);
            let mut step = Step::new(name);
            if let Some(before) = agents.last() {
                step = step.requires([before.describe().name.clone()]);
            }
            workflow = workflow.step(step);
            agents.push(agent);
        }
        let spare = agent_fn("spare", |_, _| async {
            Ok(Reply::new(json!("second best")))
        });
        Self {
            store,
            engine: builder
                .fallback("write", Arc::new(spare))
                .build()
                .expect("three agents"),
            workflow: Arc::new(workflow.build().expect("a chain")),
            agents,
            next: Arc::default(),
            endings: BTreeMap::new(),
        }
    }

    async fn run(&mut self, time: &VirtualTime, runs: u64) -> Result<(), String> {
        let began = Instant::now();
        let mut parts = Vec::new();
        for part in 0..=PARTS {
            let left = self.part(time, WARM_UP + runs * part / PARTS).await?;
            eprintln!(
                "{:>9} runs, {:>4} s: {} bytes live, {} KiB resident",
                self.next.load(Ordering::Relaxed),
                began.elapsed().as_secs(),
                left.live_bytes,
                left.resident_kib
            );
            parts.push(left);
        }
        self.every_slot_is_back(time).await?;
        println!(
            "{runs} runs after {WARM_UP} to warm up, in {:.0} s of real time, {:.1} h of virtual time",
            began.elapsed().as_secs_f64(),
            time.elapsed().as_secs_f64() / 3600.0
        );
        println!("endings: {:?}", self.endings);
        println!("store operations struck: {}", self.store.struck_in_all());
        judge(&parts[1], &parts[PARTS as usize])
    }

    /// Makes runs until there have been `until` in all, lets them run out, and looks at what is left.
    async fn part(&mut self, time: &VirtualTime, until: u64) -> Result<Left, String> {
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let worker = Worker {
                    store: Arc::clone(&self.store),
                    engine: self.engine.clone(),
                    workflow: Arc::clone(&self.workflow),
                    next: Arc::clone(&self.next),
                };
                tokio::spawn(worker.work(until))
            })
            .collect();
        let mut resident = Vec::new();
        for worker in workers {
            let (endings, seen) = worker.await.map_err(|error| error.to_string())?;
            for (status, count) in endings {
                *self.endings.entry(status).or_default() += count;
            }
            resident.extend(seen);
        }
        time.pass(RETENTION + Duration::from_secs(1)).await;
        self.store.heal_and_sweep().await;
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        if tasks > 0 {
            return Err(format!("{tasks} tasks are left after {until} runs"));
        }
        let stats = ALLOCATOR.stats();
        Ok(Left {
            live_bytes: stats.bytes_allocated - stats.bytes_deallocated,
            resident_kib: resident.iter().sum::<u64>() / resident.len().max(1) as u64,
        })
    }

    /// With the faults off, every agent has all its slots in use at once, or the runs do not end.
    async fn every_slot_is_back(&self, time: &VirtualTime) -> Result<(), String> {
        for agent in &self.agents {
            agent.faults.store(false, Ordering::Relaxed);
        }
        time.pass(Duration::from_secs(3600)).await;
        // A few, one after the other, for the probes of what was left open.
        for at in 0..20 {
            self.healthy(format!("probe-{at}")).await?;
        }
        for agent in &self.agents {
            agent.together.store(true, Ordering::Relaxed);
        }
        let runs: Vec<_> = (0..SLOTS)
            .map(|at| self.healthy(format!("together-{at}")))
            .collect();
        for run in join_all(runs).await {
            run.map_err(|error| format!("a slot of {SLOTS} did not come back: {error}"))?;
        }
        Ok(())
    }

    async fn healthy(&self, name: String) -> Result<(), String> {
        let options = RunOptions::default().with_id(name.parse().expect("a name"));
        let report = self.engine.run(&self.workflow, options).await;
        let report = report.map_err(|error| error.to_string())?;
        match report.status {
            RunStatus::Completed => Ok(()),
            status => Err(format!("run {name} ended {status}: {:?}", report.reason)),
        }
    }
}

/// Each on the same task, so that none begins before all are there.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn judge(first: &Left, last: &Left) -> Result<(), String> {
    let grown = |first: f64, last: f64| (last / first - 1.0) * 100.0;
    let live = grown(first.live_bytes as f64, last.live_bytes as f64);
    let resident = grown(first.resident_kib as f64, last.resident_kib as f64);
    println!(
        "live bytes: {} after the first tenth, {} after the last ({live:+.2} %)",
        first.live_bytes, last.live_bytes
    );
    println!(
        "resident: {} KiB in the first tenth, {} KiB in the last ({resident:+.2} %)",
        first.resident_kib, last.resident_kib
    );
    // Names and texts of the last events differ in length from part to part: that, and no more.
    if live > 1.0 {
        return Err(format!("live bytes grew by {live:.2} %, allowed is 1 %"));
    }
    if resident > 5.0 {
        return Err(format!(
            "resident memory grew by {resident:.2} %, allowed are 5 %"
        ));
    }
    Ok(())
}

struct Worker {
    store: Arc<FailingStore<MemoryStore>>,
    engine: Engine,
    workflow: Arc<Workflow>,
    next: Arc<AtomicU64>,
}

impl Worker {
    async fn work(self, until: u64) -> (BTreeMap<String, u64>, Vec<u64>) {
        let mut endings = BTreeMap::new();
        let mut resident = Vec::new();
        while let Ok(run) = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next < until).then_some(next + 1)
            })
        {
            let status = self.one(run).await;
            *endings.entry(status).or_default() += 1;
            if run % SWEEP == 0 {
                self.store.sweep().await;
                resident.push(resident_kib());
            }
            if run % STORE_FAULT == 0 {
                self.store.strike(run / STORE_FAULT);
            }
        }
        (endings, resident)
    }

    /// A run; one in a hundred is cancelled in its midst.
    async fn one(&self, run: u64) -> String {
        // Names of one length, so that what is kept of them does not grow with the number.
        let id = format!("soak-{run:010}").parse().expect("a name");
        let options = RunOptions::default().with_id(id);
        let cancellation = options.cancellation.clone();
        let work = self.engine.run(&self.workflow, options);
        let report = if run % 100 == 99 {
            let cancel = async {
                tokio::time::sleep(Duration::from_millis(run % 300)).await;
                cancellation.cancel();
            };
            tokio::join!(work, cancel).0
        } else {
            work.await
        };
        match report {
            Ok(report) => report.status.to_string(),
            // The look whether the run exists was struck: nothing began.
            Err(_) => "not started".to_owned(),
        }
    }
}

/// What a soak does to its store.
trait Harm {
    async fn sweep(&self);
    async fn heal_and_sweep(&self);
    fn strike(&self, number: u64);
    fn struck_in_all(&self) -> u64;
}

static STRUCK: AtomicU64 = AtomicU64::new(0);

impl Harm for FailingStore<MemoryStore> {
    /// A store in memory drops what has expired when it is asked for what there is.
    async fn sweep(&self) {
        let listed = self.inner().partitions("run.", None, 1).await;
        listed.expect("the store in memory answers");
    }

    async fn heal_and_sweep(&self) {
        STRUCK.fetch_add(self.struck(), Ordering::Relaxed);
        self.heal();
        self.sweep().await;
    }

    /// By turns: a commit that is not made, one whose answer is lost, a renewal that fails.
    fn strike(&self, number: u64) {
        STRUCK.fetch_add(self.struck(), Ordering::Relaxed);
        self.heal();
        self.inject(match number % 3 {
            0 => StoreFault::unavailable_before()
                .on(Operation::Commit)
                .times(3),
            1 => StoreFault::unavailable_after()
                .on(Operation::Commit)
                .times(3),
            _ => StoreFault::unavailable_before()
                .on(Operation::Renew)
                .times(3),
        });
    }

    fn struck_in_all(&self) -> u64 {
        STRUCK.load(Ordering::Relaxed)
    }
}

/// An agent with faults around it that can be switched off, and that then can wait for company.
struct Switched {
    faulty: FaultyAgent,
    faults: AtomicBool,
    together: AtomicBool,
    barrier: Barrier,
}

impl Switched {
    fn new(name: &str, rules: &[&str]) -> Self {
        let healthy = agent_fn(name, |task: Task, _| async move {
            Ok(Reply::new(
                json!({ "from": task.input["step"], "text": "x".repeat(180) }),
            ))
        });
        let rules = rules.iter().map(|rule| rule.parse().expect("a rule"));
        Self {
            faulty: FaultyAgent::new(Arc::new(healthy), rules.collect(), SEED),
            faults: AtomicBool::new(true),
            together: AtomicBool::new(false),
            barrier: Barrier::new(SLOTS),
        }
    }
}

#[async_trait]
impl Agent for Switched {
    fn describe(&self) -> &Description {
        self.faulty.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        if self.faults.load(Ordering::Relaxed) {
            return self.faulty.call(task, cx).await;
        }
        if self.together.load(Ordering::Relaxed) {
            self.barrier.wait().await;
        }
        Ok(Reply::new(json!("well")))
    }
}

/// What the system counts as this process's memory; 0 where it does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
