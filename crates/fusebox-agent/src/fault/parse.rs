//! Fault rules as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{FaultKind, FaultRule};

/// Why a fault rule cannot be used; the message says what is allowed instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultParseError {
    /// No such kind of fault.
    #[error("unknown fault `{found}`, use one of {}", kinds())]
    UnknownKind {
        /// What stood in its place.
        found: String,
    },
    /// A rule without a ratio.
    #[error("fault `{kind}` has no ratio, write for example `{kind}:0.5`")]
    MissingRatio {
        /// The fault.
        kind: FaultKind,
    },
    /// Not a ratio.
    #[error("ratio `{found}` of fault `{kind}` is not a number from 0.0 to 1.0")]
    Ratio {
        /// The fault.
        kind: FaultKind,
        /// What stood in its place.
        found: String,
    },
    /// No such option.
    #[error("unknown option `{found}` of fault `{kind}`, use {}", options(*.kind))]
    UnknownOption {
        /// The fault.
        kind: FaultKind,
        /// What stood in its place.
        found: String,
    },
    /// An option given twice.
    #[error("option `{option}` of fault `{kind}` is given twice, keep one")]
    RepeatedOption {
        /// The fault.
        kind: FaultKind,
        /// The option.
        option: &'static str,
    },
    /// Not a duration.
    #[error(
        "`{option}={found}` of fault `{kind}` is not a duration, write for example `500ms`, `6s` or `2m`"
    )]
    Duration {
        /// The fault.
        kind: FaultKind,
        /// The option.
        option: &'static str,
        /// What stood in its place.
        found: String,
    },
    /// `latency` without `delay`.
    #[error("fault `latency` has no delay, write for example `latency:0.5,delay=300ms`")]
    MissingDelay,
    /// A fault that would never be on.
    #[error("fault `{kind}` is never on: from={} is not before until={}", Span(*.from), Span(*.until))]
    EmptyWindow {
        /// The fault.
        kind: FaultKind,
        /// When it would start.
        from: Duration,
        /// When it would end.
        until: Duration,
    },
    /// An entry of a plan that names no agent.
    #[error("`{found}` names no agent, write for example `data=timeout:0.6`")]
    MissingAgent {
        /// The entry.
        found: String,
    },
}

impl FaultRule {
    pub(super) fn checked(
        kind: FaultKind,
        ratio: f64,
        from: Duration,
        until: Option<Duration>,
        delay: Option<Duration>,
    ) -> Result<Self, FaultParseError> {
        if !(0.0..=1.0).contains(&ratio) {
            let found = ratio.to_string();
            return Err(FaultParseError::Ratio { kind, found });
        }
        if let Some(until) = until.filter(|&until| from >= until) {
            return Err(FaultParseError::EmptyWindow { kind, from, until });
        }
        if kind == FaultKind::Latency && delay.is_none() {
            return Err(FaultParseError::MissingDelay);
        }
        Ok(Self {
            kind,
            ratio,
            from,
            until,
            delay: delay.unwrap_or_default(),
        })
    }
}

impl FromStr for FaultKind {
    type Err = FaultParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|kind| kind.as_str() == text);
        known.copied().ok_or_else(|| FaultParseError::UnknownKind {
            found: text.to_owned(),
        })
    }
}

impl FromStr for FaultRule {
    type Err = FaultParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let (kind, ratio) = match head.split_once(':') {
            Some((kind, ratio)) => (kind.trim().parse::<FaultKind>()?, ratio.trim()),
            None => {
                let kind = head.parse()?;
                return Err(FaultParseError::MissingRatio { kind });
            }
        };
        let ratio: f64 = ratio.parse().map_err(|_| FaultParseError::Ratio {
            kind,
            found: ratio.to_owned(),
        })?;
        let mut options = Options::default();
        for part in parts {
            options.read(kind, part)?;
        }
        let Options { from, until, delay } = options;
        Self::checked(kind, ratio, from.unwrap_or_default(), until, delay)
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.ratio)?;
        if let Some(delay) = self.given_delay() {
            write!(f, ",delay={}", Span(delay))?;
        }
        if !self.from.is_zero() {
            write!(f, ",from={}", Span(self.from))?;
        }
        if let Some(until) = self.until {
            write!(f, ",until={}", Span(until))?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Options {
    from: Option<Duration>,
    until: Option<Duration>,
    delay: Option<Duration>,
}

impl Options {
    fn read(&mut self, kind: FaultKind, part: &str) -> Result<(), FaultParseError> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (option, slot) = match name.trim() {
            "from" => ("from", &mut self.from),
            "until" => ("until", &mut self.until),
            "delay" if kind == FaultKind::Latency => ("delay", &mut self.delay),
            other => {
                let found = other.to_owned();
                return Err(FaultParseError::UnknownOption { kind, found });
            }
        };
        let value = value.trim();
        let duration = parse_duration(value).ok_or_else(|| FaultParseError::Duration {
            kind,
            option,
            found: value.to_owned(),
        })?;
        match slot.replace(duration) {
            None => Ok(()),
            Some(_) => Err(FaultParseError::RepeatedOption { kind, option }),
        }
    }
}

