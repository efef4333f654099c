//! The spans of what is asked of a model, a tool or a service, with the attributes of OpenTelemetry's conventions.
//!
//! | agent | span | conventions |
//! |---|---|---|
//! | `openai` | `chat {model}`, client | generative AI, client inference |
//! | `mcp` | `execute_tool {tool}`, client | generative AI, tools; Model Context Protocol, client |
//! | `http` | `{method}`, client | HTTP, client |
//!
//! A span is opened for each request and ends with it, whoever ends it. It says who was asked, how much was used and
//! what went wrong, by the kind of the error; never what was asked, answered or sent in secret.
//!
//! Without the feature `tracing` nothing of it is compiled. With it and nobody listening, a request costs the check of
//! one number.
//!
//! Source: *Semantic conventions for generative AI*, OpenTelemetry, v0.1.0 (status development), and *Semantic
//! conventions for HTTP spans*, v1.44 (stable). What they do not know is called `fusebox.*`.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;
#[cfg(feature = "tracing")]
pub(crate) use on::*;
