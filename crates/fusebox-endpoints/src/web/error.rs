//! What went wrong on the wire, and when.

use std::fmt;

use fusebox_agent::AgentError;

use super::Refusal;

/// An agent cannot be made as it was described. Nothing has been sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SetupError {
    message: String,
}

impl SetupError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// When it went wrong.
///
/// Displayed in snake case: `first_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// No connection came about, with its names resolved and its keys agreed upon. Nothing ran.
    Connect,
    /// The request was on its way or sent, and no complete headers came back.
    FirstByte,
    /// The headers were there, and an answer in pieces brought no first one.
    FirstToken,
    /// The answer had begun, and then nothing came for too long.
    Idle,
    /// The answer came, too slowly to be whole in time.
    Total,
    /// The connection broke while the answer came.
    Broken,
    /// The answer ended before it was whole.
    Truncated,
    /// The answer said in its middle that it had failed.
    MidStream,
    /// The answer was larger than allowed.
    TooLarge,
    /// The answer was whole, and refused the request.
    Refused,
    /// The answer was whole, and is not what was to come.
    Unreadable,
}

impl Phase {
    /// The phase in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::FirstToken => "first_token",
            Self::Idle => "idle",
            Self::Total => "total",
            Self::Broken => "broken",
            Self::Truncated => "truncated",
            Self::MidStream => "mid_stream",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What went wrong on the wire. It is the source of the [`AgentError`] that the agent gives:
///
/// ```
/// use fusebox_agent::AgentError;
/// use fusebox_endpoints::{Phase, WireError};
/// use std::error::Error;
///
/// fn phase(error: &AgentError) -> Option<Phase> {
///     Some(error.source()?.downcast_ref::<WireError>()?.phase())
/// }
/// # assert_eq!(phase(&AgentError::failed("nothing to do with it")), None);
/// ```
///
/// It holds no request, no header and no body; of a refusal the words of its error, cut at 300
/// characters and without the secrets that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    phase: Phase,
    detail: String,
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
}

impl WireError {
    /// When it went wrong.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The status of the answer, if it came that far.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The code or type of the error as the other side calls it: `rate_limit_exceeded`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// How the other side calls the request, to ask its support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for WireError {}

/// An [`AgentError`] in the making: what it says of itself, and when it happened. Boxed, since
/// errors are rare and large.
pub(crate) struct Failure(Box<(AgentError, WireError)>);

impl Failure {
    /// `error` says what it means, `detail` what was seen.
    pub(crate) fn new(phase: Phase, error: AgentError, detail: impl Into<String>) -> Self {
        let wire = WireError {
            phase,
            detail: detail.into(),
            status: None,
            code: None,
            request_id: None,
        };
        Self(Box::new((error, wire)))
    }

    /// A refusal that the other side explained.
    pub(crate) fn refused(phase: Phase, refusal: Refusal) -> Self {
        let said = refusal.message.as_ref().filter(|text| !text.is_empty());
        let said = said.or(refusal.code.as_ref());
        let detail = said.map_or("it did not say why", String::as_str);
        let wire = WireError {
            phase,
            detail: detail.to_owned(),
            status: Some(refusal.status),
            code: refusal.code.clone(),
            request_id: refusal.request_id.clone(),
        };
        Self(Box::new((refusal.into_agent_error(), wire)))
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.1.status = Some(status);
        self
    }

    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        let wire = &mut self.0.1;
        wire.request_id = wire.request_id.take().or(id);
        self
    }

    pub(crate) fn may_have_run(mut self, may_have_run: bool) -> Self {
        self.0.0.may_have_run = may_have_run;
        self
    }

    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.0.0.retryable = retryable;
        self
    }

    /// Whether nothing was done, or nothing that is paid for: refused before or instead of it.
    #[cfg(feature = "openai")]
    pub(crate) fn is_free(&self) -> bool {
        let (error, wire) = &*self.0;
        !error.may_have_run || wire.phase == Phase::Refused
    }

    /// The finished error; `whom` names the agent's other side: `service https://host/path`.
    pub(crate) fn of(self, whom: &dyn fmt::Display) -> AgentError {
        let (error, wire) = *self.0;
        let message = format!("{whom} {}", error.message);
        error.with_message(message).with_source(wire)
    }
}
