//! Fields that an agent's kind does not have.

use std::ops::Range;

use toml::Spanned;

use super::diagnostic::{FileError, Source};
use super::raw::RawAgent;

/// Where a field stands, if it does.
fn at<T>(field: &Option<Spanned<T>>) -> Option<Range<usize>> {
    field.as_ref().map(Spanned::span)
}

/// Name, place, kinds that have it.
type Field = (&'static str, Option<Range<usize>>, &'static [&'static str]);

/// The fields that not every kind has.
fn fields(raw: &RawAgent) -> [Field; 38] {
    const COMMAND: &[&str] = &["command"];
    const HTTP: &[&str] = &["http"];
    const OPENAI: &[&str] = &["openai"];
    const BOTH: &[&str] = &["http", "openai"];
    const FAILOVER: &[&str] = &["failover"];
    const MCP: &[&str] = &["mcp"];
    [
        ("command", at(&raw.command), COMMAND),
        ("dir", at(&raw.dir), COMMAND),
        ("env", at(&raw.env), COMMAND),
        ("output", at(&raw.output), COMMAND),
        ("max_output_bytes", at(&raw.max_output_bytes), COMMAND),
        ("function", at(&raw.function), &["rust"]),
        ("url", at(&raw.url), HTTP),
        ("url_env", at(&raw.url_env), HTTP),
        ("method", at(&raw.method), HTTP),
        ("bearer_env", at(&raw.bearer_env), HTTP),
        ("model", at(&raw.model), OPENAI),
        ("base_url", at(&raw.base_url), OPENAI),
        ("base_url_env", at(&raw.base_url_env), OPENAI),
        ("api_key_env", at(&raw.api_key_env), OPENAI),
        ("system", at(&raw.system), OPENAI),
        ("prompt", at(&raw.prompt), OPENAI),
        ("max_tokens", at(&raw.max_tokens), OPENAI),
        (
            "max_completion_tokens",
            at(&raw.max_completion_tokens),
            OPENAI,
        ),
        ("parameters", at(&raw.parameters), OPENAI),
        ("tools", at(&raw.tools), OPENAI),
        ("streaming", at(&raw.streaming), OPENAI),
        (
            "dollars_per_million_tokens",
            at(&raw.dollars_per_million_tokens),
            OPENAI,
        ),
        ("first_token_timeout", at(&raw.first_token_timeout), OPENAI),
        ("headers", at(&raw.headers), BOTH),
        ("headers_env", at(&raw.headers_env), BOTH),
        ("certificates", at(&raw.certificates), BOTH),
        ("redirects", at(&raw.redirects), BOTH),
        ("connect_timeout", at(&raw.connect_timeout), BOTH),
        ("first_byte_timeout", at(&raw.first_byte_timeout), BOTH),
        ("idle_timeout", at(&raw.idle_timeout), BOTH),
        ("total_timeout", at(&raw.total_timeout), BOTH),
        ("max_body_bytes", at(&raw.max_body_bytes), BOTH),
        ("targets", at(&raw.targets), FAILOVER),
        ("weights", at(&raw.weights), FAILOVER),
        ("only_if_not_run", at(&raw.only_if_not_run), FAILOVER),
        ("server", at(&raw.server), MCP),
        ("tool", at(&raw.tool), MCP),
        ("arguments", at(&raw.arguments), MCP),
    ]
}

/// Refuses a secret that stands in the file, and fields of other kinds.
pub(super) fn refuse(source: &Source, raw: &RawAgent) -> Result<(), FileError> {
    for (field, place) in [("api_key", at(&raw.api_key)), ("bearer", at(&raw.bearer))] {
        if let Some(place) = place {
            let message = "a secret must not stand in a workflow file";
            let help = format!(
                "name the environment variable that holds it, such as {field}_env = \"ORDERS_KEY\""
            );
            return Err(source.secret_error(place, message, help));
        }
    }
    let kind = raw.kind.get_ref().as_str();
    for (field, place, kinds) in fields(raw) {
        if let (Some(place), false) = (place, kinds.contains(&kind)) {
            let article = if kind.starts_with(['a', 'e', 'h', 'i', 'm', 'o', 'u']) {
                "an"
            } else {
                "a"
            };
            let message = match kind {
                // Not that one, but a kind that does not exist is the fault to tell.
                kind if !super::agent::KINDS.contains(&kind) => return Ok(()),
                kind => format!("{article} {kind} agent has no `{field}`"),
            };
            let help = format!("`{field}` is for agents of kind {}", quoted(kinds));
            return Err(source.error(place, message, help));
        }
    }
    Ok(())
}

fn quoted(kinds: &[&str]) -> String {
    let quoted: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    quoted.join(" and ")
}
