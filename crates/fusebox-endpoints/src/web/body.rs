//! An answer as it comes, never more of it and never longer than allowed.

use std::error::Error;
use std::io;
use std::time::Duration;

use fusebox_agent::AgentError;
use reqwest::Response;
#[cfg(feature = "openai")]
use reqwest::header::CONTENT_TYPE;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::WireLimits;
use super::error::{Failure, Phase};

/// What is left to read of an answer.
pub(crate) struct Body {
    response: Response,
    limits: WireLimits,
    total: Instant,
    request_id: Option<String>,
    taken: usize,
}

impl Body {
    pub(super) fn new(
        response: Response,
        limits: WireLimits,
        total: Instant,
        request_id: Option<String>,
    ) -> Self {
        Self {
            response,
            limits,
            total,
            request_id,
            taken: 0,
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    #[cfg(feature = "openai")]
    pub(crate) fn is_of_type(&self, media_type: &str) -> bool {
        let value = self.headers().get(CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok());
        value.is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case(media_type)
        })
    }

    /// Adds time that the reader of the answer took to the total limit: it is not the sender's.
    #[cfg(feature = "openai")]
    pub(crate) fn pardon(&mut self, waited: Duration) {
        self.total = self.total.checked_add(waited).unwrap_or(self.total);
    }

    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// If nothing comes for the idle limit, the whole takes too long or is too large, or the
    /// connection breaks.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let idle = Instant::now().checked_add(self.limits.idle);
        self.chunk_by(idle, Phase::Idle, self.limits.idle).await
    }

    /// As [`chunk`](Self::chunk), with another limit than the idle one.
    pub(crate) async fn chunk_by(
        &mut self,
        by: Option<Instant>,
        phase: Phase,
        limit: Duration,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let deadline = by.map_or(self.total, |by| by.min(self.total));
        match timeout_at(deadline, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.taken += bytes.len();
                if self.taken > self.limits.max_body_bytes {
                    return Err(self.too_large());
                }
                Ok(Some(bytes.to_vec()))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) if deadline == self.total => Err(self.late(Phase::Total, self.limits.total)),
            Err(_) => Err(self.late(phase, limit)),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, Failure> {
        let announced = self.response.content_length().unwrap_or(0);
        if announced > self.limits.max_body_bytes as u64 {
            return Err(self.too_large());
        }
        let mut whole = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// A failure that knows which answer it is about.
    pub(crate) fn failure(
        &self,
        phase: Phase,
        error: AgentError,
        detail: impl Into<String>,
    ) -> Failure {
        Failure::new(phase, error, detail)
            .with_status(self.status())
            .with_request_id(self.request_id.clone())
    }

    fn late(&self, phase: Phase, limit: Duration) -> Failure {
        let (error, detail) = match phase {
            Phase::Total => ("was not done answering in time", "not whole within"),
            Phase::FirstToken => ("did not begin its answer in time", "no first piece within"),
            _ => ("fell silent within its answer", "nothing more within"),
        };
        self.failure(
            phase,
            AgentError::timed_out(error),
            format!("{detail} {limit:?}"),
        )
    }

    fn too_large(&self) -> Failure {
        let limit = self.limits.max_body_bytes;
        let error = AgentError::invalid_output("sent an answer that is too large");
        let detail = format!("more than {limit} bytes");
        self.failure(Phase::TooLarge, error, detail)
            .retryable(false)
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let mut causes = std::iter::successors(error.source(), |&cause| Error::source(cause));
        let ended = causes.any(|cause| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
        });
        let (phase, detail) = match ended {
            true => (
                Phase::Truncated,
                "the connection ended before the answer did",
            ),
            false => (
                Phase::Broken,
                "the connection broke in the middle of the answer",
            ),
        };
        self.failure(phase, AgentError::api("broke off its answer"), detail)
    }
}
