//! No spans: calls go through, and nothing is told.

use fusebox_agent::AgentError;

#[cfg(feature = "mcp")]
use crate::mcp::McpTransport;
#[cfg(feature = "openai")]
use crate::openai::{Answer, Chat};
use crate::web::Destination;

pub(crate) struct RequestSpan;

impl RequestSpan {
    #[cfg(feature = "openai")]
    pub(crate) fn chat(_: &Chat, _: &Destination) -> Self {
        Self
    }

    #[cfg(feature = "mcp")]
    pub(crate) fn tool(_: &str, _: &str, _: &McpTransport) -> Self {
        Self
    }

    pub(crate) fn http(_: &reqwest::Method, _: &Destination) -> Self {
        Self
    }

    pub(crate) async fn around<T>(
        self,
        request: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        request.await
    }
}

pub(crate) fn answered(_: &reqwest::Response) {}

#[cfg(feature = "openai")]
pub(crate) fn said(_: &Answer) {}

#[cfg(feature = "mcp")]
pub(crate) fn speaks(_: Option<&str>) {}

#[cfg(feature = "mcp")]
pub(crate) fn refused(_: i32) {}

#[cfg(feature = "mcp")]
pub(crate) fn tool_failed() {}

pub(crate) fn traceparent() -> Option<String> {
    None
}