/// Reads `500ms`, `6s`, `1.5s`, `2m`, `1h`; nothing else, and nothing that does not fit.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None; // no sign, no bare point
    }
    let number: f64 = number.parse().ok()?;
    // Milliseconds divide, so that 300ms is the nearest duration there is and prints as it was read.
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Shows a duration in the way [`parse_duration`] reads it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_nanos() == 0 {
            write!(f, "{}s", self.0.as_secs())
        } else {
            write!(f, "{}ms", self.0.as_secs_f64() * 1000.0)
        }
    }
}

fn kinds() -> String {
    let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
    names.join(", ")
}

fn options(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Latency => "from=, until= or delay=",
        _ => "from= or until=",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let rule = text.parse::<FaultRule>();
        rule.expect_err("must be refused").to_string()
    }

    #[test]
    fn rules_are_shown_as_they_are_read() {
        for text in [
            "timeout:0.6",
            "timeout:1,until=6s",
            "exhaustion:0.9",
            "api:0.3",
            "corruption:0.4,from=2s,until=120s",
            "dependency:0.2",
            "breaker-open:1",
            "latency:0.5,delay=300ms",
            "latency:0.5,delay=1500ms,from=250ms",
            "hang:0.1",
        ] {
            let rule: FaultRule = text.parse().expect("a valid rule");
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn spaces_minutes_and_fractions_are_read() {
        let rule: FaultRule = " timeout : 0.5 , from = 1.5s , until = 2m "
            .parse()
            .expect("a valid rule");
        assert_eq!(rule.from(), Duration::from_millis(1500));
        assert_eq!(rule.until(), Some(Duration::from_secs(120)));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        assert_eq!(
            error("timeot:0.6"),
            "unknown fault `timeot`, use one of timeout, hang, exhaustion, api, dependency, \
             breaker-open, latency, corruption"
        );
        assert_eq!(
            error("api"),
            "fault `api` has no ratio, write for example `api:0.5`"
        );
        for ratio in ["1.5", "-0.1", "NaN", "half", ""] {
            assert_eq!(
                error(&format!("api:{ratio}")),
                format!("ratio `{ratio}` of fault `api` is not a number from 0.0 to 1.0")
            );
        }
        assert_eq!(
            error("api:0.5,delay=1s"),
            "unknown option `delay` of fault `api`, use from= or until="
        );
        assert_eq!(
            error("api:0.5,until=1s,until=2s"),
            "option `until` of fault `api` is given twice, keep one"
        );
        for duration in ["6", "", "-1s", "+1s", "1 s", "6d", "1e400s", "infs", ".5s"] {
            assert_eq!(
                error(&format!("api:0.5,until={duration}")),
                format!(
                    "`until={duration}` of fault `api` is not a duration, write for example \
                     `500ms`, `6s` or `2m`"
                )
            );
        }
        assert_eq!(
            error("latency:0.5"),
            "fault `latency` has no delay, write for example `latency:0.5,delay=300ms`"
        );
        assert_eq!(
            error("api:0.5,from=2s,until=2s"),
            "fault `api` is never on: from=2s is not before until=2s"
        );
    }

    #[test]
    fn a_rule_is_on_from_its_start_up_to_but_not_at_its_end() {
        let rule: FaultRule = "api:1,from=2s,until=6s".parse().expect("a valid rule");
        let on = |ms| rule.is_on(Duration::from_millis(ms));
        assert_eq!(
            [on(1999), on(2000), on(5999), on(6000)],
            [false, true, true, false]
        );
    }
}
