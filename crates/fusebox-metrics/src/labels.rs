//! Labels that take few values, whatever names come.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The value that stands for all beyond the limit.
pub const OTHER: &str = "other";

/// Values a label takes before the rest become [`OTHER`], unless set otherwise: more than an engine has agents, and
/// few enough for a server that keeps every series for weeks.
pub const DEFAULT_LABEL_VALUES: usize = 200;

/// Lets the first values of each label through and calls the rest [`OTHER`]. Clones share what they have seen.
///
/// Which are the first is a matter of time, so two processes may differ; a limit that is reached is a name that is
/// made up at run time, or a limit to be raised.
#[derive(Debug, Clone)]
pub struct Labels {
    limit: usize,
    seen: Arc<Mutex<Seen>>,
}

/// Values, by label.
type Seen = HashMap<&'static str, HashSet<Arc<str>>>;

impl Default for Labels {
    fn default() -> Self {
        Self::new(DEFAULT_LABEL_VALUES)
    }
}

impl Labels {
    /// At most `limit` values per label, and [`OTHER`] besides. With 0 all are.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            seen: Arc::default(),
        }
    }

    /// The value under which `value` of `label` is counted. The same for the life of the process.
    pub(crate) fn bound(&self, label: &'static str, value: &str) -> Arc<str> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let values = seen.entry(label).or_default();
        if let Some(known) = values.get(value) {
            return Arc::clone(known);
        }
        if values.len() >= self.limit {
            return OTHER.into();
        }
        let value: Arc<str> = value.into();
        values.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_limit_are_other_and_those_before_stay() {
        let labels = Labels::new(2);
        for value in ["a", "b"] {
            assert_eq!(&*labels.bound("agent", value), value);
        }
        assert_eq!(&*labels.bound("agent", "c"), OTHER);
        assert_eq!(&*labels.bound("agent", "a"), "a");
        // Each label has values of its own.
        assert_eq!(&*labels.bound("step", "c"), "c");
    }
}
