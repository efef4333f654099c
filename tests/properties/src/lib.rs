//! What holds for any input to what parses, whatever its bytes.
//!
//! Each property takes bytes and panics if they show a fault: not only if a parser panics, but if an error points
//! outside of its text, if a value written out is read back as another, or if something illegal was let in. Tests feed
//! them the seeds under `fuzz/seeds` and mutations of those; `cargo xtask fuzz` feeds them what reaches new code.

mod breaker_config;
mod drawing;
mod faults;
mod journal;
mod lab_plan;
mod names;
mod output;
mod snapshot;
mod text;
mod workflow_file;

/// A property: its name, which is also the name of its folder of seeds, and what feeds it.
pub type Property = (&'static str, fn(&[u8]));

/// All properties.
pub const ALL: [Property; 8] = [
    ("breaker_config", breaker_config::holds),
    ("faults", faults::holds),
    ("journal", journal::holds),
    ("lab_plan", lab_plan::holds),
    ("names", names::holds),
    ("output", output::holds),
    ("snapshot", snapshot::holds),
    ("workflow_file", workflow_file::holds),
];

/// The property of this name.
pub fn by_name(name: &str) -> Option<Property> {
    ALL.into_iter().find(|(known, _)| *known == name)
}
