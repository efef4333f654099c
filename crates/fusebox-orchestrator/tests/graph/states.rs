//! A run's states in the picture of its graph.

use std::sync::Arc;

use fusebox_agent::{AgentError, Reply, agent_fn};
use fusebox_orchestrator::{
    Engine, OnUnavailable, Resilience, RunOptions, RunReport, Step, Workflow,
};
use fusebox_state::MemoryStore;
use serde_json::json;

/// One step succeeds, one fails in hostile words, one is shielded by it.
async fn run() -> (Workflow, RunReport) {
    let good = agent_fn("good", |_, _| async { Ok(Reply::new(json!(1))) });
    let bad = agent_fn("bad", |_, _| async {
        Err::<Reply, _>(AgentError::invalid_input(
            "<script>alert(1)</script>\u{1b}[2J",
        ))
    });
    let workflow = Workflow::builder("states")
        .step(Step::new("good"))
        .step(
            Step::new("bad")
                .requires(["good"])
                .on_unavailable(OnUnavailable::Fail),
        )
        .step(Step::new("last").with_agent("good").requires(["bad"]))
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryStore::new()))
        .agent(good, Resilience::default())
        .agent(bad, Resilience::default())
        .build()
        .unwrap();
    let report = engine.run(&workflow, RunOptions::default()).await.unwrap();
    (workflow, report)
}

#[tokio::test(start_paused = true)]
async fn every_step_says_how_it_stands_and_one_that_is_away_names_its_breaker() {
    let (workflow, mut report) = run().await;
    report.steps[1].breaker = "open".into();
    let drawing = workflow.with_states(&report);
    for picture in [drawing.to_mermaid(), drawing.to_dot(), drawing.to_svg()] {
        for said in ["✓ succeeded", "✗ failed", "- shielded", "breaker open"] {
            assert_eq!(
                picture.matches(said).count(),
                1 + usize::from(is_title(&picture, said)),
                "{said}: {picture}"
            );
        }
    }
    let plain = workflow.to_svg();
    assert!(!plain.contains("succeeded"), "{plain}");
}

/// Why a step failed is in the title of its image, behind how it stands.
fn is_title(picture: &str, said: &str) -> bool {
    picture.starts_with("<svg") && ["✗ failed", "- shielded"].contains(&said)
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_says_stays_text_in_an_image() {
    let (workflow, report) = run().await;
    let svg = workflow.with_states(&report).to_svg();
    assert!(!svg.contains("<script") && !svg.contains('\u{1b}'), "{svg}");
    assert!(svg.contains("&lt;script&gt;alert(1)"), "{svg}");
}
