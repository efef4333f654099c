//! How long, how much and how far.

use std::time::Duration;

/// How long an answer may take in each phase, and how large it may be.
///
/// | limit | default | counts |
/// |---|---|---|
/// | `connect` | 10 s | name resolution, TCP and TLS together |
/// | `first_byte` | 60 s | from the start to the last header of the answer; the connection is part of it |
/// | `first_token` | 60 s | from the headers to the first piece of an answer in pieces |
/// | `idle` | 30 s | between two reads of the answer; a comment of a stream is one |
/// | `total` | 10 min | everything; bounds an answer that trickles |
/// | `max_body_bytes` | 8 MiB | the answer, as it comes |
///
/// The deadline of the call holds as well. An answer is late at exactly its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireLimits {
    /// To have a connection.
    pub connect: Duration,
    /// To have all headers, the connection included.
    pub first_byte: Duration,
    /// From the headers to the first piece, of an answer in pieces.
    pub first_token: Duration,
    /// Between two reads.
    pub idle: Duration,
    /// For everything together.
    pub total: Duration,
    /// The largest answer, in bytes.
    pub max_body_bytes: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            first_token: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(600),
            max_body_bytes: 8 * 1024 * 1024,
        }
    }
}

impl WireLimits {
    /// Replaces the time to have a connection.
    #[must_use]
    pub fn with_connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Replaces the time to have all headers.
    #[must_use]
    pub fn with_first_byte(mut self, limit: Duration) -> Self {
        self.first_byte = limit;
        self
    }

    /// Replaces the time from the headers to the first piece.
    #[must_use]
    pub fn with_first_token(mut self, limit: Duration) -> Self {
        self.first_token = limit;
        self
    }

    /// Replaces the time between two reads.
    #[must_use]
    pub fn with_idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Replaces the time for everything.
    #[must_use]
    pub fn with_total(mut self, limit: Duration) -> Self {
        self.total = limit;
        self
    }

    /// Replaces the size of the largest answer.
    #[must_use]
    pub fn with_max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }
}

/// What is done with an answer that points elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Redirects {
    /// It is an error. The default: where requests go is decided where the agent is made.
    #[default]
    Refuse,
    /// It is followed up to 5 times, as long as scheme, host and port stay and the request is sent
    /// as it was (statuses 307 and 308); any other is an error.
    SameOrigin,
}
