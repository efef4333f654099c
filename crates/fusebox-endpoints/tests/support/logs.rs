//! Everything that anybody logs in this process, at every level, through `log` or `tracing`.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span;

fn logs() -> &'static Mutex<String> {
    static LOGS: OnceLock<Mutex<String>> = OnceLock::new();
    LOGS.get_or_init(Mutex::default)
}

struct Everything;

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let mut logs = logs().lock().expect("no panic under it");
        let _ = writeln!(logs, "{} {}", record.target(), record.args());
    }
    fn flush(&self) {}
}

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut logs = logs().lock().expect("no panic under it");
        let _ = writeln!(logs, "{field} {value:?}");
    }
}

fn name(metadata: &tracing::Metadata<'_>) {
    let mut logs = logs().lock().expect("no panic under it");
    let _ = writeln!(logs, "{} {}", metadata.target(), metadata.name());
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        name(attributes.metadata());
        attributes.record(&mut Everything);
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Everything);
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        name(event.metadata());
        event.record(&mut Everything);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Begins to keep what is logged, for the whole process.
pub(crate) fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        log::set_boxed_logger(Box::new(Everything)).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
        tracing::subscriber::set_global_default(Everything).expect("the only subscriber");
    });
}

/// What has been logged since.
pub(crate) fn so_far() -> String {
    logs().lock().expect("no panic under it").clone()
}
