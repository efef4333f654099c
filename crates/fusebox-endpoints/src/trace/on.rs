//! The spans themselves.

use std::error::Error;

use fusebox_agent::AgentError;
use opentelemetry::trace::TraceContextExt;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[cfg(feature = "mcp")]
use crate::mcp::McpTransport;
#[cfg(feature = "openai")]
use crate::openai::{Answer, Chat};
use crate::web::{Destination, WireError};

/// The span of one request.
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    /// Of a request to a model. A probe is one, too.
    #[cfg(feature = "openai")]
    pub(crate) fn chat(chat: &Chat, to: &Destination) -> Self {
        let parameter = |name: &str| chat.parameters.get(name);
        let number = |name: &str| parameter(name).and_then(serde_json::Value::as_f64);
        let whole = |name: &str| parameter(name).and_then(serde_json::Value::as_i64);
        Self(info_span!(
            "chat",
            otel.name = format_args!("chat {}", chat.model),
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            error.r#type = Empty,
            gen_ai.operation.name = "chat",
            // Any service that speaks this language: the conventions have no other word for it.
            gen_ai.provider.name = "openai",
            gen_ai.output.r#type = if chat.wants_json() { "json" } else { "text" },
            gen_ai.request.model = chat.model,
            gen_ai.request.stream = chat.streams.then_some(true),
            gen_ai.request.max_tokens = chat.limit.map(|(_, tokens)| signed(tokens)),
            gen_ai.request.temperature = number("temperature"),
            gen_ai.request.top_p = number("top_p"),
            gen_ai.request.frequency_penalty = number("frequency_penalty"),
            gen_ai.request.presence_penalty = number("presence_penalty"),
            gen_ai.request.seed = whole("seed"),
            gen_ai.request.reasoning.level =
                parameter("reasoning_effort").and_then(serde_json::Value::as_str),
            gen_ai.response.id = Empty,
            gen_ai.response.model = Empty,
            gen_ai.response.time_to_first_chunk = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.usage.cache_read.input_tokens = Empty,
            gen_ai.usage.reasoning.output_tokens = Empty,
            server.address = to.host(),
            server.port = i64::from(to.port()),
            http.response.status_code = Empty,
            fusebox.phase = Empty,
            fusebox.request_id = Empty,
        ))
    }

    /// Of a call of a tool. The identifiers of the request and of the session stay the client's own.
    #[cfg(feature = "mcp")]
    pub(crate) fn tool(tool: &str, server: &str, transport: &McpTransport) -> Self {
        let to = match transport {
            McpTransport::Http(http) => Some(http.destination()),
            #[cfg(unix)]
            McpTransport::Stdio(_) => None,
        };
        Self(info_span!(
            "execute_tool",
            otel.name = format_args!("execute_tool {tool}"),
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            error.r#type = Empty,
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = tool,
            gen_ai.tool.r#type = "extension",
            mcp.method.name = "tools/call",
            mcp.protocol.version = Empty,
            rpc.response.status_code = Empty,
            network.transport = if to.is_some() { "tcp" } else { "pipe" },
            network.protocol.name = to.map(|_| "http"),
            server.address = to.map(Destination::host),
            server.port = to.map(|to| i64::from(to.port())),
            fusebox.mcp.server = server,
        ))
    }

    /// Of a request to a service.
    pub(crate) fn http(method: &reqwest::Method, to: &Destination) -> Self {
        Self(info_span!(
            "http",
            otel.name = method.as_str(),
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            error.r#type = Empty,
            http.request.method = method.as_str(),
            http.response.status_code = Empty,
            // Without its query, which may hold a key.
            url.full = %to,
            network.protocol.version = Empty,
            server.address = to.host(),
            server.port = i64::from(to.port()),
            fusebox.phase = Empty,
            fusebox.request_id = Empty,
        ))
    }

    /// Makes the request within it, and tells what went wrong. A request that is dropped counts as cancelled: whoever
    /// asked did not wait for its end.
    pub(crate) async fn around<T>(
        self,
        request: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        let mut open = Open(Some(self.0));
        let span = open.0.clone().expect("it was just opened");
        let result = request.instrument(span.clone()).await;
        open.0 = None;
        if let Err(error) = &result {
            let source = error.source();
            if let Some(wire) = source.and_then(|source| source.downcast_ref::<WireError>()) {
                span.record("fusebox.phase", wire.phase().as_str());
                span.record("fusebox.request_id", wire.request_id());
            }
            failed(&span, error.kind.as_str(), &error.message);
        }
        result
    }
}

