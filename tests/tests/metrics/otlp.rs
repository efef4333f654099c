//! The table of metrics against what a collector of OpenTelemetry gets.

use std::collections::BTreeMap;

use fusebox::metrics::otlp::{BUCKETS, Metrics};
use fusebox::metrics::prometheus::Exporter;
use fusebox::metrics::{Kind, METRICS};
use fusebox_testkit::virtual_time;

use crate::collector::{Collector, Received, Row};
use crate::scene::{Eyes, play_before};

/// What a collector has got at the end of the scene, if the scene was played before its eyes.
fn collected(is_seen: bool) -> Received {
    let collector = Collector::start();
    let metrics = Metrics::to(&collector.url(), "test").unwrap();
    virtual_time(7, async |_| match is_seen {
        true => play_before(&Eyes::Collector(metrics.clone())).await,
        false => play_before(&Eyes::Exporter(Exporter::new())).await,
    });
    metrics.finish().unwrap();
    collector.stop()
}

#[test]
fn every_row_of_the_table_arrives_with_kind_unit_meaning_and_labels_and_nothing_else_does() {
    let received = collected(true);
    let last: BTreeMap<String, Row> = received
        .rows
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect();
    let names: Vec<&str> = last.keys().map(String::as_str).collect();
    let mut known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    known.sort_unstable();
    assert_eq!(names, known);
    for metric in METRICS {
        let row = &last[metric.name];
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // As Prometheus behind a collector reads units: `1` of a gauge is a ratio.
        let unit = match (metric.kind, metric.name) {
            (_, name) if name.ends_with("_seconds") => "s",
            (_, name) if name.ends_with("_ratio") => "1",
            (Kind::Gauge, _) => "",
            _ => "1",
        };
        assert_eq!((row.kind, &*row.unit), (kind, unit), "{}", metric.name);
        assert_eq!(row.meaning, metric.meaning, "{}", metric.name);
        assert!(row.is_cumulative, "{}", metric.name);
        if metric.kind == Kind::Histogram {
            assert_eq!(row.bounds, BUCKETS, "{}", metric.name);
        }
        let mut labels = metric.labels.to_vec();
        labels.sort_unstable();
        assert_eq!(row.labels, labels, "{}", metric.name);
    }
    let sender = |key: &str| received.resources.iter().find(|(known, _)| known == key);
    assert_eq!(sender("service.name").unwrap().1, "test");
    // Counters begin anew with a process: two must not be taken for one.
    assert!(!sender("service.instance.id").unwrap().1.is_empty());
}

#[test]
fn a_collector_that_nobody_reports_to_gets_nothing() {
    assert_eq!(collected(false).rows, []);
}

#[test]
fn a_collector_that_is_away_is_told_at_the_end_and_holds_nothing_up() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let metrics = Metrics::to(&format!("http://{nobody}"), "test").unwrap();
    virtual_time(7, async |_| {
        play_before(&Eyes::Collector(metrics.clone())).await;
    });
    let lost = metrics.finish().unwrap_err().to_string();
    assert!(
        lost.starts_with("1 of 1 deliveries to the collector failed"),
        "{lost}"
    );
}
