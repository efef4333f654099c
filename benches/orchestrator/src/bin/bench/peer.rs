//! graph-flow: a graph of tasks over a session that is saved after every step. It has no breaker, no
//! journal and no events, and in memory its save is a clone behind a lock.

use std::sync::Arc;

use async_trait::async_trait;
use graph_flow::{
    Context, FanOutTask, FlowRunner, Graph, GraphBuilder, InMemorySessionStorage, NextAction,
    Session, SessionStorage, Task, TaskResult,
};

use crate::engine::output;
use crate::shape::Shape;
use crate::turn::{Contender, name};

struct NoOp {
    id: String,
    next: NextAction,
}

#[async_trait]
impl Task for NoOp {
    fn id(&self) -> &str {
        &self.id
    }

    async fn run(&self, context: Context) -> graph_flow::Result<TaskResult> {
        context.set(self.id.as_str(), output())?;
        Ok(TaskResult::new(None, self.next.clone()))
    }
}

pub(crate) fn contender(shape: Shape, in_flight: usize) -> Contender {
    let (graph, first, rounds) = graph(shape);
    let storage: Arc<dyn SessionStorage> = Arc::new(InMemorySessionStorage::new());
    let runner = Arc::new(FlowRunner::new(Arc::new(graph), Arc::clone(&storage)));
    Contender::new("graph-flow", in_flight, move |_| {
        let (runner, storage, first) = (Arc::clone(&runner), Arc::clone(&storage), first.clone());
        async move {
            let id = name("session");
            let session = Session::new_from_task(id.clone(), &first);
            storage.save(session).await.expect("room in memory");
            for _ in 0..rounds {
                runner.run(&id).await.expect("a step");
            }
            storage.delete(&id).await.expect("it is there");
        }
    })
}

/// The graph, where it begins, and how often the runner is asked to go on.
fn graph(shape: Shape) -> (Graph, String, usize) {
    let names = shape.names();
    let last = names.len() - 1;
    let task = |at: usize| {
        let next = if at == last {
            NextAction::End
        } else {
            NextAction::Continue
        };
        let id = names[at].clone();
        Arc::new(NoOp { id, next }) as Arc<dyn Task>
    };
    let tasks = (0..names.len()).map(task);
    match shape {
        Shape::Chain(steps) => {
            let builder = tasks.fold(GraphBuilder::new("chain"), GraphBuilder::add_task);
            let builder = names.windows(2).fold(builder, |builder, pair| {
                builder.add_edge(pair[0].clone(), pair[1].clone())
            });
            let graph = builder.set_start_task(names[0].clone()).build();
            (graph.expect("a chain"), names[0].clone(), steps)
        }
        Shape::FanOut(_) => {
            let all = FanOutTask::new("all", tasks.collect()).with_next_action(NextAction::End);
            let builder = GraphBuilder::new("fan-out").add_task(all);
            let graph = builder.set_start_task("all").build();
            (graph.expect("a fan-out"), "all".to_owned(), 1)
        }
    }
}
