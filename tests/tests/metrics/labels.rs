//! However many names there are, a server keeps few series.

use std::collections::BTreeSet;
use std::sync::Arc;

use fusebox::agent::{Reply, agent_fn};
use fusebox::breaker::Breaker;
use fusebox::metrics::prometheus::Exporter;
use fusebox::metrics::{BreakerMetrics, EngineMetrics, Labels};
use fusebox::orchestrator::{Engine, Resilience, RunOptions, Step, Workflow};
use fusebox::state::MemoryStore;

use crate::page::samples;

fn value(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{page}"));
    line.parse().unwrap()
}

/// The values of a label on the page.
fn values(page: &str, label: &str) -> BTreeSet<String> {
    let start = format!("{label}=\"");
    let found = samples(page).into_iter().filter_map(|sample| {
        let (_, rest) = sample.labels.split_once(&start)?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    found.collect()
}

#[test]
fn breakers_beyond_the_bound_are_one_series_that_adds_up() {
    let exporter = Exporter::new();
    let metrics = BreakerMetrics::new().with_labels(Labels::new(2));
    let breakers: Vec<Breaker> = ["a", "b", "c", "d", "e"]
        .map(|name| Breaker::new(name, fusebox::breaker::Config::builder().build().unwrap()))
        .into();
    let report =
        || exporter.observe(|| breakers.iter().for_each(|breaker| metrics.counts(breaker)));
    for breaker in &breakers {
        let _ = breaker.call(|| Ok::<_, &str>(()));
    }
    report();
    breakers[3].trip("for a test");
    let _in_flight = breakers[4].try_acquire().unwrap();
    report();
    report();
    let page = exporter.render();
    assert_eq!(
        values(&page, "breaker"),
        ["a", "b", "other"].map(String::from).into()
    );
    let other = |state| {
        value(
            &page,
            &format!("fusebox_breaker_state{{breaker=\"other\",state=\"{state}\"}}"),
        )
    };
    assert_eq!(
        (other("closed"), other("open"), other("half_open")),
        (2.0, 1.0, 0.0)
    );
    assert_eq!(
        value(&page, "fusebox_breaker_in_flight{breaker=\"other\"}"),
        1.0
    );
    let calls = "fusebox_breaker_calls_total{breaker=\"other\",outcome=\"succeeded\"}";
    assert_eq!(value(&page, calls), 3.0);
}

#[tokio::test]
async fn agents_and_steps_beyond_the_bound_are_other_and_every_call_is_still_counted() {
    for (bound, series) in [(3, 4), (100, 12)] {
        let mut engine = Engine::builder(Arc::new(MemoryStore::new()));
        let mut workflow = Workflow::builder("many");
        for n in 0..12 {
            let name = format!("agent-{n:02}");
            let agent = agent_fn(name.clone(), |_task, _cx| async { Ok(Reply::new("done")) });
            engine = engine.agent(agent, Resilience::default());
            workflow = workflow.step(Step::new(name));
        }
        let (engine, workflow) = (engine.build().unwrap(), workflow.build().unwrap());
        let exporter = Exporter::new();
        let mut metrics = EngineMetrics::of(&engine)
            .with_labels(Labels::new(bound))
            .exporting(exporter.clone());
        engine.run(&workflow, RunOptions::default()).await.unwrap();
        metrics.collect();
        let page = exporter.render();
        for label in ["agent", "breaker", "step"] {
            let found = values(&page, label);
            assert_eq!(found.len(), series, "{label}: {found:?}");
            assert_eq!(found.contains("other"), bound < 12);
        }
        let steps = samples(&page)
            .into_iter()
            .filter(|sample| sample.name == "fusebox_steps_total");
        assert_eq!(steps.map(|sample| sample.value).sum::<f64>(), 12.0);
    }
}
