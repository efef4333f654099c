//! What a store says, in one word.

use std::fmt;

use fusebox_state::{
    AcquireOutcome, CommitOutcome, RenewOutcome, RestoreOutcome, StoreError, StoreErrorKind,
};

/// An answer without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Done, or read.
    Ok,
    /// Nothing of that name is there.
    Absent,
    /// The lease is not the current one.
    Stale,
    /// No answer; the write may have been applied.
    InDoubt,
    /// No answer; nothing was written.
    Unavailable,
    /// The store takes no writes.
    Refused,
    /// What is stored is damaged.
    Corrupt,
    /// The store cannot be used as configured.
    Misconfigured,
    /// Anything else, which no cell allows.
    Unexpected,
}

impl Answer {
    /// Of an error.
    pub fn of(error: &StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Unavailable if error.may_have_applied() => Self::InDoubt,
            StoreErrorKind::Unavailable => Self::Unavailable,
            StoreErrorKind::Refused => Self::Refused,
            StoreErrorKind::Corrupt => Self::Corrupt,
            StoreErrorKind::Misconfigured => Self::Misconfigured,
            _ => Self::Unexpected,
        }
    }

    /// Whether the store answered, whatever it said.
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Ok | Self::Absent | Self::Stale)
    }
}

/// Of anything that can be read.
impl<T> From<&Result<Option<T>, StoreError>> for Answer {
    fn from(read: &Result<Option<T>, StoreError>) -> Self {
        match read {
            Ok(Some(_)) => Self::Ok,
            Ok(None) => Self::Absent,
            Err(error) => Self::of(error),
        }
    }
}

impl From<&Result<CommitOutcome, StoreError>> for Answer {
    fn from(commit: &Result<CommitOutcome, StoreError>) -> Self {
        match commit {
            Ok(CommitOutcome::Applied { .. } | CommitOutcome::Duplicate { .. }) => Self::Ok,
            Ok(CommitOutcome::StaleEpoch { .. }) => Self::Stale,
            Ok(_) => Self::Unexpected,
            Err(error) => Self::of(error),
        }
    }
}

impl From<&Result<AcquireOutcome, StoreError>> for Answer {
    fn from(acquire: &Result<AcquireOutcome, StoreError>) -> Self {
        match acquire {
            Ok(AcquireOutcome::Acquired { .. }) => Self::Ok,
            Ok(AcquireOutcome::Held(_)) => Self::Unexpected,
            Err(error) => Self::of(error),
        }
    }
}

impl From<&Result<RenewOutcome, StoreError>> for Answer {
    fn from(renew: &Result<RenewOutcome, StoreError>) -> Self {
        match renew {
            Ok(RenewOutcome::Renewed) => Self::Ok,
            Ok(RenewOutcome::Lost { .. }) => Self::Stale,
            Ok(RenewOutcome::Released) => Self::Unexpected,
            Err(error) => Self::of(error),
        }
    }
}

impl From<&Result<RestoreOutcome, StoreError>> for Answer {
    fn from(restore: &Result<RestoreOutcome, StoreError>) -> Self {
        match restore {
            Ok(RestoreOutcome::Restored { .. } | RestoreOutcome::Current { .. }) => Self::Ok,
            Ok(RestoreOutcome::StaleEpoch { .. }) => Self::Stale,
            Ok(_) => Self::Unexpected,
            Err(error) => Self::of(error),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Stale => "lost",
            Self::InDoubt => "in doubt",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
            Self::Misconfigured => "misconfigured",
            Self::Unexpected => "unexpected",
        })
    }
}
