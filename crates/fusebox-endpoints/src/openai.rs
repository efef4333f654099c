//! Agents that are a language model behind an API like that of OpenAI.

mod answer;
mod builder;
mod price;
mod request;
mod sse;
mod stream;

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use fusebox_agent::{Agent, AgentError, Context, Description, Probe, Reply, Task};
use fusebox_policy::Spend;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::time::Instant;

use crate::trace::{self, RequestSpan};
use crate::web::{Body, Client, Destination, Failure, Phase, Request, judge};

pub(crate) use answer::Answer;
pub use builder::OpenAiAgentBuilder;
pub use price::Price;
pub(crate) use request::Chat;
pub use request::Tool;

/// An agent that is a language model behind an API like that of OpenAI: OpenAI itself, Azure,
/// OpenRouter, Groq, DeepSeek, Mistral, vLLM, llama.cpp, Ollama and others.
///
/// ```no_run
/// use fusebox_agent::{Agent, Context, Task};
/// use fusebox_endpoints::{OpenAiAgent, Secret};
/// use serde_json::json;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let triage = OpenAiAgent::builder("triage", "gpt-4o-mini")
///     .key(Secret::from_env("OPENAI_API_KEY")?)
///     .system("Sort the request into billing, outage or other.")
///     .output_schema(json!({
///         "type": "object",
///         "required": ["label"],
///         "properties": {"label": {"enum": ["billing", "outage", "other"]}},
///     }))
///     .max_tokens(50)
///     .build()?;
/// let reply = triage.call(Task::new("the site is down"), &Context::new("run", "triage")).await?;
/// assert_eq!(reply.output["label"], "outage");
/// # Ok(())
/// # }
/// ```
///
/// # What it sends and gives
///
/// The user's message is the [prompt](OpenAiAgentBuilder::prompt) with its placeholders filled
/// from the input; without one it is the input itself, text as it is and other JSON as text. An
/// input object with an array `messages` is the conversation instead.
///
/// With an output schema the model is asked for JSON that fits, and the output is that JSON.
/// Without, it is an object:
///
/// ```json
/// {
///   "text": "It rains.",
///   "tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}}],
///   "finish_reason": "tool_calls",
///   "model": "gpt-4o-mini-2024-07-18",
///   "usage": {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
/// }
/// ```
///
/// `tool_calls` is there if the model asks for [tools](OpenAiAgentBuilder::tool), which are called
/// by whoever gets the reply; `usage` if the other side told it.
///
/// Answers come as a stream, so that silence is noticed early; whoever waits for
/// [pieces](Context::with_pieces) gets their text as it comes.
///
/// # What it costs
///
/// [Estimated](Agent::estimate) before a call at a token for three bytes of the request and all
/// [tokens allowed](OpenAiAgentBuilder::max_tokens) for the answer; settled to the usage that the
/// other side tells, to nothing where it refused, and to the estimate where an answer broke off.
///
/// # Errors
///
/// As [`HttpAgent`](crate::HttpAgent), and of a stream, judged when it is over:
///
/// | what happened | phase | kind | retryable |
/// |---|---|---|---|
/// | no first token in time | `first_token` | `timed_out` | yes |
/// | silence after it | `idle` | `timed_out` | yes |
/// | tokens until the total limit | `total` | `timed_out` | yes |
/// | the stream ended without an end | `truncated` | `api` | yes |
/// | the connection broke | `broken` | `api` | yes |
/// | an error in the stream | `mid_stream` | as [`verdict`](crate::verdict) says | as it says |
/// | the reader of the pieces went away | - | `cancelled` | no |
///
/// And of an answer that is whole:
///
/// | what is wrong with it | kind | retryable |
/// |---|---|---|
/// | no JSON where a schema asked for it, tool arguments that are no JSON, no choice | `invalid_output` | yes |
/// | JSON cut off by the limit of tokens | `invalid_output` | no |
/// | filtered, or refused by the model | `content_filtered` | no |
///
/// # Panics
/// `call` panics outside a Tokio runtime with its I/O and time drivers on.
pub struct OpenAiAgent {
    description: Description,
    chat: Chat,
    to: Destination,
    price: Price,
    client: Client,
}

impl OpenAiAgent {
    /// An agent that is `model` of OpenAI; [`base_url`](OpenAiAgentBuilder::base_url) makes it
    /// another's.
    pub fn builder(name: impl Into<String>, model: impl Into<String>) -> OpenAiAgentBuilder {
        OpenAiAgentBuilder::new(name.into(), model.into())
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.chat.model
    }

    async fn exchange(&self, task: Task, cx: &Context) -> Result<Value, Failure> {
        let body = self.chat.body(&task.input)?;
        let answer = self.ask(body, cx).await?;
        if let Some(usage) = answer.usage {
            let text = format!("{}: {usage}", self.chat.model);
            cx.progress(&text);
        }
        answer.into_output(self.chat.wants_json())
    }

