//! A witness sees what an agent is asked, and how much of it at once.

use std::time::Duration;

use fusebox_agent::{Agent, Context, Reply, Task, agent_fn};
use fusebox_testkit::{Witness, virtual_time};
use serde_json::json;

#[test]
fn calls_that_overlap_are_counted_together_and_those_that_follow_each_other_are_not() {
    virtual_time(1, async |_| {
        let watched = Witness::new(agent_fn("slow", |task: Task, _| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Reply::new(task.input))
        }));
        let cx = Context::new("run", "slow");
        let call = |n: u64| watched.call(Task::new(n), &cx);
        call(1).await.expect("it answers");
        assert_eq!(watched.most_at_once(), 1);
        let answers = tokio::join!(call(2), call(3), call(4));
        assert_eq!(answers.2.expect("it answers"), Reply::new(4));
        assert_eq!((watched.most_at_once(), watched.in_flight()), (3, 0));
        assert_eq!(watched.inputs(), [1, 2, 3, 4].map(|n| json!(n)));
        assert_eq!(watched.recorded()[3].run, "run");
        assert_eq!(watched.idempotency_keys(), vec!["run/slow"; 4]);
    });
}

#[test]
fn a_call_that_is_dropped_is_not_in_flight_any_more() {
    virtual_time(1, async |_| {
        let stuck = agent_fn("stuck", |_task, _cx| std::future::pending());
        let watched = Witness::new(stuck);
        let cx = Context::new("run", "stuck");
        tokio::select! {
            biased;
            _ = watched.call(Task::new(1), &cx) => panic!("it never answers"),
            in_flight = async { watched.called(1).await; watched.in_flight() } => assert_eq!(in_flight, 1),
        }
        assert_eq!((watched.in_flight(), watched.most_at_once()), (0, 1));
    });
}
