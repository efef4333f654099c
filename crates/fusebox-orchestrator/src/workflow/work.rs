//! What a step does once it may: one call, or several that belong together.

use serde::{Deserialize, Serialize};

use super::{Approval, Enter, Predicate};

/// What a step does when its turn has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Work {
    /// Calls its agent once. The default.
    #[default]
    Call,
    /// Calls its agent for every item of a list.
    Map(Map),
    /// Calls its agent until its answer will do.
    Repeat(Repeat),
    /// Waits for a person's decision.
    Approval(Approval),
    /// Calls nobody: a workflow inside this one begins, see [`Inner`](crate::Inner). Its output is that
    /// workflow's input.
    Enter(Enter),
    /// Calls nobody: a workflow inside this one ends. Its output is what that workflow delivers.
    Leave,
}

impl Work {
    pub(super) fn is_call(&self) -> bool {
        *self == Self::Call
    }

    /// Whether the step makes several calls.
    pub(crate) fn has_parts(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Repeat(_))
    }

    /// How many calls of the step may be in flight at once.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Map(map) => map.concurrency as usize,
            _ => 1,
        }
    }
}

/// One call for every item of a list in the output of an upstream step.
///
/// The agent is given `item` and `index` (from 0) in place of the output that the list is from. Each
/// call has an idempotency key of its own, and its answer is on record when it comes: items that were
/// finished before a crash are not called again. The step's output is the list of the answers, in the
/// order of the items; of an empty list, an empty list.
///
/// An item without an answer is treated as a step without one: the calls in flight end, then the
/// step waits, fails or is skipped. When it goes on, only the items without an answer are called.
///
/// With a [`Repeat`] too, each item is called until its own answer will do, with `iteration` and
/// `previous` besides; an item whose calls are used up is one without an answer, or keeps the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    pub(super) step: String,
    pub(super) at: String,
    pub(super) concurrency: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repeat: Option<Repeat>,
}

impl Map {
    /// Calls in flight at once, unless set: half of what an agent's bulkhead admits by default.
    pub const DEFAULT_CONCURRENCY: u32 = 8;

    /// Every item of the list at `at` (a JSON Pointer; empty: the whole output) in the output of
    /// `step`, which must be required.
    pub fn over(step: impl Into<String>, at: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            at: at.into(),
            concurrency: Self::DEFAULT_CONCURRENCY,
            repeat: None,
        }
    }

    /// Replaces the number of calls in flight at once, 1 or more. Defaults to
    /// [`DEFAULT_CONCURRENCY`](Self::DEFAULT_CONCURRENCY).
    #[must_use]
    pub fn with_concurrency(mut self, calls: u32) -> Self {
        self.concurrency = calls;
        self
    }

    /// The step that the list is from.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Where in its output the list is.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Calls in flight at once.
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Until when each item is called, where that is not once.
    pub fn repeat(&self) -> Option<&Repeat> {
        self.repeat.as_ref()
    }
}

/// One call after another until a predicate holds of the answer, at most so many times.
///
/// The agent is given `iteration` (from 0) and `previous`, its answer before (`null` at first). Each
/// call has an idempotency key of its own, and its answer is on record when it comes: a resume goes on
/// with the next one. The step's output is the last answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    pub(super) until: Predicate,
    pub(super) at_most: u32,
    exhausted: Exhausted,
}

/// What becomes of a step that was repeated as often as it may be and whose answer does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exhausted {
    /// It fails. The default.
    #[default]
    Fail,
    /// It keeps the last answer, as degraded.
    Keep,
}

impl Repeat {
    /// Until `predicate` holds of the answer, `at_most` times, 1 or more.
    pub fn until(predicate: Predicate, at_most: u32) -> Self {
        Self {
            until: predicate,
            at_most,
            exhausted: Exhausted::default(),
        }
    }

    /// Replaces what becomes of the step when the last answer does not do. Defaults to
    /// [`Exhausted::Fail`].
    #[must_use]
    pub fn when_exhausted(mut self, exhausted: Exhausted) -> Self {
        self.exhausted = exhausted;
        self
    }

    /// What must hold of an answer.
    pub fn predicate(&self) -> &Predicate {
        &self.until
    }

    /// How many answers there may be.
    pub fn at_most(&self) -> u32 {
        self.at_most
    }

    /// What becomes of the step when the last answer does not do.
    pub fn exhausted(&self) -> Exhausted {
        self.exhausted
    }
}
