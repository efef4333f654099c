//! How an agent that is a model is made.

use std::fmt;

use fusebox_agent::Description;
use serde_json::{Map, Value};

use super::OpenAiAgent;
use super::price::Price;
use super::request::{Chat, Tool};
use crate::prompt::Prompt;
use crate::web::{Client, ClientSetup, Destination, Redirects, Secret, SetupError, WireLimits};

const OPENAI: &str = "https://api.openai.com/v1";

/// The most characters that OpenAI takes for the name of a schema.
const NAME: usize = 64;

/// Makes an [`OpenAiAgent`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct OpenAiAgentBuilder {
    description: Description,
    base_url: String,
    chat: Chat,
    price: Price,
    setup: ClientSetup,
}

impl OpenAiAgentBuilder {
    pub(super) fn new(name: String, model: String) -> Self {
        Self {
            description: Description::new(name, "openai"),
            base_url: OPENAI.to_owned(),
            chat: Chat {
                model,
                system: None,
                prompt: None,
                tools: Vec::new(),
                schema: None,
                limit: None,
                streams: true,
                parameters: Map::new(),
            },
            price: Price::default(),
            setup: ClientSetup::default(),
        }
    }

    /// Takes the base URL from `OPENAI_BASE_URL` and the key from `OPENAI_API_KEY`, as the
    /// clients of OpenAI do; what is not set is left as it is.
    ///
    /// # Errors
    /// If one of them is set and cannot be used.
    pub fn from_env(mut self) -> Result<Self, SetupError> {
        if let Some(url) = std::env::var_os("OPENAI_BASE_URL").filter(|url| !url.is_empty()) {
            self.base_url = url.into_string().map_err(|_| {
                SetupError::new("environment variable `OPENAI_BASE_URL` is not utf-8")
            })?;
        }
        match std::env::var_os("OPENAI_API_KEY") {
            Some(key) if !key.is_empty() => Ok(self.key(Secret::from_env("OPENAI_API_KEY")?)),
            _ => Ok(self),
        }
    }

    /// Sets the URL below which there is `chat/completions`; default `https://api.openai.com/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Sets the key, sent as `Authorization: Bearer`. Default none, as models of one's own need.
    pub fn key(self, key: Secret) -> Self {
        let value = format!("Bearer {}", key.expose());
        self.header("authorization", Secret::new(value))
    }

    /// Adds a header to every request, such as `api-key` for Azure. Its value is treated as a
    /// secret.
    pub fn header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.setup.headers.push((name.into(), value));
        self
    }

    /// Sets the message that goes before the others and tells the model what it is for.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.chat.system = Some(text.into());
        self
    }

    /// Sets the user's message. A JSON Pointer in braces, such as `{/upstream/fetch/rows}`, stands
    /// for what the input has at that place: text as it is, other JSON as JSON. All other braces
    /// are text.
    pub fn prompt(mut self, text: impl AsRef<str>) -> Self {
        self.chat.prompt = Some(Prompt::new(text.as_ref()));
        self
    }

    /// Adds a tool that the model may ask for.
    pub fn tool(mut self, tool: Tool) -> Self {
        self.chat.tools.push(tool);
        self
    }

    /// Sets the most tokens an answer may have, sent as `max_tokens`. Default: as the other side
    /// has it; 1024 are reserved in budgets then.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.chat.limit = Some(("max_tokens", tokens));
        self
    }

    /// As [`max_tokens`](Self::max_tokens), sent as `max_completion_tokens`, as the reasoning
    /// models of OpenAI want it.
    pub fn max_completion_tokens(mut self, tokens: u64) -> Self {
        self.chat.limit = Some(("max_completion_tokens", tokens));
        self
    }

    /// Adds a parameter to every request, such as `temperature` or `seed`. It gives way to those
    /// that the agent sets itself.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.chat.parameters.insert(name.into(), value.into());
        self
    }

    /// Whether the answer is asked for as a stream; default yes. Without, silence is noticed only
    /// by the limit to the first byte, and there are no pieces.
    pub fn streaming(mut self, streams: bool) -> Self {
        self.chat.streams = streams;
        self
    }

    /// Sets what tokens cost; default nothing.
    pub fn price(mut self, price: Price) -> Self {
        self.price = price;
        self
    }

    /// Sets how long answers may take and how large they may be.
    pub fn limits(mut self, limits: WireLimits) -> Self {
        self.setup.limits = limits;
        self
    }

    /// Sets what is done with an answer that points elsewhere; default [`Redirects::Refuse`].
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.setup.redirects = redirects;
        self
    }

    /// Trusts the certificates in this PEM beside those of the system.
    pub fn certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.setup.certificates = Some(pem.into());
        self
    }

    /// Describes the input with a JSON Schema, for the guard to check.
    pub fn input_schema(mut self, schema: Value) -> Self {
        self.description = self.description.with_input_schema(schema);
        self
    }

    /// Asks the model for JSON that fits this schema, and describes the reply with it, for the
    /// guard to check: models miss it now and then.
    pub fn output_schema(mut self, schema: Value) -> Self {
        let name = &self.description.name;
        let name = name.chars().take(NAME).map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
            _ => '_',
        });
        self.chat.schema = Some((name.collect(), schema.clone()));
        self.description = self.description.with_output_schema(schema);
        self
    }

    /// Makes the agent. Nothing is sent.
    ///
    /// # Errors
    /// As [`HttpAgentBuilder::build`](crate::HttpAgentBuilder::build), and if the model has no
    /// name.
    pub fn build(self) -> Result<OpenAiAgent, SetupError> {
        if self.chat.model.is_empty() {
            return Err(SetupError::new(
                "the model has no name, give the one the API knows it by",
            ));
        }
        let to = Destination::parse(&self.base_url)?.join("chat/completions");
        let client = Client::build(&self.setup, &to)?;
        Ok(OpenAiAgent {
            description: self.description,
            chat: self.chat,
            to,
            price: self.price,
            client,
        })
    }
}

/// Without prompts, URL and headers.
impl fmt::Debug for OpenAiAgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiAgentBuilder")
            .field("description", &self.description)
            .field("model", &self.chat.model)
            .field("price", &self.price)
            .field("limits", &self.setup.limits)
            .finish_non_exhaustive()
    }
}
