//! What goes over the socket.

use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::operate::{Action, By};

/// The longest line either side takes from the other's requests.
pub(super) const MAX_REQUEST: u64 = 64 * 1024;

/// What an engine can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
#[non_exhaustive]
pub enum Request {
    /// How it is: answered with an [`Overview`].
    Overview,
    /// What it has counted: answered with a document of whoever counts there.
    Figures,
    /// Its events from now on.
    Watch,
    /// Moves a breaker by hand.
    Operate {
        /// Whose.
        agent: String,
        /// How.
        action: Action,
        /// Who does it and why.
        by: By,
    },
    /// Stops a run.
    Cancel {
        /// Which.
        run: String,
        /// Who does it and why.
        by: By,
    },
}

/// An answer: one of the two is there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Response<T> {
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(super) ok: Option<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

fn none<T>() -> Option<T> {
    None
}

/// Which engine it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EngineInfo {
    /// Its process.
    pub pid: u32,
    /// When it began to listen, in milliseconds since 1970 (UTC).
    pub started_ms: u64,
}

/// What an engine had counted when it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastFigures {
    /// Which engine.
    pub engine: EngineInfo,
    /// As it would have answered [`Request::Figures`].
    pub figures: serde_json::Value,
}

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overview {
    /// Which engine.
    pub engine: EngineInfo,
    /// Its breakers, objectives and progress.
    pub health: Health,
    /// The runs it works on, by name.
    pub runs: Vec<LiveRunInfo>,
}

/// A run that is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LiveRunInfo {
    /// Its name.
    pub run: String,
    /// Calls of its agents in flight.
    pub calls: usize,
    /// How long since it last showed a sign of life, in milliseconds.
    pub quiet_ms: u64,
}
