//! What can be done to a request.

use std::time::Duration;

/// What is done to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Answered at once with this status and these headers; the service does not hear of it.
    Answer {
        /// The status.
        status: u16,
        /// Headers beside those that every answer has.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection is closed without an answer; the service does not hear of it.
    HangUp,
    /// Nothing is answered, not even a status, until the client gives up; the service does not
    /// hear of it.
    Silence,
    /// Passed on; the answer is harmed at this point of its body.
    Break {
        /// Where.
        at: At,
        /// How.
        harm: Harm,
    },
    /// Passed on; of the answer's body comes one byte at a time, with this pause after each.
    Drip(Duration),
}

/// A point of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After this many events of a stream of server-sent events; 0 is before the first.
    Event(usize),
    /// After this many bytes.
    Byte(usize),
}

/// What happens to an answer within its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing more comes until the client gives up.
    Stall,
    /// The connection is reset.
    Reset,
    /// The connection is closed within the body.
    Cut,
    /// The body ends here, as if it were whole.
    End,
}

impl Fault {
    /// HTTP 429 that asks to be left alone for some seconds.
    #[must_use]
    pub fn rate_limit(retry_after_seconds: u64) -> Self {
        Self::status(429).with_header("retry-after", retry_after_seconds.to_string())
    }

    /// Any status, with a body like those of OpenAI's errors.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let body =
            format!(r#"{{"error":{{"message":"injected","type":"injected","code":{status}}}}}"#);
        Self::Answer {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// Adds a header to an [`Answer`](Self::Answer); changes nothing else.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// Harms an answer after some events.
    #[must_use]
    pub fn after_events(events: usize, harm: Harm) -> Self {
        let at = At::Event(events);
        Self::Break { at, harm }
    }

    /// Harms an answer after some bytes of its body.
    #[must_use]
    pub fn after_bytes(bytes: usize, harm: Harm) -> Self {
        let at = At::Byte(bytes);
        Self::Break { at, harm }
    }
}
