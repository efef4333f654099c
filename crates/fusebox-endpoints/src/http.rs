//! Agents that are an HTTP service.

mod builder;

use std::fmt;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Reply, Task};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::trace::RequestSpan;
use crate::web::{Body, Client, Destination, Failure, Phase, Request};

pub use builder::{HttpAgentBuilder, HttpMethod};

/// An agent that is an HTTP service: JSON in, JSON out, over HTTP/1.1 or HTTP/2.
///
/// The request holds [`Task::input`] as its body, and the
/// [idempotency key](Context::idempotency_key) in the header `Idempotency-Key`, the same for every
/// attempt at the step. The body of a 2xx answer is the reply; an empty one is `null`.
///
/// ```no_run
/// use fusebox_agent::{Agent, Context, Task};
/// use fusebox_endpoints::{HttpAgent, Secret};
/// use serde_json::json;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = HttpAgent::builder("orders", "https://orders.example/v1/search")
///     .bearer(Secret::from_env("ORDERS_TOKEN")?)
///     .build()?;
/// let task = Task::new(json!({"day": "2026-11-25"}));
/// let reply = orders.call(task, &Context::new("run", "orders")).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What an answer that is no 2xx means is [`verdict`](crate::verdict); a 2xx is the reply, whatever
/// its body says. Beside it:
///
/// | what happened | kind | may have run | retryable |
/// |---|---|---|---|
/// | no connection: refused, no such host, no valid certificate | `dependency_unavailable` | no | yes |
/// | no connection in time | `timed_out` | no | yes |
/// | hung up before its headers | `dependency_unavailable` | yes | yes |
/// | headers late, silence within the answer, not whole in time | `timed_out` | yes | yes |
/// | broke off within the answer | `api` | yes | yes |
/// | the answer is no JSON | `invalid_output` | yes | yes |
/// | the answer is too large | `invalid_output` | yes | no |
/// | deadline, cancellation | `timed_out`, `cancelled` | yes | yes, no |
///
/// Each has a [`WireError`](crate::WireError) as its source, but the last.
///
/// # What it does not do
///
/// It goes where it was told when it was made: no task can change the address, redirects are
/// refused unless [allowed](HttpAgentBuilder::redirects), proxies of the environment are not used.
/// Headers, keys and the query of the URL show nowhere, also not where the service sends them back
/// in an error.
///
/// # Panics
/// `call` panics outside a Tokio runtime with its I/O and time drivers on.
pub struct HttpAgent {
    description: Description,
    to: Destination,
    method: HttpMethod,
    key_header: HeaderName,
    client: Client,
}

impl HttpAgent {
    /// An agent behind `url`, whose scheme is `http` or `https`.
    pub fn builder(name: impl Into<String>, url: impl Into<String>) -> HttpAgentBuilder {
        HttpAgentBuilder::new(name.into(), url.into())
    }

    async fn answer(&self, task: Task, cx: &Context) -> Result<Value, AgentError> {
        let result = tokio::select! {
            biased;
            result = self.exchange(task, cx) => result,
            interrupted = cx.interrupted() => {
                let message = format!("{self}: {interrupted}");
                return Err(interrupted.with_message(message));
            }
        };
        result.map_err(|failure| failure.of(self))
    }

    async fn exchange(&self, task: Task, cx: &Context) -> Result<Value, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(self.key_header.clone(), idempotency_key(cx)?);
        let body = match self.method {
            HttpMethod::Get => None,
            _ => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Some(serde_json::to_vec(&task.input).expect("a JSON value can be written"))
            }
        };
        let request = Request {
            method: self.method.into(),
            to: &self.to,
            headers,
            body,
        };
        let mut answer = self.client.send(request).await?;
        let whole = answer.whole().await?;
        self.read(&answer, &whole)
    }

    fn read(&self, answer: &Body, whole: &[u8]) -> Result<Value, Failure> {
        if whole.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(whole).map_err(|error| {
            let what = AgentError::invalid_output("sent an answer that is no JSON");
            answer.failure(Phase::Unreadable, what, error.to_string())
        })
    }
}

fn idempotency_key(cx: &Context) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(cx.idempotency_key()).map_err(|_| {
        let error = AgentError::invalid_input("cannot be sent this idempotency key");
        let detail = "the key holds a character that no header may hold";
        Failure::new(Phase::Connect, error, detail)
    })
}

#[async_trait]
impl Agent for HttpAgent {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.check()?;
        let span = RequestSpan::http(&self.method.into(), &self.to);
        let output = span.around(self.answer(task, cx)).await?;
        Ok(Reply::new(output))
    }
}

/// The service, as errors show it.
impl fmt::Display for HttpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}", self.to)
    }
}

impl fmt::Debug for HttpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAgent")
            .field("description", &self.description)
            .field("to", &self.to)
            .field("method", &self.method)
            .field("limits", &self.client.limits)
            .finish_non_exhaustive()
    }
}

impl From<HttpMethod> for Method {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Post => Self::POST,
            HttpMethod::Put => Self::PUT,
            HttpMethod::Patch => Self::PATCH,
            HttpMethod::Get => Self::GET,
        }
    }
}
