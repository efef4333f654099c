//! Pools of slots that agents share.

use std::time::Duration;

use fusebox_policy::Bulkhead;
use toml::Spanned;

use super::diagnostic::{FileError, Source, suggestion};
use super::raw::{RawFile, RawPool};

/// How long a call queues for a slot where the file does not say.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A pool as a file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSpec {
    /// Its name, unique in the file.
    pub name: String,
    /// Calls in flight at once, of all agents in it and over all runs of the engine.
    pub max_concurrent_calls: usize,
    /// How long a call may queue for a slot.
    pub max_wait: Duration,
    /// Calls that may queue at once; `None`: no limit but the wait's.
    pub max_queue: Option<usize>,
}

impl PoolSpec {
    /// The pool, for [`EngineBuilder::pool`](crate::EngineBuilder::pool).
    #[must_use]
    pub fn bulkhead(&self) -> Bulkhead {
        let pool = Bulkhead::new(self.name.as_str(), self.max_concurrent_calls);
        let pool = pool.with_max_wait(self.max_wait);
        match self.max_queue {
            Some(calls) => pool.with_max_queue(calls),
            None => pool,
        }
    }
}

pub(super) fn read(source: &Source, raw: &RawFile, errors: &mut Vec<FileError>) -> Vec<PoolSpec> {
    let mut pools = Vec::new();
    for (name, pool) in &raw.pools {
        let RawPool {
            max_concurrent_calls,
            max_wait,
            max_queue,
        } = pool;
        if *max_concurrent_calls.get_ref() == 0 {
            let place = max_concurrent_calls.span();
            errors.push(source.error(place, "no call could ever run", "allow at least 1"));
        }
        pools.push(PoolSpec {
            name: name.get_ref().clone(),
            max_concurrent_calls: *max_concurrent_calls.get_ref(),
            max_wait: max_wait.as_ref().map_or(MAX_WAIT, |wait| wait.get_ref().0),
            max_queue: max_queue.as_ref().map(|calls| *calls.get_ref()),
        });
    }
    for agent in raw.agents.values() {
        let agent = agent.get_ref();
        if let Some(pool) = &agent.pool {
            errors.extend(bad_pool(source, raw, pool));
            errors.extend(agent.max_concurrent_calls.as_ref().map(|limit| {
                let help = "set the limit of the pool, or leave `pool` out";
                source.error(limit.span(), "this agent takes the slots of its pool", help)
            }));
            errors.extend(agent.max_wait.as_ref().map(|wait| {
                let help = "set the wait of the pool, or leave `pool` out";
                source.error(
                    wait.span(),
                    "this agent queues for the slots of its pool",
                    help,
                )
            }));
        }
    }
    pools
}

fn bad_pool(source: &Source, raw: &RawFile, pool: &Spanned<String>) -> Option<FileError> {
    let wanted = pool.get_ref();
    let known = raw.pools.keys().map(|name| name.get_ref().as_str());
    if known.clone().any(|name| name == wanted) {
        return None;
    }
    let message = format!("pool `{wanted}` is not defined");
    Some(source.error(pool.span(), message, suggestion("pools", wanted, known)))
}
