//! Makes the agents behind HTTP that a workflow file defines.

use std::fmt;
use std::path::Path;

use fusebox::endpoints::{
    HttpAgent, HttpMethod, OpenAiAgent, Price, Redirects, Secret, Tool, WireLimits,
};
use fusebox::orchestrator::file::{HttpSpec, OpenAiSpec, UrlSpec, WireSpec};
use serde_json::Value;

use crate::failure::Failure;

pub(crate) fn http(
    name: &str,
    spec: &HttpSpec,
    schema: Option<Value>,
    directory: &Path,
) -> Result<HttpAgent, Failure> {
    let bad = |why: &dyn fmt::Display| misuse(name, why);
    let method = match spec.method.as_str() {
        "put" => HttpMethod::Put,
        "patch" => HttpMethod::Patch,
        "get" => HttpMethod::Get,
        _ => HttpMethod::Post,
    };
    let mut agent = HttpAgent::builder(name, url(name, &spec.url)?)
        .method(method)
        .limits(limits(&spec.wire))
        .redirects(redirects(&spec.wire));
    if let Some(variable) = &spec.bearer_env {
        agent = agent.bearer(Secret::from_env(variable).map_err(|e| bad(&e))?);
    }
    for (header, value) in headers(name, &spec.wire)? {
        agent = agent.header(header, value);
    }
    if let Some(pem) = certificates(name, &spec.wire, directory)? {
        agent = agent.certificates(pem);
    }
    if let Some(schema) = schema {
        agent = agent.output_schema(schema);
    }
    agent.build().map_err(|error| bad(&error))
}

pub(crate) fn openai(
    name: &str,
    spec: &OpenAiSpec,
    schema: Option<Value>,
    directory: &Path,
) -> Result<OpenAiAgent, Failure> {
    let bad = |why: &dyn fmt::Display| misuse(name, why);
    let mut limits = limits(&spec.wire);
    limits.first_token = spec.first_token_timeout.unwrap_or(limits.first_token);
    let mut agent = OpenAiAgent::builder(name, &spec.model)
        .streaming(spec.streaming)
        .limits(limits)
        .redirects(redirects(&spec.wire));
    if let Some(base) = &spec.base_url {
        agent = agent.base_url(url(name, base)?);
    }
    if let Some(variable) = &spec.api_key_env {
        agent = agent.key(Secret::from_env(variable).map_err(|e| bad(&e))?);
    }
    for (header, value) in headers(name, &spec.wire)? {
        agent = agent.header(header, value);
    }
    if let Some(pem) = certificates(name, &spec.wire, directory)? {
        agent = agent.certificates(pem);
    }
    if let Some(system) = &spec.system {
        agent = agent.system(system);
    }
    if let Some(prompt) = &spec.prompt {
        agent = agent.prompt(prompt);
    }
    agent = match spec.max_tokens {
        Some((tokens, true)) => agent.max_completion_tokens(tokens),
        Some((tokens, false)) => agent.max_tokens(tokens),
        None => agent,
    };
    for (parameter, value) in &spec.parameters {
        agent = agent.parameter(parameter, value.clone());
    }
    for tool in &spec.tools {
        agent = agent.tool(Tool::new(
            &tool.name,
            &tool.description,
            tool.parameters.clone(),
        ));
    }
    if let Some(price) = spec.price {
        agent = agent.price(Price::per_million(price.input, price.output));
    }
    if let Some(schema) = schema {
        agent = agent.output_schema(schema);
    }
    agent.build().map_err(|error| bad(&error))
}

fn misuse(name: &str, why: &dyn fmt::Display) -> Failure {
    Failure::misuse(format!("agent `{name}`: {why}"))
}

pub(crate) fn url(name: &str, spec: &UrlSpec) -> Result<String, Failure> {
    match spec {
        UrlSpec::Given(url) => Ok(url.clone()),
        UrlSpec::Env(variable) => std::env::var(variable).map_err(|error| {
            let why =
                format!("environment variable `{variable}`, which is to hold its URL: {error}");
            misuse(name, &why)
        }),
        _ => Err(misuse(
            name,
            &"its URL is given in a way this program does not know",
        )),
    }
}

fn headers(name: &str, wire: &WireSpec) -> Result<Vec<(String, Secret)>, Failure> {
    let mut headers = Vec::new();
    for (header, value) in &wire.headers {
        headers.push((header.clone(), Secret::new(value.as_str())));
    }
    for header in &wire.secret_headers {
        let value = Secret::from_env(&header.env).map_err(|error| misuse(name, &error))?;
        headers.push((header.name.clone(), value));
    }
    Ok(headers)
}

fn certificates(name: &str, wire: &WireSpec, directory: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let Some(file) = &wire.certificates else {
        return Ok(None);
    };
    let pem = std::fs::read(directory.join(file));
    pem.map(Some)
        .map_err(|error| misuse(name, &format!("certificates `{file}`: {error}")))
}

fn redirects(wire: &WireSpec) -> Redirects {
    match wire.follows_redirects {
        true => Redirects::SameOrigin,
        false => Redirects::Refuse,
    }
}

fn limits(wire: &WireSpec) -> WireLimits {
    let usual = WireLimits::default();
    usual
        .with_connect(wire.connect_timeout.unwrap_or(usual.connect))
        .with_first_byte(wire.first_byte_timeout.unwrap_or(usual.first_byte))
        .with_idle(wire.idle_timeout.unwrap_or(usual.idle))
        .with_total(wire.total_timeout.unwrap_or(usual.total))
        .with_max_body_bytes(wire.max_body_bytes.unwrap_or(usual.max_body_bytes))
}
