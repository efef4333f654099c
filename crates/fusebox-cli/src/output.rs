//! The one place that prints.

use std::io::Write as _;

use serde::Serialize;

/// A line for a person, on stdout. A reader that went away is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The one document of `--json`.
pub(crate) fn document(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("documents are plain data");
    say(&text);
}

/// A line about how things go, on stderr.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What went wrong, on stderr.
pub(crate) fn complain(text: &str) {
    remark(&format!("error: {text}"));
}
