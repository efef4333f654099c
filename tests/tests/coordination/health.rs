//! What the engine says of itself while agents are away and runs hang.

use std::sync::Arc;
use std::time::Duration;

use fusebox::breaker::Config;
use fusebox::orchestrator::{EventKind, Health, HealthStatus, RtoVerdict};
use fusebox::{
    AgentError, Context, Engine, Reply, Resilience, RunOptions, RunStatus, Step, Task, Workflow,
    agent_fn,
};
use fusebox_testkit::{EventLog, ScriptedAgent, VirtualTime, virtual_time};
use serde_json::json;

const OBJECTIVE: Duration = Duration::from_secs(30);

fn engine(time: VirtualTime, agent: ScriptedAgent) -> Engine {
    let breaker = Config::builder()
        .consecutive_failures(2)
        .wait_duration_in_open(Duration::from_secs(4))
        .max_wait_duration_in_open(Duration::from_secs(8))
        .successes_to_close(1)
        .recovery_objective(OBJECTIVE)
        .build()
        .unwrap();
    let resilience = Resilience::default()
        .with_breaker(breaker)
        .with_max_attempts(1);
    let mut resilience = resilience;
    resilience.retry_cap = Duration::from_secs(1);
    resilience.attempt_timeout = None;
    Engine::builder(Arc::new(time.memory_store()))
        .agent(agent, resilience)
        .seed(time.seed())
        .build()
        .unwrap()
}

fn workflow() -> Workflow {
    Workflow::builder("w")
        .step(Step::new("a"))
        .objective(Duration::from_secs(3600))
        .build()
        .unwrap()
}

#[test]
fn an_outage_is_told_while_it_lasts_and_accounted_for_afterwards() {
    virtual_time(1, async |time| {
        let agent = ScriptedAgent::new("a")
            .fails(AgentError::api("503"))
            .times(9)
            .answers(1);
        let engine = engine(time, agent);
        let mut log = EventLog::of(&engine);
        assert_eq!(engine.health().status, HealthStatus::Healthy);
        let running = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run(&workflow(), RunOptions::default()).await }
        });
        log.until(|kind| matches!(kind, EventKind::BreakerMoved { to, .. } if to == "open"))
            .await;
        let degraded = engine.health();
        assert_eq!(degraded.status, HealthStatus::Degraded, "{degraded:?}");
        assert!(
            degraded.reasons[0].contains("breaker of agent `a` is open"),
            "{degraded:?}"
        );
        assert!(degraded.agents[0].due_in_ms.is_some(), "{degraded:?}");

        log.until(|kind| matches!(kind, EventKind::ObjectiveAtRisk { .. }))
            .await;
        assert_eq!(engine.health().status, HealthStatus::Degraded);
        let risk = engine.objectives()[0].current.unwrap().away_ms;
        assert!(
            risk as u128 <= OBJECTIVE.as_millis(),
            "told in time: {risk}"
        );
        log.until(|kind| matches!(kind, EventKind::ObjectiveBreached { .. }))
            .await;
        let late = engine.health();
        assert_eq!(late.status, HealthStatus::Unhealthy, "{late:?}");
        assert_eq!((late.agents[0].waiting, late.runs.live), (1, 1), "{late:?}");
        assert!(late.agents[0].oldest_wait_ms.is_some(), "{late:?}");

        let report = running.await.unwrap().unwrap();
        assert_eq!(report.status, RunStatus::Completed);
        let well = engine.health();
        assert_eq!(
            (well.status, well.reasons.len()),
            (HealthStatus::Healthy, 0),
            "{well:?}"
        );
        assert_eq!(well.runs.live, 0);
        let account = &engine.objectives()[0];
        assert_eq!(
            (account.met, account.breached, account.met_ratio()),
            (0, 1, Some(0.0))
        );
        let last = account.last.unwrap();
        assert_eq!(last.verdict, RtoVerdict::Breached);
        // Two failures in a row open it; the second came a second after the first.
        assert!(
            last.detect_ms.is_some_and(|ms| (500..=1_500).contains(&ms)),
            "{last:?}"
        );
        assert_eq!(
            last.isolate_ms,
            Some(0),
            "nobody else was calling: {last:?}"
        );
        assert_eq!(
            last.resume_ms, last.verified_ms,
            "one success closes it: {last:?}"
        );
        assert_eq!(log.recovery("a"), Some(RtoVerdict::Breached));
        let text = serde_json::to_string(&well).unwrap();
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), well);
    });
}

#[test]
fn a_run_whose_agent_has_fallen_silent_is_stalled_and_one_at_work_is_not() {
    virtual_time(1, async |time| {
        let silent = ScriptedAgent::new("a").answers(1).held();
        let held = silent.clone();
        let busy = agent_fn("busy", |_: Task, cx: Context| async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(60)).await;
                cx.progress("at work");
            }
            Ok(Reply::new(json!(1)))
        });
        let patient = Resilience {
            attempt_timeout: None,
            ..Resilience::default()
        };
        let engine = Engine::builder(Arc::new(time.memory_store()))
            .agent(silent, patient.clone())
            .agent(busy, patient)
            .stall_after(Duration::from_secs(90))
            .build()
            .unwrap();
        let spawn = |name: &str, agent: &str| {
            let workflow = Workflow::builder(agent)
                .step(Step::new(agent))
                .objective(Duration::from_secs(3600))
                .build()
                .unwrap();
            let (engine, options) = (engine.clone(), RunOptions::default());
            let options = options.with_id(name.parse().unwrap());
            tokio::spawn(async move { engine.run(&workflow, options).await })
        };
        let (hung, works) = (spawn("hung", "a"), spawn("works", "busy"));
        tokio::time::sleep(Duration::from_secs(80)).await;
        assert_eq!(engine.health().status, HealthStatus::Healthy);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let health = engine.health();
        assert_eq!(health.status, HealthStatus::Unhealthy);
        let stalled: Vec<&str> = health
            .runs
            .stalled
            .iter()
            .map(|it| it.run.as_str())
            .collect();
        assert_eq!(stalled, ["hung"]);
        held.release();
        for run in [hung, works] {
            assert_eq!(run.await.unwrap().unwrap().status, RunStatus::Completed);
        }
        assert_eq!(engine.health().status, HealthStatus::Healthy);
    });
}
