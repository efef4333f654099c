//! What an engine's outage looks like on a page for Prometheus.

#[cfg(target_os = "linux")]
mod counted;
mod labels;
#[cfg(target_os = "linux")]
#[path = "../operated/mod.rs"]
mod operated;
mod page;
mod prometheus;
mod scene;
mod server;
#[cfg(target_os = "linux")]
#[path = "../serving/mod.rs"]
mod serving;
mod table;
