//! What an answer over HTTP means.

use std::time::{Duration, SystemTime};

use fusebox_agent::{AgentError, ErrorKind};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::Scrubber;
use super::hint::{MAX_HINT, retry_hint};

/// The most characters of the other side's words that are kept.
const WORDS: usize = 300;
const CODE: usize = 64;

/// Why the other side did not do it, and what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status that counts: that of the answer, or the one its body speaks of.
    pub status: u16,
    /// What it means.
    pub kind: ErrorKind,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whether it may have been done all the same.
    pub may_have_run: bool,
    /// How long the other side wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The code or type in the body: `rate_limit_exceeded`.
    pub code: Option<String>,
    /// The message in the body, cut at 300 characters, on one line.
    pub message: Option<String>,
    /// How the other side calls the request.
    pub request_id: Option<String>,
}

/// What an answer means by its status, headers and body; `now` is the moment it came.
///
/// A 2xx is no refusal, unless its body is an object with an `error` in it, as gateways and streams
/// have it. The body counts before the status: the same 429 is a rate limit that passes and a
/// quota that does not, the same 400 a bad request, a key that is none and a text that is too long.
///
/// | answer | kind | charged | retried |
/// |---|---|---|---|
/// | 429, 420 | `rate_limited`, with the [hint](retry_hint) | yes | yes |
/// | 429 for want of credit, 402 | `resource_exhausted` | yes | no |
/// | 503, 529, 498, `overloaded_error` | `overloaded`, with the hint | yes | yes |
/// | 408, 504, 524 | `timed_out` | yes | yes |
/// | 502, 520 to 523, 525 to 527, 530 | `dependency_unavailable` | yes | yes |
/// | other 5xx | `api` | yes | yes, but 501, 505, 511 |
/// | 401, 403, 407, a key that is none | `unauthorized` | yes | no |
/// | a model that does not exist | `dependency_unavailable` | yes | no |
/// | 409, 423, 424, 425 | `api` | yes | yes |
/// | too long: 413, 400, 422, 429 that say so | `context_too_long` | no | no |
/// | filtered: 451, 400, 403 that say so | `content_filtered` | no | no |
/// | other 4xx | `invalid_input` | no | no |
/// | 1xx, 3xx | `api`: redirects are not followed | yes | no |
///
/// `x-should-retry: false`, and `true` for what is charged, overrules the last column. "May have
/// run" is no for what refuses before the work: 3xx, 4xx but 408, 409, 424 and 499, and 501, 505,
/// 521 to 523, 525, 526 and 529. A 503 is no such promise: proxies answer it for connections that
/// break in the middle.
///
/// Sources of the rows: `tests/verdicts.tsv`.
///
/// # Errors
/// The refusal.
pub fn verdict(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Result<(), Refusal> {
    judge(status, headers, body, now, &Scrubber::default())
}

/// [`verdict`], with what was sent in secret taken out of the words of the other side.
pub(crate) fn judge(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
    scrubber: &Scrubber,
) -> Result<(), Refusal> {
    let words = Words::read(body, scrubber);
    let is_success = (200..300).contains(&status);
    if is_success && !words.is_error {
        return Ok(());
    }
    let status = if is_success { words.status() } else { status };
    let meaning = words
        .meaning(status)
        .unwrap_or_else(|| Meaning::of_status(status));
    let Meaning { kind, retryable } = meaning;
    let is_neutral = matches!(
        kind,
        ErrorKind::InvalidInput | ErrorKind::ContextTooLong | ErrorKind::ContentFiltered
    );
    let wish = headers.get("x-should-retry").and_then(|v| v.to_str().ok());
    let retryable = match wish {
        Some("false") => false,
        Some("true") if kind != ErrorKind::Unauthorized => !is_neutral,
        _ => retryable,
    };
    // A wish to be left alone makes no sense of a key that is none or a request that is wrong.
    let retry_after = retry_hint(headers, now).or(words.hint);
    Err(Refusal {
        status,
        kind,
        retryable,
        may_have_run: may_have_run(status),
        retry_after: retry_after.filter(|_| retryable && listens_to_hints(kind, status)),
        code: words.code,
        message: words.message,
        request_id: request_id(headers, scrubber),
    })
}

/// Resets of limits come with answers of every kind; only from these they are what to wait for.
fn listens_to_hints(kind: ErrorKind, status: u16) -> bool {
    let kinds = [ErrorKind::RateLimited, ErrorKind::Overloaded];
    kinds.contains(&kind) || matches!(status, 500..=599 | 409 | 423 | 425)
}

fn may_have_run(status: u16) -> bool {
    match status {
        408 | 409 | 424 | 499 => true,
        501 | 505 | 521..=523 | 525 | 526 | 529 => false,
        500..=599 | 200..=299 => true,
        _ => false,
    }
}

struct Meaning {
    kind: ErrorKind,
    retryable: bool,
}

impl Meaning {
    const fn new(kind: ErrorKind, retryable: bool) -> Self {
        Self { kind, retryable }
    }

    fn of_status(status: u16) -> Self {
        use ErrorKind as Kind;
        match status {
            429 | 420 => Self::new(Kind::RateLimited, true),
            503 | 529 | 498 => Self::new(Kind::Overloaded, true),
            408 | 504 | 524 => Self::new(Kind::TimedOut, true),
            502 | 520..=523 | 525..=527 | 530 => Self::new(Kind::DependencyUnavailable, true),
            501 | 505 | 511 => Self::new(Kind::Api, false),
            401 | 403 | 407 => Self::new(Kind::Unauthorized, false),
            402 => Self::new(Kind::ResourceExhausted, false),
            409 | 423 | 424 | 425 | 499 => Self::new(Kind::Api, true),
            413 => Self::new(Kind::ContextTooLong, false),
            451 => Self::new(Kind::ContentFiltered, false),
            400..=499 => Self::new(Kind::InvalidInput, false),
            500..=599 => Self::new(Kind::Api, true),
            _ => Self::new(Kind::Api, false),
        }
    }
}

/// What the body says for itself.
#[derive(Default)]
struct Words {
    is_error: bool,
    code: Option<String>,
    /// All codes and types, in lower case.
    codes: Vec<String>,
    message: Option<String>,
    /// The message in lower case, uncut.
    lower: String,
    /// A status that the body speaks of.
    number: Option<u16>,
    hint: Option<Duration>,
}

/// Codes and types that mean the same whatever the status, as providers call them.
const CODES: [(&[&str], Meaning); 8] = [
    (
        &[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
            "insufficient_balance",
            "exceeded_current_quota_error",
        ],
        Meaning::new(ErrorKind::ResourceExhausted, false),
    ),
    (
        &[
            "context_length_exceeded",
            "exceed_context_size_error",
            "request_too_large",
            "string_above_max_length",
            "context_window_exceeded",
        ],
        Meaning::new(ErrorKind::ContextTooLong, false),
    ),
    (
        &[
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "responsibleaipolicyviolation",
            "content_filter_error",
        ],
        Meaning::new(ErrorKind::ContentFiltered, false),
    ),
    (
        &[
            "invalid_api_key",
            "api_key_invalid",
            "authentication_error",
            "permission_error",
        ],
        Meaning::new(ErrorKind::Unauthorized, false),
    ),
    (
        &[
            "model_not_found",
            "deploymentnotfound",
            "model_decommissioned",
        ],
        Meaning::new(ErrorKind::DependencyUnavailable, false),
    ),
    (
        &[
            "overloaded_error",
            "engine_overloaded_error",
            "server_overloaded",
            "slow_down",
        ],
        Meaning::new(ErrorKind::Overloaded, true),
    ),
    (
        &[
            "rate_limit_error",
            "rate_limit_exceeded",
            "resource_exhausted",
        ],
        Meaning::new(ErrorKind::RateLimited, true),
    ),
    (
        &["timeout_error", "deadline_exceeded"],
        Meaning::new(ErrorKind::TimedOut, true),
    ),
];

/// Phrases that mean the same in answers of some statuses, where there is no code or one that says
/// nothing (`invalid_request_error`).
const PHRASES: [(&[u16], &[&str], Meaning); 6] = [
    (
        &[400, 413, 422, 429, 500],
        &[
            "maximum context length",
            "context window",
            "prompt is too long",
            "available context size",
            "input is too long",
            "request too large",
            "input token count",
            "tokens must be <=",
            "max_new_tokens` must be <=",
            "exceeds the model's context",
            "exceeds the context length",
            "too many tokens",
        ],
        Meaning::new(ErrorKind::ContextTooLong, false),
    ),
    (
        &[400, 402, 403, 429],
        &[
            "credit balance is too low",
            "insufficient balance",
            "check your plan and billing",
        ],
        Meaning::new(ErrorKind::ResourceExhausted, false),
    ),
    (
        &[400, 403, 422],
        &[
            "content management policy",
            "content filter",
            "flagged",
            "content policy",
            "safety system",
        ],
        Meaning::new(ErrorKind::ContentFiltered, false),
    ),
    (
        &[400],
        &["api key not valid", "invalid api key", "incorrect api key"],
        Meaning::new(ErrorKind::Unauthorized, false),
    ),
    (
        &[400, 404],
        &[
            "model does not exist",
            "model not found",
            "try pulling it first",
            "no endpoints found",
            "is not a valid model",
        ],
        Meaning::new(ErrorKind::DependencyUnavailable, false),
    ),
    (
        &[429, 500],
        &["overloaded"],
        Meaning::new(ErrorKind::Overloaded, true),
    ),
];

/// What a type without a status stands for, in the middle of a stream.
const STATUSES: [(&str, u16); 9] = [
    ("overloaded", 529),
    ("rate_limit", 429),
    ("quota", 429),
    ("authentication", 401),
    ("permission", 403),
    ("not_found", 404),
    ("timeout", 504),
    ("too_large", 413),
    ("invalid_request", 400),
];

impl Words {
    fn read(body: &[u8], scrubber: &Scrubber) -> Self {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Self::default();
        };
        let mut words = Self::default();
        // Hugging Face says beside the error when the model is to be there, in seconds.
        let estimate = body.get("estimated_time").and_then(Value::as_f64);
        words.hint = estimate
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(|hint| hint.min(MAX_HINT));
        match body.get("error") {
            Some(Value::Object(error)) => {
                words.is_error = true;
                words.take(error, scrubber);
                // OpenRouter puts what the provider said below.
                if let Some(Value::Object(inner)) = error.get("innererror") {
                    words.take(inner, scrubber);
                }
            }
            Some(Value::String(text)) => {
                words.is_error = true;
                words.say(text, scrubber);
                words.take(&body, scrubber);
            }
            _ => words.take(&body, scrubber),
        }
        words
    }

    fn take(&mut self, error: &serde_json::Map<String, Value>, scrubber: &Scrubber) {
        for field in ["code", "type", "error_type", "status", "object"] {
            match error.get(field) {
                Some(Value::String(text)) if field != "object" || text == "error" => {
                    if let Ok(status) = text.parse() {
                        self.number = self.number.or(Some(status));
                        continue;
                    }
                    self.is_error |= field == "object";
                    self.codes.push(text.to_ascii_lowercase());
                    if self.code.is_none() && field != "object" {
                        self.code = Some(cut(&scrubber.scrub(text), CODE));
                    }
                }
                Some(Value::Number(number)) => {
                    let status = number.as_u64().and_then(|n| u16::try_from(n).ok());
                    self.number = self.number.or(status);
                }
                _ => {}
            }
        }
        for field in ["message", "msg", "detail", "error_description"] {
            if let Some(Value::String(text)) = error.get(field) {
                self.say(text, scrubber);
            }
        }
    }

    fn say(&mut self, text: &str, scrubber: &Scrubber) {
        if self.message.is_none() {
            // Before the cut, which may go through a secret.
            self.message = Some(cut(&scrubber.scrub(text), WORDS));
        }
        self.lower.push_str(&text.to_ascii_lowercase());
        self.lower.push('\n');
    }

    /// The status of an error whose answer had a good one.
    fn status(&self) -> u16 {
        if let Some(number) = self.number.filter(|number| (400..600).contains(number)) {
            return number;
        }
        let named = STATUSES
            .iter()
            .find(|(part, _)| self.codes.iter().any(|code| code.contains(part)));
        named.map_or(500, |(_, status)| *status)
    }

    fn meaning(&self, status: u16) -> Option<Meaning> {
        if !(400..600).contains(&status) {
            return None;
        }
        // Before the codes: the rate limit that no waiting helps has the code of the others.
        let said = PHRASES.iter().find(|(statuses, phrases, _)| {
            statuses.contains(&status) && phrases.iter().any(|phrase| self.lower.contains(phrase))
        });
        if let Some((_, _, meaning)) = said {
            return Some(Meaning { ..*meaning });
        }
        let coded = CODES
            .iter()
            .find(|(codes, _)| self.codes.iter().any(|code| codes.contains(&code.as_str())));
        coded.map(|(_, meaning)| Meaning { ..*meaning })
    }
}

