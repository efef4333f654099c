//! The rules of a breaker: those of a preset, and what the file puts in their place.

use std::ops::Range;
use std::time::Duration;

use fusebox_breaker::presets::{self, Preset};
use fusebox_breaker::{Config, ConfigError};
use toml::Spanned;

use super::diagnostic::{FileError, Source, suggestion};
use super::raw::{RawAgent, RawBreaker};
use super::time::Time;

/// What a table says of a breaker, whatever else it says.
pub(super) struct Rules<'a> {
    preset: Option<&'a Spanned<String>>,
    recovery_objective: Option<&'a Spanned<Time>>,
    /// How long a call may take, and so a probe.
    limit: Option<&'a Spanned<Time>>,
    consecutive_failures: Option<&'a Spanned<u32>>,
    window_size: Option<&'a Spanned<u32>>,
    minimum_number_of_calls: Option<&'a Spanned<u32>>,
    failure_rate_threshold: Option<&'a Spanned<f64>>,
    wait_duration_in_open: Option<&'a Spanned<Time>>,
    max_wait_duration_in_open: Option<&'a Spanned<Time>>,
    successes_to_close: Option<&'a Spanned<u32>>,
    max_concurrent_probes: Option<&'a Spanned<u32>>,
}

impl<'a> From<&'a RawAgent> for Rules<'a> {
    fn from(raw: &'a RawAgent) -> Self {
        Self {
            preset: raw.preset.as_ref(),
            recovery_objective: raw.recovery_objective.as_ref(),
            limit: raw.attempt_timeout.as_ref(),
            consecutive_failures: raw.consecutive_failures.as_ref(),
            window_size: raw.window_size.as_ref(),
            minimum_number_of_calls: raw.minimum_number_of_calls.as_ref(),
            failure_rate_threshold: raw.failure_rate_threshold.as_ref(),
            wait_duration_in_open: raw.wait_duration_in_open.as_ref(),
            max_wait_duration_in_open: raw.max_wait_duration_in_open.as_ref(),
            successes_to_close: raw.successes_to_close.as_ref(),
            max_concurrent_probes: raw.max_concurrent_probes.as_ref(),
        }
    }
}

impl<'a> From<&'a RawBreaker> for Rules<'a> {
    fn from(raw: &'a RawBreaker) -> Self {
        Self {
            preset: raw.preset.as_ref(),
            recovery_objective: raw.recovery_objective.as_ref(),
            limit: raw.probe_deadline.as_ref(),
            consecutive_failures: raw.consecutive_failures.as_ref(),
            window_size: raw.window_size.as_ref(),
            minimum_number_of_calls: raw.minimum_number_of_calls.as_ref(),
            failure_rate_threshold: raw.failure_rate_threshold.as_ref(),
            wait_duration_in_open: raw.wait_duration_in_open.as_ref(),
            max_wait_duration_in_open: raw.max_wait_duration_in_open.as_ref(),
            successes_to_close: raw.successes_to_close.as_ref(),
            max_concurrent_probes: raw.max_concurrent_probes.as_ref(),
        }
    }
}

impl Rules<'_> {
    /// The preset that is named, with what the file says in the place of what it says.
    ///
    /// # Errors
    /// If there is no such preset.
    pub(super) fn preset(&self, source: &Source) -> Result<Preset, FileError> {
        let mut preset = match self.preset {
            None => presets::AGENT,
            Some(name) => presets::by_name(name.get_ref()).ok_or_else(|| {
                let known = presets::ALL.iter().map(|preset| preset.name);
                let message = format!("preset `{}` does not exist", name.get_ref());
                let help = suggestion("presets", name.get_ref(), known);
                source.error(name.span(), message, help)
            })?,
        };
        set(
            &mut preset.recovery_objective,
            time(self.recovery_objective),
        );
        set(&mut preset.attempt_timeout, time(self.limit));
        set(
            &mut preset.consecutive_failures,
            number(self.consecutive_failures),
        );
        set(
            &mut preset.successes_to_close,
            number(self.successes_to_close),
        );
        set(
            &mut preset.max_concurrent_probes,
            number(self.max_concurrent_probes),
        );
        let window = &mut preset.window;
        set(&mut window.size, number(self.window_size));
        set(
            &mut window.minimum_number_of_calls,
            number(self.minimum_number_of_calls),
        );
        set(
            &mut window.failure_rate_threshold,
            number(self.failure_rate_threshold),
        );
        set(
            &mut preset.wait_duration_in_open,
            time(self.wait_duration_in_open),
        );
        // A cap the file does not mention follows the wait it does.
        let cap = preset
            .max_wait_duration_in_open
            .max(preset.wait_duration_in_open);
        preset.max_wait_duration_in_open = time(self.max_wait_duration_in_open).unwrap_or(cap);
        Ok(preset)
    }

    /// A breaker with these rules.
    ///
    /// # Errors
    /// If there is no such preset, or the rules contradict each other; `span` is where their table is.
    pub(super) fn breaker(
        &self,
        source: &Source,
        span: &Range<usize>,
    ) -> Result<Config, FileError> {
        let config = self.preset(source)?.config();
        config.map_err(|error| self.error(source, &error, span))
    }

    /// What is wrong with the rules, at the field that is, if the file sets it, else at `span`.
    pub(super) fn error(
        &self,
        source: &Source,
        error: &ConfigError,
        span: &Range<usize>,
    ) -> FileError {
        let fields: Vec<&str> = error.fields().to_vec();
        let place = fields
            .iter()
            .find_map(|field| self.span_of(field))
            .unwrap_or_else(|| span.clone());
        let help = match fields.as_slice() {
            [one] => format!("change `{one}`"),
            many => format!("change one of: {}", many.join(", ")),
        };
        // The file says of which window it is the size.
        let message = error.to_string().replace("`size`", "`window_size`");
        source.error(place, message, help)
    }

    /// Where the file sets the field that a configuration error names.
    fn span_of(&self, field: &str) -> Option<Range<usize>> {
        let time = |value: Option<&Spanned<Time>>| value.map(Spanned::span);
        let count = |value: Option<&Spanned<u32>>| value.map(Spanned::span);
        match field {
            "recovery_objective" => time(self.recovery_objective),
            "wait_duration_in_open" => time(self.wait_duration_in_open),
            "max_wait_duration_in_open" => time(self.max_wait_duration_in_open),
            "attempt_timeout" | "probe_deadline" => time(self.limit),
            "consecutive_failures" => count(self.consecutive_failures),
            "size" | "count_window.size" => count(self.window_size),
            "minimum_number_of_calls" | "count_window.minimum_number_of_calls" => {
                count(self.minimum_number_of_calls)
            }
            "failure_rate_threshold" | "count_window.failure_rate_threshold" => {
                self.failure_rate_threshold.map(Spanned::span)
            }
            "successes_to_close" => count(self.successes_to_close),
            "max_concurrent_probes" => count(self.max_concurrent_probes),
            _ => None,
        }
    }
}

/// Puts a value that is given in the place of another.
pub(super) fn set<T: Copy>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub(super) fn number<T: Copy>(raw: Option<&Spanned<T>>) -> Option<T> {
    raw.map(|number| *number.get_ref())
}

pub(super) fn time(raw: Option<&Spanned<Time>>) -> Option<Duration> {
    raw.map(|time| time.get_ref().0)
}
