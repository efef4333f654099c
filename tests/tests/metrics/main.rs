//! What an engine's outage looks like on a page for Prometheus and to a collector of OpenTelemetry.

#[path = "../../../crates/fusebox-metrics/tests/collector/mod.rs"]
mod collector;
#[cfg(target_os = "linux")]
mod counted;
mod labels;
#[cfg(target_os = "linux")]
#[path = "../operated/mod.rs"]
mod operated;
mod otlp;
mod page;
mod prometheus;
mod scene;
mod server;
#[cfg(target_os = "linux")]
#[path = "../serving/mod.rs"]
mod serving;
mod table;
