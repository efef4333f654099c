//! Agents that are elsewhere: services, models, and one out of several.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::Spanned;

use super::agent::to_json;
use super::budget::micro_dollars;
use super::diagnostic::{FileError, Source, suggestion};
use super::raw::RawAgent;
use super::time::Time;

/// An HTTP service: JSON in, JSON out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpSpec {
    /// Where it is.
    pub url: UrlSpec,
    /// How it is asked: `post`, `put`, `patch` or `get`.
    pub method: String,
    /// The environment variable with the token for `Authorization: Bearer`.
    pub bearer_env: Option<String>,
    /// What it has in common with models.
    pub wire: WireSpec,
}

/// A language model behind an API like that of OpenAI.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenAiSpec {
    /// The model, as the API knows it.
    pub model: String,
    /// Below where there is `chat/completions`; `None`: OpenAI itself.
    pub base_url: Option<UrlSpec>,
    /// The environment variable with the key.
    pub api_key_env: Option<String>,
    /// The message before the others.
    pub system: Option<String>,
    /// The user's message, with places for parts of the task.
    pub prompt: Option<String>,
    /// The most tokens of an answer, and whether the limit is sent as `max_completion_tokens`.
    pub max_tokens: Option<(u64, bool)>,
    /// Further parameters of every request.
    pub parameters: Map<String, Value>,
    /// Tools that the model may ask for.
    pub tools: Vec<ToolSpec>,
    /// Whether answers are asked for as a stream.
    pub streaming: bool,
    /// What tokens cost.
    pub price: Option<PriceSpec>,
    /// How long the first piece of an answer may take. Defaults to what the agent kind allows.
    pub first_token_timeout: Option<Duration>,
    /// What it has in common with services.
    pub wire: WireSpec,
}

/// One out of several agents of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailoverSpec {
    /// The agents, the first choice first.
    pub targets: Vec<String>,
    /// How often each is the first to be asked; `None`: as they stand.
    pub weights: Option<Vec<u32>>,
    /// Whether it goes on only if nothing has run at the target before.
    pub only_if_not_run: bool,
}

/// A URL that stands in the file, or the environment variable that holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UrlSpec {
    /// The URL; it begins with `http://` or `https://` and has no user in it.
    Given(String),
    /// The name of the variable.
    Env(String),
}

/// A tool that a model may ask for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// What a million tokens cost, in micro-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PriceSpec {
    /// Of requests.
    pub input: u64,
    /// Of answers.
    pub output: u64,
}

/// A header whose value is in an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SecretHeader {
    /// The header's name.
    pub name: String,
    /// The variable's.
    pub env: String,
}

/// What agents behind HTTP have in common. What is `None` is as the agent kind has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireSpec {
    /// Headers that are no secret.
    pub headers: BTreeMap<String, String>,
    /// Headers that are.
    pub secret_headers: Vec<SecretHeader>,
    /// A file of certificates to trust beside the system's, PEM, relative to the workflow file.
    pub certificates: Option<String>,
    /// Whether redirects within one origin are followed.
    pub follows_redirects: bool,
    /// How long a connection may take.
    pub connect_timeout: Option<Duration>,
    /// How long the headers of an answer may take.
    pub first_byte_timeout: Option<Duration>,
    /// How long an answer may fall silent.
    pub idle_timeout: Option<Duration>,
    /// How long everything may take.
    pub total_timeout: Option<Duration>,
    /// The largest answer.
    pub max_body_bytes: Option<usize>,
}

const METHODS: [&str; 4] = ["post", "put", "patch", "get"];
const REDIRECTS: [&str; 2] = ["refuse", "same_origin"];

/// Headers that hold a secret wherever they are used.
const SECRET_HEADERS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "x-auth-token",
];

pub(super) fn http(
    source: &Source,
    raw: &RawAgent,
    span: &Range<usize>,
) -> Result<HttpSpec, FileError> {
    let url = url(source, raw.url.as_ref(), raw.url_env.as_ref())?.ok_or_else(|| {
        let help = "give its address, such as url = \"https://orders.example/v1/search\"";
        source.error(span.clone(), "this http agent has no `url`", help)
    })?;
    let method = one_of(source, "methods", raw.method.as_ref(), &METHODS)?;
    Ok(HttpSpec {
        url,
        method: method.to_owned(),
        bearer_env: variable(source, raw.bearer_env.as_ref())?,
        wire: wire(source, raw)?,
    })
}

