//! Errors that point into a file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file's name and text, to make errors of it that point at the place; also for other files of TOML that go with a
/// workflow file.
///
/// ```
/// use fusebox_orchestrator::file::Source;
///
/// let source = Source::new("plan.toml", "seeds = 0");
/// let error = source.error(8..9, "no seed at all", "give at least 1");
/// assert!(error.to_string().starts_with("plan.toml:1:9: no seed at all"), "{error}");
/// ```
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    /// The file called `name` in errors.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..floor_boundary(&self.text, offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// Reads the text as TOML. `docs` is where a reader finds what the file may say.
    ///
    /// # Errors
    /// The first fault of TOML's grammar, of a name or of a type.
    pub fn parse<T: DeserializeOwned>(&self, docs: &str) -> Result<T, FileErrors> {
        toml::from_str(&self.text).map_err(|error| FileErrors::from_toml(self, &error, docs))
    }

    /// A fault at a range of bytes: what is wrong, and what would be right.
    pub fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> FileError {
        let (line, column) = self.position(span.start);
        let shown = self
            .text
            .lines()
            .nth(line - 1)
            .unwrap_or_default()
            .to_owned();
        let help: String = help.into();
        let width = self.text.get(span).map_or(1, |text| {
            text.lines().next().unwrap_or_default().chars().count()
        });
        FileError {
            file: self.name.to_string(),
            line,
            column,
            message: visible(&message.into()),
            help: Some(visible(&help)).filter(|help| !help.is_empty()),
            shown: visible(&shown),
            width: width.max(1),
        }
    }

    /// As [`error`](Self::error), where what stands at the place may be a secret: the line is shown
    /// up to it.
    pub(crate) fn secret_error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> FileError {
        const REDACTED: &str = "[redacted]";
        let mut error = self.error(span, message, help);
        let before = error.shown.chars().take(error.column - 1);
        error.shown = before.chain(REDACTED.chars()).collect();
        error.width = REDACTED.len();
        error
    }
}

/// The text on one line and without what a terminal would act on: an error repeats parts of its file, and a file may
/// come from anywhere.
fn visible(text: &str) -> String {
    let plain = |c: char| match c {
        // As wide as what it stands for, so that the caret stays beneath its column.
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(plain).collect()
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One fault of a file: where, what is wrong, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    #[serde(skip)]
    shown: String,
    #[serde(skip)]
    width: usize,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", self.shown)?;
        write!(
            f,
            " {margin} | {}{}",
            " ".repeat(self.column - 1),
            "^".repeat(self.width)
        )?;
        if let Some(help) = &self.help {
            write!(f, "\n {margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// Every fault found in a file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FileErrors(Vec<FileError>);

impl FileErrors {
    /// Nothing where a file has no faults.
    ///
    /// # Errors
    /// All that it has, in the order of the file.
    pub fn check(faults: Vec<FileError>) -> Result<(), Self> {
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Self::new(faults)),
        }
    }

    pub(crate) fn new(mut errors: Vec<FileError>) -> Self {
        errors.sort_by_key(|error| (error.line, error.column));
        Self(errors)
    }

    fn from_toml(source: &Source, error: &toml::de::Error, docs: &str) -> Self {
        let span = error.span().unwrap_or(0..0);
        let message = error
            .message()
            .lines()
            .next()
            .unwrap_or("not valid TOML")
            .to_owned();
        // The parser's further lines say what it would have taken.
        let mut help: Vec<&str> = error.message().lines().skip(1).collect();
        let (message, allowed) = match message.split_once(", expected ") {
            Some((what, expected)) => (what.to_owned(), format!("expected {expected}")),
            None => (message, String::new()),
        };
        if !allowed.is_empty() {
            help.insert(0, &allowed);
        }
        let help = if help.is_empty() {
            default_help(&message, docs)
        } else {
            help.join("; ")
        };
        Self::new(vec![source.error(span, message, help)])
    }

    /// These, followed by the faults of other files.
    #[must_use]
    pub fn and(mut self, others: Vec<FileError>) -> Self {
        self.0.extend(others);
        self
    }

    pub(crate) fn into_errors(self) -> Vec<FileError> {
        self.0
    }

    /// The faults, in the order of the file; those of the files it includes after its own.
    pub fn errors(&self) -> &[FileError] {
        &self.0
    }
}

fn default_help(message: &str, docs: &str) -> String {
    match message.strip_prefix("missing field ") {
        Some(field) => format!("add {} = … to this table", field.replace('`', "")),
        None => format!("see {docs}"),
    }
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

/// Help about a name that is none of those `known`: "did you mean" where one is near, and what there is. `what` they
/// are is a plural.
pub fn suggestion<'a>(what: &str, wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known
        .iter()
        .map(|name| (distance(wrong, name), *name))
        .min();
    let list = format!("{what}: {}", known.join(", "));
    match near {
        Some((steps, name)) if steps <= 2 && steps < name.len() => {
            format!("did you mean `{name}`? {list}")
        }
        _ if known.is_empty() => format!("there are no {what} yet"),
        _ => list,
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            let best = change.min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_edit_distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("data", "dat", 1),
            ("triage", "traige", 2),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn what_a_terminal_would_act_on_is_not_repeated() {
        let source = Source::new("f", "a = \"\u{1b}[31m\tred\"");
        let error = source.error(4..5, "`\u{1b}[31m\nred` is no color", "");
        let shown = error.to_string();
        assert!(!shown.contains(['\u{1b}', '\t']), "{shown:?}");
        assert_eq!(shown.lines().count(), 4, "{shown}");
    }

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", "a = \"é\" b");
        assert_eq!(source.position("a = \"é\" ".len()), (1, 9));
    }
}
