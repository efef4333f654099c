//! What a policy is told about one call.

use tokio::time::Instant;

/// What a policy is told about one call. It is used up by the call it describes.
#[derive(Debug, Default)]
#[must_use = "a description does nothing until a policy makes the call"]
pub struct Call {
    pub(crate) deadline: Option<Instant>,
}

impl Call {
    /// A call without any particulars.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the caller gives up. Default: never.
    pub fn with_deadline(mut self, deadline: impl Into<Option<Instant>>) -> Self {
        self.deadline = deadline.into();
        self
    }
}
