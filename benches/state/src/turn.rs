//! Who is measured, and how they take turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fusebox_state::{Commit, Expect, Key, Partition, StateStore, WriteId};
use tokio::runtime::Runtime;

use crate::floors::{Script, VALUE_BYTES};

const ROUNDS: usize = 15;
/// The first rounds warm up.
const WARM_UP: usize = 2;
const TURN: Duration = Duration::from_millis(250);

type Work<'a> = Box<dyn Fn(Instant) -> Pin<Box<dyn Future<Output = Vec<Duration>> + Send>> + 'a>;

/// Writes until a moment comes; answers how long each write took.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    work: Work<'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn blocking(name: &'static str, write: impl Fn() + 'a) -> Self {
        let work = move |until| {
            let mut took = Vec::new();
            while Instant::now() < until {
                let began = Instant::now();
                write();
                took.push(began.elapsed());
            }
            Box::pin(std::future::ready(took)) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self {
            name,
            work: Box::new(work),
        }
    }

    pub(crate) fn store(name: &'static str, store: Arc<dyn StateStore>, writers: usize) -> Self {
        let work = move |until| {
            let store = Arc::clone(&store);
            many(writers, until, move |writer| {
                let (store, partition) = (Arc::clone(&store), partition(writer));
                let key = Key::try_new("step").expect("a name");
                async move {
                    let commit = Commit::new(WriteId::random());
                    let commit = commit.put(key, Expect::Any, vec![7; VALUE_BYTES]);
                    let outcome = store.commit(&partition, commit).await.expect("an answer");
                    assert!(outcome.is_applied());
                }
            })
        };
        Self {
            name,
            work: Box::new(work),
        }
    }

    pub(crate) fn asynchronous(name: &'static str, writers: usize, script: Script) -> Self {
        let work = move |until| {
            let script = script.clone();
            many(writers, until, move |writer| {
                let script = script.clone();
                async move { script.write(writer).await }
            })
        };
        Self {
            name,
            work: Box::new(work),
        }
    }
}

pub(crate) fn partition(writer: usize) -> Partition {
    Partition::try_new(format!("run-{writer}")).expect("a name")
}

fn many<F>(
    writers: usize,
    until: Instant,
    write: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Pin<Box<dyn Future<Output = Vec<Duration>> + Send>>
where
    F: Future<Output = ()> + Send,
{
    Box::pin(async move {
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let write = write.clone();
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    while Instant::now() < until {
                        let began = Instant::now();
                        write(writer).await;
                        took.push(began.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took = Vec::new();
        for task in tasks {
            took.extend(task.await.expect("no panic"));
        }
        took
    })
}

/// What was measured of one contender.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    /// Commits per second.
    pub(crate) rate: f64,
    /// Of the first contender's rate in the same round.
    pub(crate) ratio: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) struct Turns;

impl Turns {
    pub(crate) fn run(runtime: &Runtime, contenders: Vec<Contender<'_>>) -> Vec<Figures> {
        let mut rates = vec![Vec::new(); contenders.len()];
        let mut took = vec![Vec::new(); contenders.len()];
        for round in 0..WARM_UP + ROUNDS {
            for (at, contender) in contenders.iter().enumerate() {
                let began = Instant::now();
                let writes = runtime.block_on((contender.work)(began + TURN));
                let rate = writes.len() as f64 / began.elapsed().as_secs_f64();
                if round >= WARM_UP {
                    rates[at].push(rate);
                    took[at].extend(writes);
                }
            }
        }
        let floor = rates[0].clone();
        contenders
            .iter()
            .zip(rates.iter().zip(&mut took))
            .map(|(contender, (rates, took))| {
                let ratios = rates.iter().zip(&floor).map(|(rate, floor)| rate / floor);
                took.sort_unstable();
                Figures {
                    name: contender.name,
                    rate: median(rates.iter().copied()),
                    ratio: median(ratios),
                    p50: took[took.len() / 2],
                    p99: took[took.len() * 99 / 100],
                }
            })
            .collect()
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
