//! Who is measured, and how they take turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

const ROUNDS: usize = 11;
/// The first rounds warm up.
const WARM_UP: usize = 2;
const TURN: Duration = Duration::from_millis(250);

type Counting = Pin<Box<dyn Future<Output = u64>>>;

/// Makes runs until a moment comes; answers how many.
pub(crate) struct Contender {
    name: &'static str,
    work: Box<dyn Fn(Instant) -> Counting>,
}

impl Contender {
    /// `run` makes one run for the worker of this number; `in_flight` workers make theirs one after
    /// the other.
    pub(crate) fn new<F>(
        name: &'static str,
        in_flight: usize,
        run: impl Fn(usize) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = move |until| Box::pin(many(in_flight, until, run.clone())) as Counting;
        Self {
            name,
            work: Box::new(work),
        }
    }
}

/// A name nobody else has.
pub(crate) fn name(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn many<F>(
    in_flight: usize,
    until: Instant,
    run: impl Fn(usize) -> F + Clone + Send + 'static,
) -> u64
where
    F: Future<Output = ()> + Send,
{
    let worker = |worker| {
        let run = run.clone();
        tokio::spawn(async move {
            let mut runs = 0;
            while Instant::now() < until {
                run(worker).await;
                runs += 1;
            }
            runs
        })
    };
    let workers: Vec<_> = (0..in_flight).map(worker).collect();
    let mut runs = 0;
    for worker in workers {
        runs += worker.await.expect("no panic");
    }
    runs
}

/// What was measured of one contender.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) runs_per_second: f64,
    /// Of the first contender's rate in the same round.
    pub(crate) ratio: f64,
}

pub(crate) struct Turns;

impl Turns {
    pub(crate) fn run(runtime: &Runtime, contenders: &[Contender]) -> Vec<Figures> {
        let mut rates = vec![Vec::new(); contenders.len()];
        for round in 0..WARM_UP + ROUNDS {
            for (at, contender) in contenders.iter().enumerate() {
                let began = Instant::now();
                let runs = runtime.block_on((contender.work)(began + TURN));
                if round >= WARM_UP {
                    rates[at].push(runs as f64 / began.elapsed().as_secs_f64());
                }
            }
        }
        let figures = contenders.iter().zip(&rates).map(|(contender, own)| {
            let ratios = own.iter().zip(&rates[0]).map(|(rate, first)| rate / first);
            Figures {
                name: contender.name,
                runs_per_second: median(own.iter().copied()),
                ratio: median(ratios),
            }
        });
        figures.collect()
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
