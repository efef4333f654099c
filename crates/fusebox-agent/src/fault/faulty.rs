//! An agent that fails on purpose.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use fusebox_policy::Spend;
use tokio::time::Instant;

use super::corrupt::Corrupter;
use super::{FaultKind, FaultRule};
use crate::{Agent, AgentError, Context, Description, Probe, Reply, Task};

/// An agent with faults around it. It describes itself as the agent inside.
///
/// Whether a rule strikes the n-th attempt is drawn from the seed, the agent's name, n and the
/// rule's place in the list, and from nothing else: the same seed gives the same sequence, and
/// the draws of two agents are independent. Rules are tried in order; the first that strikes
/// decides, except that a latency only delays what follows.
///
/// ```
/// use fusebox_agent::{Agent, Context, ErrorKind, FaultyAgent, Reply, Task, agent_fn};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), fusebox_agent::FaultParseError> {
/// let healthy = agent_fn("data", |task: Task, _| async { Ok(Reply::new(task.input)) });
/// let faulty = FaultyAgent::new(Arc::new(healthy), vec!["api:1".parse()?], 7);
/// let error = faulty.call(Task::new(1), &Context::new("run", "data")).await.unwrap_err();
/// assert_eq!(error.kind, ErrorKind::Api);
/// # Ok(())
/// # }
/// ```
pub struct FaultyAgent {
    agent: Arc<dyn Agent>,
    rules: Vec<FaultRule>,
    seed: u64,
    made: Instant,
    attempts: AtomicU64,
    corrupter: Corrupter,
}

impl FaultyAgent {
    /// Puts faults around an agent. The times of the rules count from now.
    #[must_use]
    pub fn new(agent: Arc<dyn Agent>, rules: Vec<FaultRule>, seed: u64) -> Self {
        let corrupter = Corrupter::new(agent.describe());
        Self {
            agent,
            rules,
            seed,
            made: Instant::now(),
            attempts: AtomicU64::new(0),
            corrupter,
        }
    }

    /// Attempts made so far, struck or not.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    fn draw(&self, attempt: u64, rule: usize) -> u64 {
        let name = self.agent.describe().name.as_bytes();
        let keys = [self.seed, fnv1a(name), attempt, rule as u64];
        keys.into_iter().fold(0, |state, key| mix(state ^ key))
    }

    fn strikes(&self, rule: &FaultRule, draw: u64) -> bool {
        rule.is_on(self.made.elapsed()) && unit(draw) < rule.ratio
    }
}

#[async_trait]
impl Agent for FaultyAgent {
    fn describe(&self) -> &Description {
        self.agent.describe()
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        for (place, rule) in self.rules.iter().enumerate() {
            let draw = self.draw(attempt, place);
            if !self.strikes(rule, draw) {
                continue;
            }
            match rule.kind {
                FaultKind::Latency => tokio::time::sleep(rule.delay).await,
                FaultKind::Corruption => {
                    let reply = self.agent.call(task, cx).await?;
                    return Ok(Reply::new(self.corrupter.mangle(reply.output, mix(draw))));
                }
                kind => return Err(fail(kind, cx).await),
            }
        }
        self.agent.call(task, cx).await
    }

    fn estimate(&self, task: &Task) -> Spend {
        self.agent.estimate(task)
    }

    /// Probes are the agent's own: faults strike tasks.
    fn probe(&self) -> Option<&dyn Probe> {
        self.agent.probe()
    }
}

impl fmt::Debug for FaultyAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyAgent")
            .field("agent", self.agent.describe())
            .field("rules", &self.rules)
            .field("seed", &self.seed)
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}

/// The faults that never reach the agent inside.
async fn fail(kind: FaultKind, cx: &Context) -> AgentError {
    match kind {
        // From outside, a call that never answered may have run.
        FaultKind::Timeout => return cx.interrupted().await,
        FaultKind::Exhaustion => AgentError::resource_exhausted("injected: out of memory"),
        FaultKind::Api => AgentError::api("injected: the model answered 503"),
        FaultKind::Dependency => AgentError::unavailable("injected"),
        FaultKind::BreakerOpen => AgentError::breaker_open("injected", None),
        FaultKind::Hang | FaultKind::Latency | FaultKind::Corruption => {
            std::future::pending().await
        }
    }
    .may_have_run(false)
}

/// The finalizer of SplitMix64 (G. Steele, D. Lea and C. Flood, *Fast Splittable Pseudorandom
/// Number Generators*, OOPSLA 2014): every input bit reaches every output bit.
fn mix(key: u64) -> u64 {
    let z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64-bit FNV-1a, because std's hashers promise no stable value over releases.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The upper 53 bits as a number in `0.0..1.0`, so that a ratio of 1 always strikes and a ratio
/// of 0 never.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly_and_stay_below_one() {
        assert!(unit(u64::MAX) < 1.0);
        let below = (0..10_000).filter(|&n| unit(mix(mix(7) ^ n)) < 0.3).count();
        assert!(
            (2_800..3_200).contains(&below),
            "{below} of 10000 below 0.3"
        );
    }
}
