//! When the other side wants to be asked again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;

/// The longest hint that is believed, an hour: after that, one probe finds out. It also bounds
/// what a mistaken or hostile header can do.
pub const MAX_HINT: Duration = Duration::from_secs(3600);

/// Wishes for this very request, the most exact first; each with the unit of a bare number.
///
/// - `retry-after-ms`: OpenAI and Azure clients read it before the standard one.
/// - `x-ms-retry-after-ms`: Azure.
/// - `retry-after`: RFC 9110, 10.2.3: seconds or a date. Fractions are seen in practice.
const WISHES: [(&str, Unit); 3] = [
    ("retry-after-ms", Unit::Millis),
    ("x-ms-retry-after-ms", Unit::Millis),
    ("retry-after", Unit::Seconds),
];

/// Beginnings of the names of headers that tell when a limit is reset; what follows is the name of
/// the limit. The name for what remains of it has `remaining` in the place of `reset`.
///
/// - `x-ratelimit-reset-requests`, `-tokens`: OpenAI, Groq, with `1m30.5s`; Cerebras adds the
///   window, `-requests-day`, in seconds.
/// - `x-ratelimit-reset`: GitHub, OpenRouter: a moment; others: seconds from now.
/// - `ratelimit-reset`: draft-ietf-httpapi-ratelimit-headers up to 07, seconds from now.
const RESETS: [&str; 2] = ["x-ratelimit-reset", "ratelimit-reset"];

/// As above, of Anthropic: `anthropic-ratelimit-requests-reset`, an RFC 3339 date.
const ANTHROPIC: &str = "anthropic-ratelimit-";

/// A bare number above this is a moment rather than a while: as a while, 1e9 s are 31 years.
const EPOCH_SECONDS: f64 = 1e9;
/// And above this one it counts milliseconds.
const EPOCH_MILLIS: f64 = 1e12;

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Millis,
}

/// How long the other side wants to be left alone, by its headers; `now` is the moment of the
/// answer. At most [`MAX_HINT`]; a moment that has passed is zero.
///
/// A wish for this very request (`retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` in seconds
/// or as a date) goes before the resets of limits (`x-ratelimit-reset*`, `ratelimit-reset`,
/// `ratelimit` with `t=`, `anthropic-ratelimit-*-reset`). Of the limits that are used up the last
/// reset counts; where none is said to be used up, the first one. What cannot be read is passed
/// over.
#[must_use]
pub fn retry_hint(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let wish = WISHES.iter().find_map(|(name, unit)| {
        let text = headers.get(*name)?.to_str().ok()?;
        read(text, *unit, now)
    });
    wish.or_else(|| reset(headers, now))
        .map(|hint| hint.min(MAX_HINT))
}

/// When the limit that holds the request up is reset.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let mut used_up = None;
    let mut any = None;
    for (name, value) in headers {
        let name = name.as_str();
        let Some(text) = value.to_str().ok().filter(|_| is_reset(name)) else {
            continue;
        };
        let after = match name {
            "ratelimit" => parameter(text, "t"),
            _ => read(text, Unit::Seconds, now),
        };
        let Some(after) = after else { continue };
        let remaining = match name {
            "ratelimit" => parameter(text, "r").map(|left| left.is_zero()),
            _ => {
                let left = headers.get(name.replace("reset", "remaining").as_str());
                left.and_then(|left| Some(left.to_str().ok()?.trim() == "0"))
            }
        };
        if remaining == Some(true) {
            used_up = used_up.max(Some(after));
        }
        any = Some(any.map_or(after, |least: Duration| least.min(after)));
    }
    used_up.or(any)
}