/// How the other side calls the request, by the headers in use.
pub(crate) fn request_id(headers: &HeaderMap, scrubber: &Scrubber) -> Option<String> {
    let names = ["x-request-id", "request-id", "apim-request-id", "cf-ray"];
    let id = names.iter().find_map(|name| headers.get(*name))?;
    Some(cut(&scrubber.scrub(id.to_str().ok()?), CODE))
}

/// At most `limit` characters, on one line.
fn cut(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

impl Refusal {
    pub(super) fn into_agent_error(self) -> AgentError {
        let status = self.status;
        let error = match self.kind {
            ErrorKind::RateLimited => AgentError::rate_limited(None),
            ErrorKind::Overloaded => AgentError::overloaded(None),
            ErrorKind::TimedOut => AgentError::timed_out(""),
            ErrorKind::DependencyUnavailable => AgentError::unavailable(""),
            ErrorKind::Unauthorized => AgentError::unauthorized(""),
            ErrorKind::ResourceExhausted => AgentError::resource_exhausted(""),
            ErrorKind::ContextTooLong => AgentError::context_too_long(""),
            ErrorKind::ContentFiltered => AgentError::content_filtered(""),
            ErrorKind::InvalidInput => AgentError::invalid_input(""),
            _ => AgentError::api(""),
        };
        let meaning = match self.kind {
            ErrorKind::RateLimited => "rate limited, try later",
            ErrorKind::Overloaded => "overloaded, try later",
            ErrorKind::TimedOut => "it had no answer in time",
            ErrorKind::DependencyUnavailable if !self.retryable => {
                "no such model, look at its name"
            }
            ErrorKind::DependencyUnavailable => "what stands behind it cannot be reached",
            ErrorKind::Unauthorized => "it does not take the key, look at the key and its rights",
            ErrorKind::ResourceExhausted => "no quota or credit left, look at the account",
            ErrorKind::ContextTooLong => "the request is too long for it",
            ErrorKind::ContentFiltered => "its content filter refused",
            ErrorKind::InvalidInput => "it does not take this request",
            _ if status < 400 => "it points elsewhere, and redirects are not followed",
            _ => "it failed",
        };
        error
            .with_message(format!("answered {status}: {meaning}"))
            .retryable(self.retryable)
            .may_have_run(self.may_have_run)
            .with_retry_after(self.retry_after)
    }
}
