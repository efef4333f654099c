//! An HTTP client whose errors name no URL.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::Sse;

/// The client that `rmcp` uses, but for its errors: those name the URL with its query, which may hold a key, and `rmcp`
/// logs them.
#[derive(Debug, Clone)]
pub(crate) struct QuietClient(pub(super) Client);

type Answer<T> = Result<T, StreamableHttpError<reqwest::Error>>;
type Events = BoxStream<'static, Result<Sse, SseError>>;
type Headers = HashMap<HeaderName, HeaderValue>;

fn quiet<T>(answer: Answer<T>) -> Answer<T> {
    answer.map_err(|error| match error {
        StreamableHttpError::Client(error) => StreamableHttpError::Client(error.without_url()),
        other => other,
    })
}

impl StreamableHttpClient for QuietClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Answer<StreamableHttpPostResponse> {
        let client = &self.0;
        quiet(
            client
                .post_message(uri, message, session, token, headers)
                .await,
        )
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Answer<StreamableHttpPostResponse> {
        let client = &self.0;
        let answer = client
            .post_message_with_response_limits(uri, message, session, token, headers, limits)
            .await;
        quiet(answer)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Answer<()> {
        quiet(self.0.delete_session(uri, session, token, headers).await)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Answer<Events> {
        let client = &self.0;
        quiet(
            client
                .get_stream(uri, session, last_event, token, headers)
                .await,
        )
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        token: Option<String>,
        headers: Headers,
        bytes: usize,
    ) -> Answer<Events> {
        let client = &self.0;
        let answer = client
            .get_stream_with_max_sse_event_size(uri, session, last_event, token, headers, bytes)
            .await;
        quiet(answer)
    }
}