/// A span whose request is under way.
struct Open(Option<Span>);

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(span) = &self.0 {
            failed(span, "cancelled", "given up before it was over");
        }
    }
}

fn failed(span: &Span, kind: &str, why: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", why);
}

/// Tells the request's span that headers came.
pub(crate) fn answered(response: &reqwest::Response) {
    let span = Span::current();
    span.record(
        "http.response.status_code",
        i64::from(response.status().as_u16()),
    );
    let version = match response.version() {
        reqwest::Version::HTTP_2 => "2",
        reqwest::Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    span.record("network.protocol.version", version);
}

/// Tells the request's span what the model's answer, or as much of it as came, says of itself.
#[cfg(feature = "openai")]
pub(crate) fn said(answer: &Answer) {
    let span = Span::current();
    span.record("gen_ai.response.id", answer.id.as_deref());
    span.record("gen_ai.response.model", answer.model.as_deref());
    let waited = answer.first_piece_after.map(|waited| waited.as_secs_f64());
    span.record("gen_ai.response.time_to_first_chunk", waited);
    if let Some(usage) = answer.usage {
        span.record("gen_ai.usage.input_tokens", signed(usage.prompt));
        span.record("gen_ai.usage.output_tokens", signed(usage.completion));
        let cached = usage.cached.map(signed);
        span.record("gen_ai.usage.cache_read.input_tokens", cached);
        let reasoning = usage.reasoning.map(signed);
        span.record("gen_ai.usage.reasoning.output_tokens", reasoning);
    }
    if let Some(finish) = &answer.finish {
        // A list, which fields of `tracing` cannot be.
        let reasons = vec![opentelemetry::StringValue::from(finish.clone())];
        let reasons = opentelemetry::Array::String(reasons);
        span.set_attribute(
            "gen_ai.response.finish_reasons",
            opentelemetry::Value::Array(reasons),
        );
    }
}

/// Tells the request's span which version of the protocol was agreed upon.
#[cfg(feature = "mcp")]
pub(crate) fn speaks(version: Option<&str>) {
    Span::current().record("mcp.protocol.version", version);
}

/// Tells the request's span that the server answered with an error of the protocol.
#[cfg(feature = "mcp")]
pub(crate) fn refused(code: i32) {
    Span::current().record("rpc.response.status_code", code.to_string());
}

/// Tells the request's span that the tool's answer is an error. What it says stays untold.
#[cfg(feature = "mcp")]
pub(crate) fn tool_failed() {
    failed(
        &Span::current(),
        "tool_error",
        "answered with an error result",
    );
}

/// Where the present span stands, for the other side to go on from: the value of a header `traceparent`. `None` if
/// nobody collects spans.
///
/// Source: *Trace Context*, level 1, W3C, 2021, section 3.2.
pub(crate) fn traceparent() -> Option<String> {
    let cx = Span::current().context();
    let span = cx.span();
    let here = span.span_context();
    here.is_valid().then(|| {
        let (trace, span, flags) = (here.trace_id(), here.span_id(), here.trace_flags().to_u8());
        format!("00-{trace}-{span}-{flags:02x}")
    })
}

/// OpenTelemetry has no unsigned numbers; one would come as text.
#[cfg(feature = "openai")]
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
