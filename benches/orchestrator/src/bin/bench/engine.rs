//! The engine with everything on, over agents that do nothing.

use std::sync::Arc;
use std::time::Duration;

use fusebox_agent::{Reply, agent_fn};
use fusebox_orchestrator::{Engine, Resilience, RunOptions, RunStatus};
use fusebox_state::StateStore;
use serde_json::json;

use crate::shape::Shape;
use crate::turn::{Contender, name};

/// What a step answers: about 200 bytes of JSON, as the peers are given.
pub(crate) fn output() -> serde_json::Value {
    json!({ "text": "x".repeat(180), "done": true })
}

pub(crate) fn engine(store: &Arc<dyn StateStore>, shape: Shape) -> Engine {
    let mut builder = Engine::builder(Arc::clone(store)).retention(Duration::ZERO);
    for name in shape.names() {
        let agent = agent_fn(name, |_task, _cx| async { Ok(Reply::new(output())) });
        // A slot for every run in flight: what is measured is not the queue.
        let resilience = Resilience {
            max_concurrent_calls: Some(64),
            ..Resilience::default()
        };
        builder = builder.agent(agent, resilience);
    }
    builder.build().expect("agents of different names")
}

pub(crate) async fn run(engine: &Engine, workflow: &fusebox_orchestrator::Workflow, run: String) {
    let id = run.parse().expect("a name");
    let options = RunOptions::default().with_id(id);
    let report = engine.run(workflow, options).await.expect("a start");
    assert_eq!(report.status, RunStatus::Completed, "{:?}", report.reason);
}

pub(crate) fn contender(
    title: &'static str,
    store: &Arc<dyn StateStore>,
    shape: Shape,
    in_flight: usize,
) -> Contender {
    let (engine, workflow) = (engine(store, shape), Arc::new(shape.workflow()));
    // Somebody listens, as a metrics exporter would.
    let listener = Arc::new(std::sync::Mutex::new(engine.subscribe()));
    Contender::new(title, in_flight, move |_| {
        let (engine, workflow) = (engine.clone(), Arc::clone(&workflow));
        let listener = Arc::clone(&listener);
        async move {
            run(&engine, &workflow, name("run")).await;
            let mut listener = listener.lock().expect("nobody panics holding it");
            // Lagging is a listener's right; what is there is taken.
            while !matches!(
                listener.try_recv(),
                Err(tokio::sync::broadcast::error::TryRecvError::Empty)
            ) {}
        }
    })
}
