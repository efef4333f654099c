//! Plays a plan: on virtual time every seed on both sides, on real time one side after the other.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fusebox_agent::Agent;
use fusebox_orchestrator::EngineError;
use fusebox_orchestrator::file::AgentSpec;
use fusebox_state::MemoryStore;
use fusebox_testkit::virtual_time;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::comparison::Comparison;
use crate::figures::Gather;
use crate::plan::Plan;
use crate::play::{Protection, Stage};
use crate::stand_in::stand_in;

/// The sides of a comparison, in their order.
const SIDES: [Protection; 2] = [Protection::On, Protection::Off];

/// How far a measurement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is measured now; on virtual time both at once.
    pub side: Option<Protection>,
    /// Goes of a seed, or runs, that are over.
    pub done: u64,
    /// How many there will be; of runs that begin at random, about.
    pub of: u64,
}

/// How to measure on real time.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RealTime {
    /// What each run is given. Defaults to nothing.
    pub input: Value,
    /// Where the agents leave files. Defaults to nowhere.
    pub artifacts: Option<PathBuf>,
    /// Cancelling it ends the measurement: runs under way are cancelled, and what was measured is told.
    pub cancellation: CancellationToken,
}

impl Plan {
    /// Plays the plan on virtual time, with stand-ins for its agents: every seed with protection and without, over as
    /// many threads as the machine has. `told` hears how far it is, from any of them.
    ///
    /// The same plan gives the same figures. Blocks until all is done, and must not be called from a runtime's thread;
    /// a million runs take minutes.
    ///
    /// # Errors
    /// If the engine refuses the workflow.
    ///
    /// # Panics
    /// Inside of a runtime.
    pub fn simulate(&self, told: &(dyn Fn(Progress) + Sync)) -> Result<Comparison, EngineError> {
        self.simulate_sides(SIDES, told)
    }

    /// As [`simulate`](Self::simulate), with sides of one's choice: two equal ones must come to equal figures.
    ///
    /// # Errors
    /// If the engine refuses the workflow.
    ///
    /// # Panics
    /// Inside of a runtime.
    pub fn simulate_sides(
        &self,
        sides: [Protection; 2],
        told: &(dyn Fn(Progress) + Sync),
    ) -> Result<Comparison, EngineError> {
        let jobs = sides.len() * usize::try_from(self.seeds).expect("plans are limited");
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Vec<_> = (0..jobs).map(|_| Mutex::new(None)).collect();
        let work = || {
            loop {
                let job = next.fetch_add(1, Ordering::Relaxed);
                if job >= jobs {
                    return;
                }
                let (seed, side) = ((job / sides.len()) as u64, sides[job % sides.len()]);
                let result = self.go(side, seed);
                *results[job].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                told(Progress {
                    side: None,
                    done: done as u64,
                    of: jobs as u64,
                });
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads.min(jobs) {
                scope.spawn(work);
            }
        });
        // By seed, whoever played it, so that every figure is added up in the same order.
        let mut gathered: [Option<Gather>; 2] = [None, None];
        for (job, result) in results.into_iter().enumerate() {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            let result = result.expect("every job was done")?;
            match &mut gathered[job % sides.len()] {
                Some(gather) => gather.add(result),
                empty => *empty = Some(result),
            }
        }
        let sides = sides.into_iter().zip(gathered);
        let sides = sides.map(|(protection, gather)| {
            let gather = gather.expect("a plan has a seed");
            gather.side(self, protection)
        });
        Ok(Comparison::new(self, sides.collect(), false))
    }

    fn go(&self, protection: Protection, seed: u64) -> Result<Gather, EngineError> {
        virtual_time(seed, async |time| {
            let stage = Stage {
                plan: self,
                protection,
                seed,
                store: Arc::new(time.memory_store()),
                input: json!(self.inputs),
                artifacts: None,
                cancellation: CancellationToken::new(),
            };
            let make = |spec: &AgentSpec| {
                let agent = stand_in(&spec.name, &self.stand_ins[&spec.name], seed);
                Ok::<_, EngineError>(agent)
            };
            let played = stage.play(make, &|_| {}).await?;
            Ok(Gather::of(self, &played))
        })
    }

    /// Plays the plan on real time with the agents that `make` makes, the faults around them: first with protection,
    /// then without. Takes twice the plan's duration and what its last runs need.
    ///
    /// Dropping the future stops it where it is, without figures; see [`RealTime::cancellation`].
    ///
    /// # Errors
    /// The first that `make` answers with, or the engine's where it refuses the workflow.
    pub async fn measure<E: From<EngineError>>(
        &self,
        how: RealTime,
        mut make: impl FnMut(&AgentSpec) -> Result<Arc<dyn Agent>, E>,
        told: &(dyn Fn(Progress) + Sync),
    ) -> Result<Comparison, E> {
        let mut sides = Vec::new();
        for protection in SIDES {
            if how.cancellation.is_cancelled() {
                break;
            }
            let stage = Stage {
                plan: self,
                protection,
                seed: 0,
                store: Arc::new(MemoryStore::new()),
                input: how.input.clone(),
                artifacts: how.artifacts.clone(),
                cancellation: how.cancellation.clone(),
            };
            let of = self.runs_per_seed();
            let progress = |runs: usize| {
                told(Progress {
                    side: Some(protection),
                    done: runs as u64,
                    of,
                });
            };
            let played = stage.play(&mut make, &progress).await?;
            sides.push(Gather::of(self, &played).side(self, protection));
        }
        let is_interrupted = how.cancellation.is_cancelled();
        Ok(Comparison::new(self, sides, is_interrupted))
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::On => "protected",
            Self::Off => "unprotected",
        })
    }
}
