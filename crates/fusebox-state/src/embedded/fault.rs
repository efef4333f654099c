//! SQLite's errors in the store's words.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::StoreError;

/// What a job on the reader may run into.
#[derive(Debug)]
pub(crate) enum ReadError {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// An SQLite error that several requests of one transaction can share.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    code: Option<ErrorCode>,
    text: String,
    may_have_applied: bool,
}

impl Fault {
    /// Before or during a transaction: nothing of it can be in the file.
    pub(crate) fn before_commit(error: &rusqlite::Error) -> Self {
        Self {
            code: error.sqlite_error_code(),
            text: error.to_string(),
            may_have_applied: false,
        }
    }

    /// From COMMIT itself. A failed flush leaves open what the next one to read the file finds.
    pub(crate) fn at_commit(error: &rusqlite::Error) -> Self {
        let clean = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull | ErrorCode::ReadOnly)
        );
        Self {
            may_have_applied: !clean,
            ..Self::before_commit(error)
        }
    }

    /// SQLite rolled everything back because of an error in one request.
    pub(crate) fn lost_transaction() -> Self {
        Self {
            code: None,
            text: "the transaction was rolled back because another request in it failed".to_owned(),
            may_have_applied: false,
        }
    }

    /// What is at the path is not what was opened.
    pub(crate) fn gone() -> Self {
        Self {
            code: None,
            text: "the state file was removed or replaced while in use; stop, restore the file, \
                   start again"
                .to_owned(),
            may_have_applied: false,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(
            self.code,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    pub(crate) fn into_error(self, op: &'static str) -> StoreError {
        let cause = self.text.clone().into();
        match self.code {
            Some(ErrorCode::DiskFull) => StoreError::Refused { op, cause },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                StoreError::Misconfigured {
                    message: "the state file or its directory cannot be written; give this user \
                              write permission on both, or choose another path"
                        .to_owned(),
                    cause: Some(cause),
                }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
                what: "the state file".to_owned(),
                reason: self.text,
            },
            _ => StoreError::Unavailable {
                op,
                cause,
                may_have_applied: self.may_have_applied,
            },
        }
    }
}

/// Errors while opening name the path.
pub(crate) fn opening(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    let fault = Fault::before_commit(error);
    let message = match fault.code {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            format!("`{path}` is not a state file; move it away or choose another path")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            format!(
                "`{path}` cannot be opened for writing; give this user write permission on the \
                 file and its directory, or choose another path"
            )
        }
        _ => return fault.into_error("open"),
    };
    StoreError::Misconfigured {
        message,
        cause: Some(fault.text.into()),
    }
}

pub(crate) fn no_thread(path: &Path, error: io::Error) -> StoreError {
    StoreError::Misconfigured {
        message: format!("no thread could be started for `{}`", path.display()),
        cause: Some(error.into()),
    }
}
