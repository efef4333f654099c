//! What a failed call means: whose fault it is, and whether it may have run.

use std::error::Error;
use std::time::{Duration, SystemTime};

use fusebox_agent::AgentError;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use rmcp::model::{ErrorCode, ErrorData};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use super::connection::{CallError, End};
use super::output::shortened;
use crate::web::retry_hint;

/// The error of a call whose connection could not be made.
pub(super) fn not_connected(
    server: &str,
    error: &ClientInitializeError,
    end: Option<&End>,
) -> AgentError {
    let error = match (error, end) {
        (_, Some(end)) => unavailable(server, &ended(end)),
        (ClientInitializeError::TransportError { error, .. }, None) => transport(server, error),
        (ClientInitializeError::JsonRpcError(error), None) => {
            let why = format!("it refused the handshake: {}", words(error));
            unavailable(server, &why)
        }
        (ClientInitializeError::ConnectionClosed(_), None) => {
            unavailable(server, "it ended before the handshake did")
        }
        (ClientInitializeError::NoCompatibleProtocolVersion { .. }, None) => unavailable(
            server,
            "it speaks no version of the protocol that this client does",
        ),
        (_, None) => unavailable(server, "the handshake failed"),
    };
    error.may_have_run(false)
}

/// The error of a call that was made and brought no result.
pub(super) fn not_answered(server: &str, failed: &CallError) -> AgentError {
    match (&failed.error, &failed.end) {
        (ServiceError::McpError(error), _) => answered(error),
        (_, Some(End::TooLong(limit))) if failed.was_alone => too_long(*limit),
        (_, Some(end)) => unavailable(server, &ended(end)),
        (ServiceError::TransportSend(error), None) => transport(server, error),
        (ServiceError::UnexpectedResponse, None) => {
            unavailable(server, "its answer is not one to a call of a tool")
        }
        (_, None) => unavailable(server, "the connection ended before the answer came"),
    }
}

/// The error of a call for which there was no time to connect.
pub(super) fn connect_timed_out(server: &str, limit: Duration) -> AgentError {
    unavailable(server, &format!("no handshake within {limit:?}")).may_have_run(false)
}

/// The error of a call for which the server could not even be started.
pub(super) fn not_started(server: &str, error: impl Error + Send + Sync + 'static) -> AgentError {
    unavailable(server, &format!("it cannot be started: {error}"))
        .may_have_run(false)
        .with_source(error)
}

/// How a connection ended, for the calls that are refused after it.
pub(super) fn how_it_ended(end: Option<&End>) -> String {
    end.map_or_else(|| "the connection ended".to_owned(), ended)
}

/// The error of a call that came while the server is left alone.
pub(super) fn waiting(server: &str, wait: Duration, last: &str) -> AgentError {
    let why = format!("it is tried again in {wait:?}, after: {last}");
    unavailable(server, &why)
        .may_have_run(false)
        .with_retry_after(wait)
}

/// The error of a tool that wants more than a call gives.
pub(super) fn asks_back(what: &str) -> AgentError {
    AgentError::invalid_output(format!("it asks back for {what}, which no agent can give"))
        .retryable(false)
}

fn answered(error: &ErrorData) -> AgentError {
    let words = words(error);
    match error.code {
        // An unknown tool is reported as invalid parameters or as an unknown method.
        ErrorCode::INVALID_PARAMS | ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_REQUEST => {
            AgentError::invalid_input(format!("the call was refused: {words}"))
        }
        _ => AgentError::api(format!("the tool failed: {words}")),
    }
}

fn words(error: &ErrorData) -> String {
    format!("{} ({})", shortened(&error.message), error.code.0)
}

fn too_long(limit: usize) -> AgentError {
    let message =
        format!("the answer has more than {limit} bytes, ask for less or raise the limit");
    AgentError::invalid_output(message).retryable(false)
}

fn ended(end: &End) -> String {
    match end {
        End::Program(how) => format!("the program {how}"),
        End::TooLong(limit) => format!("it sent a message of more than {limit} bytes"),
        End::Spoiled(how) => format!("it does not speak the protocol: {how}"),
        End::NoSignOfLife(limit) => format!("it gave no sign of life within {limit:?}"),
    }
}

fn unavailable(server: &str, why: &str) -> AgentError {
    let message = format!("mcp server `{server}` is unavailable: {why}");
    AgentError::unavailable(server).with_message(message)
}

/// Never quotes the client's own errors: they name the URL, which may hold a secret.
fn transport(server: &str, error: &DynamicTransportError) -> AgentError {
    let Some(error) = error
        .error
        .downcast_ref::<StreamableHttpError<reqwest::Error>>()
    else {
        return unavailable(
            server,
            &format!("the message was not sent: {}", error.error),
        );
    };
    match error {
        StreamableHttpError::HttpStatus(status) => {
            let hint = status.retry_after.as_deref().and_then(hint);
            let error = match status.status {
                429 => AgentError::rate_limited(hint).with_message(format!(
                    "mcp server `{server}` answered HTTP 429, too many requests"
                )),
                status @ (503 | 529) => AgentError::overloaded(hint).with_message(format!(
                    "mcp server `{server}` answered HTTP {status}, overloaded"
                )),
                other => unavailable(server, &format!("it answered HTTP {other}")),
            };
            error.with_retry_after(hint)
        }
        StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_) => {
            refused(server)
        }
        StreamableHttpError::ResponseBodyTooLarge { max_size } => too_long(*max_size),
        StreamableHttpError::Client(error) => of_client(server, error),
        StreamableHttpError::SessionExpired => {
            unavailable(server, "its session is over").may_have_run(false)
        }
        StreamableHttpError::UnexpectedContentType(_) => unavailable(
            server,
            "it answered with a content type that is not the protocol's",
        ),
        StreamableHttpError::UnexpectedServerResponse(what)
            if what.starts_with("HTTP 401") || what.starts_with("HTTP 403") =>
        {
            refused(server)
        }
        StreamableHttpError::UnexpectedServerResponse(what) => unavailable(
            server,
            &format!("it does not speak the protocol: {}", shortened(what)),
        ),
        StreamableHttpError::Deserialize(_) | StreamableHttpError::Sse(_) => unavailable(
            server,
            "it does not speak the protocol: its answer is no message",
        ),
        _ => unavailable(server, "the connection ended before the answer came"),
    }
}

fn refused(server: &str) -> AgentError {
    let message = format!(
        "mcp server `{server}` refused the credentials, check the token or header it is given"
    );
    AgentError::unauthorized(message)
}

fn of_client(server: &str, error: &reqwest::Error) -> AgentError {
    if error.is_connect() {
        let why = match innermost(error) {
            Some(cause) => format!("no connection: {cause}"),
            None => "no connection".to_owned(),
        };
        return unavailable(server, &why).may_have_run(false);
    }
    match error.status().map(|status| status.as_u16()) {
        Some(401 | 403) => refused(server),
        Some(status) => unavailable(server, &format!("it answered HTTP {status}")),
        None => unavailable(server, "the connection broke before the answer came"),
    }
}

/// The cause at the bottom, which knows of addresses and system errors only.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause)
}

fn hint(retry_after: &str) -> Option<Duration> {
    let value = HeaderValue::from_str(retry_after).ok()?;
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    retry_hint(&headers, SystemTime::now())
}
