//! What a breaker did, as Prometheus would scrape it.

use std::error::Error;

use fusebox_breaker::{Breaker, Config, TransitionQueue};
use fusebox_metrics::{BreakerMetrics, METRICS, prometheus};

fn main() -> Result<(), Box<dyn Error>> {
    let exporter = prometheus::install()?;
    let queue = TransitionQueue::new(64);
    let config = Config::builder().consecutive_failures(2).build()?;
    let breaker = Breaker::builder("db", config)
        .transitions(queue.clone())
        .build();
    let metrics = BreakerMetrics::new();

    // One good call, two bad ones that open the breaker, one refused.
    let _ = breaker.call(|| Ok::<_, &str>(()));
    for _ in 0..3 {
        let _ = breaker.call(|| Err::<(), _>("connection reset"));
    }
    for transition in queue.drain() {
        metrics.transition(&transition);
    }
    metrics.counts(&breaker);
    // Reported again, nothing is counted twice.
    metrics.counts(&breaker);

    let page = exporter.render();
    for line in [
        r#"fusebox_breaker_transitions_total{breaker="db",from="closed",to="open",reason="consecutive_failures"} 1"#,
        r#"fusebox_breaker_state{breaker="db",state="open"} 1"#,
        r#"fusebox_breaker_state{breaker="db",state="closed"} 0"#,
        r#"fusebox_breaker_calls_total{breaker="db",outcome="succeeded"} 1"#,
        r#"fusebox_breaker_calls_total{breaker="db",outcome="failed"} 2"#,
        r#"fusebox_breaker_calls_total{breaker="db",outcome="rejected"} 1"#,
        r#"fusebox_breaker_not_permitted_total{breaker="db",reason="open"} 1"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    // Nothing is there that the table does not name.
    let named = |line: &str| METRICS.iter().any(|metric| line.starts_with(metric.name));
    let mut samples = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    assert!(samples.all(named), "{page}");

    println!("metrics: 4 calls and 1 transition, each counted once");
    Ok(())
}
