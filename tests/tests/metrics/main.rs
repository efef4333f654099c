//! What an engine's outage looks like on a page for Prometheus.

mod labels;
mod page;
mod prometheus;
mod scene;
mod server;
mod table;
