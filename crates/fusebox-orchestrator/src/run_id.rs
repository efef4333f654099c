//! Names of runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use fusebox_state::{Partition, WriteId};

/// The name of a run: 1 to 64 letters, digits, `-`, `_` or `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

/// What a run's partition is called in the store, before its id.
pub(crate) const PARTITION_PREFIX: &str = "run.";

impl RunId {
    /// A name nobody has: the workflow's, the time (UTC), eight random hex digits.
    pub fn generate(workflow: &str) -> Self {
        let stamp = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let stamp: String = stamp.chars().filter(char::is_ascii_digit).collect();
        // No name begins with a dot: its directory would be hidden.
        let is_kept = |at: usize, c: char| is_plain(c) && (at > 0 || c != '.');
        let chars = workflow.chars().enumerate();
        let short: String = chars
            .map(|(at, c)| if is_kept(at, c) { c } else { '-' })
            .take(32)
            .collect();
        let random = WriteId::random();
        let bytes = random.as_bytes();
        let random = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let name = format!("{short}-{}-{}-{random:08x}", &stamp[..8], &stamp[8..]);
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The run whose journal a partition of the store is; `None` for any other.
    pub fn of(partition: &Partition) -> Option<Self> {
        let name = partition.as_str().strip_prefix(PARTITION_PREFIX)?;
        name.parse().ok()
    }

    pub(crate) fn partition(&self) -> Partition {
        Partition::try_new(format!("{PARTITION_PREFIX}{}", self.0))
            .expect("a run id holds only plain characters")
    }
}

/// A run's name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run name `{0}` is not allowed; use 1 to 64 letters, digits, `-`, `_` or `.`")]
pub struct BadRunId(String);

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let plain =
            (1..=64).contains(&text.len()) && text.chars().all(is_plain) && !text.starts_with('.');
        plain
            .then(|| Self(text.into()))
            .ok_or_else(|| BadRunId(text.to_owned()))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_gives_back_the_name_even_one_that_begins_like_a_partition() {
        for name in ["r", "run.r", "run."] {
            let id: RunId = name.parse().unwrap();
            assert_eq!(RunId::of(&id.partition()), Some(id));
        }
        assert_eq!(RunId::of(&Partition::try_new("other").unwrap()), None);
    }

    #[test]
    fn a_generated_name_is_a_name() {
        let id = RunId::generate("workspace review/1");
        assert_eq!(id.as_str().parse(), Ok(id.clone()), "{id}");
        assert!(id.as_str().starts_with("workspace-review-1-2"), "{id}");
    }

    /// Such a run could be started and was then neither listed nor resumed.
    #[test]
    fn a_name_generated_for_a_workflow_that_begins_with_a_dot_is_a_name() {
        for workflow in [".hidden", "..", ""] {
            let id = RunId::generate(workflow);
            assert_eq!(id.as_str().parse(), Ok(id.clone()), "{id}");
        }
    }

    #[test]
    fn a_name_that_would_leave_its_directory_is_refused() {
        for bad in ["", "..", ".hidden", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }
}
