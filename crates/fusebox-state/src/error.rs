//! Why a store could not do what it was asked.

use std::error::Error;

use crate::InvalidName;

/// What lies behind a [`StoreError`]; secrets are already taken out of it.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// A store operation that has no answer.
///
/// Refusals that belong to the protocol (a conflict, a lost lease) are not errors: they are
/// outcomes such as [`CommitOutcome::Conflict`](crate::CommitOutcome::Conflict).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached, or did not answer in time.
    #[error("store gave no answer to `{op}`; {}", consequence(*may_have_applied))]
    Unavailable {
        /// The operation, as its method is called.
        op: &'static str,
        /// What happened underneath.
        #[source]
        cause: Cause,
        /// Whether the write may be in the store although nobody confirmed it. Always false for
        /// reads.
        may_have_applied: bool,
    },
    /// The store answered and will not take writes: full, too few replicas, a broken disk.
    #[error("store refused `{op}` and wrote nothing; resolve what the cause names, then repeat")]
    Refused {
        /// The operation, as its method is called.
        op: &'static str,
        /// What the store said.
        #[source]
        cause: Cause,
    },
    /// What is stored is not what was written.
    #[error("{what} is damaged: {reason}; restore it from a copy, or delete it to start afresh")]
    Corrupt {
        /// What was read, by partition and key.
        what: String,
        /// How it is known.
        reason: String,
    },
    /// Over a limit. Nothing was sent.
    #[error(
        "{what} is {size}, over the limit of {limit}; nothing was written: split it or store a reference"
    )]
    TooLarge {
        /// What is too large, with its unit.
        what: String,
        /// How large it is.
        size: usize,
        /// The largest that is allowed.
        limit: usize,
    },
    /// Written by another version of this library.
    #[error(
        "{what} has format {found}, this build reads format {supported}; use the version that wrote it, or another place"
    )]
    Format {
        /// What was read.
        what: String,
        /// The format found.
        found: u32,
        /// The format this build reads and writes.
        supported: u32,
    },
    /// The store cannot be used as configured. Repeating does not help.
    #[error("{message}")]
    Misconfigured {
        /// What is wrong and what to change.
        message: String,
        /// What happened underneath, if anything did.
        #[source]
        cause: Option<Cause>,
    },
}

/// [`StoreError`] without its details, to branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// [`StoreError::Unavailable`]
    Unavailable,
    /// [`StoreError::Refused`]
    Refused,
    /// [`StoreError::Corrupt`]
    Corrupt,
    /// [`StoreError::TooLarge`]
    TooLarge,
    /// [`StoreError::Format`]
    Format,
    /// [`StoreError::Misconfigured`]
    Misconfigured,
}

impl StoreError {
    /// Which of the cases this is.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Unavailable { .. } => StoreErrorKind::Unavailable,
            Self::Refused { .. } => StoreErrorKind::Refused,
            Self::Corrupt { .. } => StoreErrorKind::Corrupt,
            Self::TooLarge { .. } => StoreErrorKind::TooLarge,
            Self::Format { .. } => StoreErrorKind::Format,
            Self::Misconfigured { .. } => StoreErrorKind::Misconfigured,
        }
    }

    /// Whether the write may be in the store although nobody confirmed it. Repeat it with the same
    /// [`WriteId`](crate::WriteId) to find out.
    pub fn may_have_applied(&self) -> bool {
        matches!(
            self,
            Self::Unavailable {
                may_have_applied: true,
                ..
            }
        )
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The store cannot be used as configured: `message` says what to change.
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::Misconfigured {
            message: message.into(),
            cause: None,
        }
    }
}

impl From<InvalidName> for StoreError {
    fn from(error: InvalidName) -> Self {
        Self::misconfigured(error.to_string())
    }
}

fn consequence(may_have_applied: bool) -> &'static str {
    if may_have_applied {
        "the write may have been applied: repeat it with the same write id to learn which"
    } else {
        "nothing was written: try again later"
    }
}
