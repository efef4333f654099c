//! Why a verb did nothing, for people and machines.

use std::process::ExitCode;

use fusebox::orchestrator::file::FileErrors;
use fusebox::{EngineError, orchestrator::HistoryError};
use serde_json::json;

use crate::control::Untold;
use crate::output;

/// Nothing was started.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The workflow file is not right.
    File(FileErrors),
    /// The caller can mend it.
    Misuse(anyhow::Error),
    /// Something around the program failed: the store, a file, the system.
    Environment(anyhow::Error),
}

impl Failure {
    pub(crate) fn misuse(message: impl std::fmt::Display) -> Self {
        Self::Misuse(anyhow::anyhow!("{message}"))
    }

    pub(crate) fn environment(error: anyhow::Error) -> Self {
        Self::Environment(error)
    }

    /// In one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::File(errors) => errors.to_string(),
            Self::Misuse(error) | Self::Environment(error) => chain(error),
        }
    }

    /// What went wrong, without whose fault it is.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::File(errors) => anyhow::anyhow!("{errors}"),
            Self::Misuse(error) | Self::Environment(error) => error,
        }
    }

    /// Says it on stderr, or as a JSON document on stdout, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let errors = match self {
                Self::File(errors) => json!(errors),
                Self::Misuse(error) | Self::Environment(error) => {
                    json!([{ "message": chain(error) }])
                }
            };
            output::document(&json!({ "errors": errors }));
        } else {
            match self {
                Self::File(errors) => output::complain(&format!("{errors}")),
                Self::Misuse(error) | Self::Environment(error) => output::complain(&chain(error)),
            }
        }
        ExitCode::from(match self {
            Self::File(_) | Self::Misuse(_) => 2,
            Self::Environment(_) => 1,
        })
    }
}

/// The message and its causes, outermost first.
fn chain(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

impl From<FileErrors> for Failure {
    fn from(errors: FileErrors) -> Self {
        Self::File(errors)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(_) | EngineError::History(_) => Self::Environment(error.into()),
            other => Self::Misuse(other.into()),
        }
    }
}

impl From<Untold> for Failure {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Nobody | Untold::Refused(_) => Self::Misuse(untold.into()),
            Untold::Silent { .. } => Self::Environment(untold.into()),
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::Environment(error.into())
    }
}