    /// Sends a request, reads the answer and settles what it cost.
    async fn ask(&self, body: Value, cx: &Context) -> Result<Answer, Failure> {
        let result = self.receive(body, cx).await;
        match &result {
            Ok(Answer {
                usage: Some(usage), ..
            }) => cx.spend(self.price.spend(*usage)),
            // Nobody asks money for what was refused.
            Err(failure) if failure.is_free() => cx.spend(Spend::ZERO),
            _ => {}
        }
        result
    }

    async fn receive(&self, body: Value, cx: &Context) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = "application/json, text/event-stream";
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        // One that no header may hold is left out: most providers do not look at it.
        if let Ok(key) = HeaderValue::from_str(cx.idempotency_key()) {
            headers.insert("idempotency-key", key);
        }
        let request = Request {
            method: Method::POST,
            to: &self.to,
            headers,
            body: Some(body.to_string().into_bytes()),
        };
        let sent = Instant::now();
        let mut answer = self.client.send(request).await?;
        // By what came, not by what was asked for: some answer in one piece all the same.
        if answer.is_of_type("text/event-stream") {
            return stream::read(&mut answer, &self.client, cx, sent).await;
        }
        let whole = answer.whole().await?;
        let read = self.read(&answer, &whole)?;
        trace::said(&read);
        Ok(read)
    }

    fn read(&self, body: &Body, whole: &[u8]) -> Result<Answer, Failure> {
        let (headers, scrubber) = (body.headers(), &self.client.scrubber);
        judge(body.status(), headers, whole, SystemTime::now(), scrubber)
            .map_err(|refusal| Failure::refused(Phase::Refused, refusal))?;
        let json = serde_json::from_slice(whole).map_err(|error| {
            let what = AgentError::invalid_output("sent an answer that is no JSON");
            body.failure(Phase::Unreadable, what, error.to_string())
        })?;
        Answer::of_completion(&json).ok_or_else(|| {
            let what = AgentError::invalid_output("sent an answer without a choice");
            body.failure(Phase::Unreadable, what, "no `choices[0].message`")
        })
    }
}

#[async_trait]
impl Agent for OpenAiAgent {
    fn describe(&self) -> &Description {
        &self.description
    }

    async fn call(&self, task: Task, cx: &Context) -> Result<Reply, AgentError> {
        cx.check()?;
        let span = RequestSpan::chat(&self.chat, &self.to);
        let output = span.around(self.answer(task, cx)).await?;
        Ok(Reply::new(output))
    }

    fn estimate(&self, task: &Task) -> Spend {
        let body = self.chat.body(&task.input);
        let bytes = body.map_or(0, |body| body.to_string().len());
        self.price.estimate(bytes, self.chat.most_tokens())
    }

    fn probe(&self) -> Option<&dyn Probe> {
        Some(self)
    }
}

impl OpenAiAgent {
    async fn answer(&self, task: Task, cx: &Context) -> Result<Value, AgentError> {
        let result = tokio::select! {
            biased;
            result = self.exchange(task, cx) => result,
            interrupted = cx.interrupted() => return Err(self.named(interrupted)),
            gone = cx.reader_gone() => return Err(self.named(gone)),
        };
        result.map_err(|failure| failure.of(self))
    }

    async fn try_least(&self, cx: &Context) -> Result<(), AgentError> {
        let result = tokio::select! {
            biased;
            result = self.ask(self.chat.probe(), cx) => result,
            interrupted = cx.interrupted() => return Err(self.named(interrupted)),
        };
        result.map(drop).map_err(|failure| failure.of(self))
    }

    fn named(&self, error: AgentError) -> AgentError {
        let message = format!("{self}: {error}");
        error.with_message(message)
    }
}

/// One token for a word: what a task needs, at the least price it comes at.
#[async_trait]
impl Probe for OpenAiAgent {
    fn cost(&self) -> Spend {
        let body = self.chat.probe();
        self.price.estimate(body.to_string().len(), 1)
    }

    async fn probe(&self, cx: &Context) -> Result<(), AgentError> {
        cx.check()?;
        let span = RequestSpan::chat(&self.chat.least(), &self.to);
        span.around(self.try_least(cx)).await
    }
}

/// The model, as errors show it.
impl fmt::Display for OpenAiAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model `{}` at {}", self.chat.model, self.to)
    }
}

/// Without its prompts.
impl fmt::Debug for OpenAiAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiAgent")
            .field("description", &self.description)
            .field("model", &self.chat.model)
            .field("to", &self.to)
            .field("price", &self.price)
            .field("limits", &self.client.limits)
            .finish_non_exhaustive()
    }
}