fn is_reset(name: &str) -> bool {
    name == "ratelimit"
        || RESETS.iter().any(|start| {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
        || name.starts_with(ANTHROPIC) && name.ends_with("-reset")
}

/// A while or a moment, as any of the headers has it.
fn read(text: &str, unit: Unit, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number_of(number, unit, now);
    }
    if let Some(duration) = with_units(text) {
        return Some(duration);
    }
    let moment = httpdate::parse_http_date(text)
        .or_else(|_| humantime::parse_rfc3339_weak(text))
        .ok()?;
    Some(moment.duration_since(now).unwrap_or_default())
}

fn number_of(number: f64, unit: Unit, now: SystemTime) -> Option<Duration> {
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let since_epoch = match number {
        _ if number >= EPOCH_MILLIS => Duration::try_from_secs_f64(number / 1000.0),
        _ if number >= EPOCH_SECONDS && matches!(unit, Unit::Seconds) => {
            Duration::try_from_secs_f64(number)
        }
        _ => {
            let seconds = match unit {
                Unit::Seconds => number,
                Unit::Millis => number / 1000.0,
            };
            return Duration::try_from_secs_f64(seconds).ok();
        }
    };
    let moment = UNIX_EPOCH.checked_add(since_epoch.ok()?)?;
    Some(moment.duration_since(now).unwrap_or_default())
}

/// `1h2m3.5s`, `17ms`, `6m0s`: numbers, each with its unit.
fn with_units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(end.unwrap_or(behind.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(sum)
}

/// A parameter of `"default";r=0;t=30`, as draft-ietf-httpapi-ratelimit-headers has it from 08 on.
fn parameter(text: &str, name: &str) -> Option<Duration> {
    let mut parameters = text.split([';', ',']).map(str::trim);
    let value = parameters.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(Duration::from_secs(value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    /// 2026-11-25T12:00:00Z
    const NOW: u64 = 1_795_608_000;

    fn hint(headers: &[(&str, &str)]) -> Option<f64> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a header name");
                (name, HeaderValue::from_str(value).expect("a header value"))
            })
            .collect();
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        retry_hint(&headers, now).map(|hint| hint.as_secs_f64())
    }

    #[test]
    fn every_form_seen_in_the_field_is_read() {
        for (name, value, seconds) in [
            ("retry-after", "30", 30.0),
            ("retry-after", " 7 ", 7.0),
            ("retry-after", "1.5", 1.5),
            ("retry-after", "0", 0.0),
            ("retry-after", "Wed, 25 Nov 2026 12:00:20 GMT", 20.0),
            ("retry-after", "Wed, 25 Nov 2026 11:59:00 GMT", 0.0),
            ("retry-after-ms", "250", 0.25),
            ("retry-after-ms", "1234.5", 1.2345),
            ("x-ms-retry-after-ms", "9000", 9.0),
            ("x-ratelimit-reset-requests", "1s", 1.0),
            ("x-ratelimit-reset-tokens", "6m0s", 360.0),
            ("x-ratelimit-reset-tokens", "17ms", 0.017),
            ("x-ratelimit-reset-requests", "1m30.951s", 90.951),
            ("x-ratelimit-reset-requests-day", "1803.2", 1803.2),
            ("x-ratelimit-reset", "1795608060", 60.0),
            ("x-ratelimit-reset", "1795608060000", 60.0),
            ("x-ratelimit-reset", "45", 45.0),
            ("ratelimit-reset", "12", 12.0),
            ("ratelimit", "\"default\";r=0;t=40", 40.0),
            (
                "anthropic-ratelimit-tokens-reset",
                "2026-11-25T12:00:08Z",
                8.0,
            ),
        ] {
            assert_eq!(hint(&[(name, value)]), Some(seconds), "{name}: {value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_hint() {
        for value in [
            "",
            "soon",
            "-5",
            "NaN",
            "inf",
            "1x",
            "1e999",
            "5s6",
            "Wed, 99 Nov",
        ] {
            assert_eq!(hint(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(hint(&[("x-ratelimit-resets", "5")]), None);
        assert_eq!(hint(&[("x-ratelimit-limit-requests", "60")]), None);
    }

    #[test]
    fn an_absurd_hint_is_capped() {
        for value in [
            "86400",
            "999999999",
            "4102444800",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(hint(&[("retry-after", value)]), Some(3600.0), "{value}");
        }
    }

    #[test]
    fn a_wish_for_this_request_goes_before_the_reset_of_a_limit() {
        let resets = ("x-ratelimit-reset-tokens", "6m0s");
        assert_eq!(hint(&[resets, ("retry-after", "3")]), Some(3.0));
        assert_eq!(
            hint(&[("retry-after", "3"), ("retry-after-ms", "2500")]),
            Some(2.5)
        );
        assert_eq!(hint(&[("retry-after", "soon"), resets]), Some(360.0));
    }

    #[test]
    fn of_the_limits_the_one_that_is_used_up_counts() {
        let limits = [
            ("x-ratelimit-reset-requests", "2s"),
            ("x-ratelimit-reset-tokens", "30s"),
            ("x-ratelimit-remaining-requests", "12"),
        ];
        assert_eq!(hint(&limits), Some(2.0), "none is said to be used up");
        let used_up = [limits.as_slice(), &[("x-ratelimit-remaining-tokens", "0")]].concat();
        assert_eq!(hint(&used_up), Some(30.0));
    }
}