pub(super) fn openai(
    source: &Source,
    raw: &RawAgent,
    span: &Range<usize>,
) -> Result<OpenAiSpec, FileError> {
    let help = "give the name the API knows it by, such as model = \"gpt-4o-mini\"";
    let model = match &raw.model {
        None => return Err(source.error(span.clone(), "this openai agent has no `model`", help)),
        Some(model) if model.get_ref().trim().is_empty() => {
            return Err(source.error(model.span(), "the model has no name", help));
        }
        Some(model) => model.get_ref().clone(),
    };
    let text = |field: &Option<Spanned<String>>| field.as_ref().map(|text| text.get_ref().clone());
    let tools = raw.tools.as_ref().map_or(&[][..], |tools| tools.get_ref());
    Ok(OpenAiSpec {
        model,
        base_url: url(source, raw.base_url.as_ref(), raw.base_url_env.as_ref())?,
        api_key_env: variable(source, raw.api_key_env.as_ref())?,
        system: text(&raw.system),
        prompt: text(&raw.prompt),
        max_tokens: max_tokens(source, raw)?,
        parameters: parameters(source, raw)?,
        tools: tools
            .iter()
            .map(|tool| ToolSpec {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.as_ref().map_or_else(
                    || serde_json::json!({"type": "object", "properties": {}}),
                    to_json,
                ),
            })
            .collect(),
        streaming: raw.streaming.as_ref().is_none_or(|on| *on.get_ref()),
        price: price(source, raw)?,
        first_token_timeout: time(source, raw.first_token_timeout.as_ref())?,
        wire: wire(source, raw)?,
    })
}

/// That its targets exist is checked with all agents.
pub(super) fn failover(
    source: &Source,
    raw: &RawAgent,
    span: &Range<usize>,
) -> Result<FailoverSpec, FileError> {
    let help = "name agents of this file, the first choice first: targets = [\"far\", \"near\"]";
    let Some(targets) = &raw.targets else {
        return Err(source.error(span.clone(), "this failover agent has no `targets`", help));
    };
    if targets.get_ref().is_empty() {
        return Err(source.error(targets.span(), "there is no target to ask", help));
    }
    if let Some(weights) = &raw.weights {
        let (given, wanted) = (weights.get_ref().len(), targets.get_ref().len());
        if given != wanted {
            let message = format!("{given} weights do not suit {wanted} targets");
            let help = "give one for each target, in the same order";
            return Err(source.error(weights.span(), message, help));
        }
        if weights.get_ref().iter().all(|weight| *weight == 0) {
            let message = "nobody is ever the first to be asked";
            return Err(source.error(weights.span(), message, "give one a weight above 0"));
        }
    }
    let names = targets.get_ref().iter();
    Ok(FailoverSpec {
        targets: names.map(|name| name.get_ref().clone()).collect(),
        only_if_not_run: raw
            .only_if_not_run
            .as_ref()
            .is_some_and(|only| *only.get_ref()),
        weights: raw
            .weights
            .as_ref()
            .map(|weights| weights.get_ref().clone()),
    })
}

fn wire(source: &Source, raw: &RawAgent) -> Result<WireSpec, FileError> {
    let mut headers = BTreeMap::new();
    for (name, value) in raw.headers.iter().flat_map(|headers| headers.get_ref()) {
        let lower = name.get_ref().to_ascii_lowercase();
        if SECRET_HEADERS.contains(&lower.as_str()) {
            let message = format!("header `{}` holds a secret", name.get_ref());
            let help = "name the environment variable that holds it: headers_env = { x-api-key = \"ORDERS_KEY\" }";
            return Err(source.error(name.span(), message, help));
        }
        headers.insert(name.get_ref().clone(), value.clone());
    }
    let mut secret_headers = Vec::new();
    for (name, env) in raw.headers_env.iter().flat_map(|headers| headers.get_ref()) {
        let env = variable(source, Some(env))?.expect("it was given");
        secret_headers.push(SecretHeader {
            name: name.clone(),
            env,
        });
    }
    let redirects = one_of(source, "redirects", raw.redirects.as_ref(), &REDIRECTS)?;
    if let Some(bytes) = raw
        .max_body_bytes
        .as_ref()
        .filter(|bytes| *bytes.get_ref() == 0)
    {
        return Err(source.error(bytes.span(), "no answer would ever fit", "allow at least 1"));
    }
    Ok(WireSpec {
        headers,
        secret_headers,
        certificates: raw.certificates.as_ref().map(|file| file.get_ref().clone()),
        follows_redirects: redirects == "same_origin",
        connect_timeout: time(source, raw.connect_timeout.as_ref())?,
        first_byte_timeout: time(source, raw.first_byte_timeout.as_ref())?,
        idle_timeout: time(source, raw.idle_timeout.as_ref())?,
        total_timeout: time(source, raw.total_timeout.as_ref())?,
        max_body_bytes: raw.max_body_bytes.as_ref().map(|bytes| *bytes.get_ref()),
    })
}

