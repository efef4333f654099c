//! Agents that answer as the plan says.

use std::sync::{Arc, Mutex, PoisonError};

use fusebox_agent::{Agent, AgentError, Reply, Task, agent_fn};

use crate::plan::StandIn;
use crate::random::Random;

/// An agent called `name`. How long its n-th answer takes depends on the seed, its name and n alone.
pub(crate) fn stand_in(name: &str, spec: &StandIn, seed: u64) -> Arc<dyn Agent> {
    let random = Arc::new(Mutex::new(Random::new(seed, name)));
    let (latency, answer) = (spec.latency, spec.answer.clone());
    let agent = agent_fn(name, move |_: Task, _| {
        let took = latency.draw(&mut random.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = answer.clone();
        async move {
            tokio::time::sleep(took).await;
            Ok::<_, AgentError>(Reply::new(answer))
        }
    });
    Arc::new(agent.with_output_schema(spec.output_schema.clone()))
}