/// The first of `all` where nothing is given.
fn one_of<'a>(
    source: &Source,
    what: &str,
    given: Option<&'a Spanned<String>>,
    all: &[&'a str],
) -> Result<&'a str, FileError> {
    let Some(given) = given else {
        return Ok(all[0]);
    };
    let word = given.get_ref().as_str();
    if all.contains(&word) {
        return Ok(word);
    }
    let message = format!("`{word}` does not exist");
    Err(source.error(
        given.span(),
        message,
        suggestion(what, word, all.iter().copied()),
    ))
}

pub(super) fn url(
    source: &Source,
    given: Option<&Spanned<String>>,
    env: Option<&Spanned<String>>,
) -> Result<Option<UrlSpec>, FileError> {
    let given = match (given, env) {
        (Some(_), Some(env)) => {
            let message = "the URL is given twice";
            return Err(source.error(env.span(), message, "leave one of the two out"));
        }
        (None, env) => return Ok(variable(source, env)?.map(UrlSpec::Env)),
        (Some(given), None) => given,
    };
    let text = given.get_ref();
    let rest = text.strip_prefix("https://");
    let Some(rest) = rest.or_else(|| text.strip_prefix("http://")) else {
        let message = "this is no URL of an HTTP service";
        let help = "begin it with https:// or http://";
        return Err(source.error(given.span(), message, help));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        let message = "the URL holds a user or a password";
        let help =
            "send them as a header from the environment: bearer_env, api_key_env or headers_env";
        return Err(source.secret_error(given.span(), message, help));
    }
    if host.is_empty() {
        return Err(source.error(given.span(), "the URL names no host", "add it after //"));
    }
    Ok(Some(UrlSpec::Given(text.clone())))
}

/// The name of an environment variable. What cannot be one may be the secret itself, so it is not
/// repeated.
pub(super) fn variable(
    source: &Source,
    given: Option<&Spanned<String>>,
) -> Result<Option<String>, FileError> {
    let Some(given) = given else {
        return Ok(None);
    };
    let name = given.get_ref();
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(Some(name.clone()));
    }
    let message = "this is not the name of an environment variable";
    let help =
        "name the variable that holds the value, such as \"OPENAI_API_KEY\", and not the value";
    Err(source.secret_error(given.span(), message, help))
}

fn time(source: &Source, given: Option<&Spanned<Time>>) -> Result<Option<Duration>, FileError> {
    match given {
        Some(time) if time.get_ref().0.is_zero() => {
            let message = "nothing could ever come in time";
            Err(source.error(time.span(), message, "allow more than 0"))
        }
        other => Ok(other.map(|time| time.get_ref().0)),
    }
}

fn max_tokens(source: &Source, raw: &RawAgent) -> Result<Option<(u64, bool)>, FileError> {
    let (given, is_completion) = match (&raw.max_tokens, &raw.max_completion_tokens) {
        (Some(_), Some(other)) => {
            let message = "the limit of tokens is given twice";
            let help = "leave out max_tokens where the model wants max_completion_tokens";
            return Err(source.error(other.span(), message, help));
        }
        (Some(tokens), None) => (tokens, false),
        (None, Some(tokens)) => (tokens, true),
        (None, None) => return Ok(None),
    };
    if *given.get_ref() == 0 {
        let message = "no answer could have a token";
        return Err(source.error(given.span(), message, "allow at least 1"));
    }
    Ok(Some((*given.get_ref(), is_completion)))
}

/// What the agent sets itself, and with what field.
const OWN: [(&str, &str); 7] = [
    ("model", "model"),
    ("messages", "system and prompt"),
    ("stream", "streaming"),
    ("max_tokens", "max_tokens"),
    ("max_completion_tokens", "max_completion_tokens"),
    ("tools", "tools"),
    ("response_format", "output_schema"),
];

fn parameters(source: &Source, raw: &RawAgent) -> Result<Map<String, Value>, FileError> {
    let Some(given) = &raw.parameters else {
        return Ok(Map::new());
    };
    for (name, field) in OWN {
        if given.get_ref().contains_key(name) {
            let message = format!("parameter `{name}` is set by the agent");
            return Err(source.error(given.span(), message, format!("use the field {field}")));
        }
    }
    let parameters = given.get_ref().iter();
    Ok(parameters
        .map(|(name, value)| (name.clone(), to_json(value)))
        .collect())
}

fn price(source: &Source, raw: &RawAgent) -> Result<Option<PriceSpec>, FileError> {
    let Some(given) = &raw.dollars_per_million_tokens else {
        return Ok(None);
    };
    let parts = [given.get_ref().input, given.get_ref().output];
    let [Some(input), Some(output)] = parts.map(micro_dollars) else {
        let message = "a price is a number of dollars from 0 to a million";
        let help = "such as dollars_per_million_tokens = { input = 0.15, output = 0.6 }";
        return Err(source.error(given.span(), message, help));
    };
    Ok(Some(PriceSpec { input, output }))
}

#[cfg(test)]
mod tests;
