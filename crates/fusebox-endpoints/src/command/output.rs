//! What a program printed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;

use fusebox_agent::{AgentError, Context};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::CommandAgent;

/// Lines of standard error that become progress; a chatty program must not flood the journal.
const PROGRESS_LINES: usize = 1000;
/// Lines of standard error that an error message carries.
const LAST_LINES: usize = 8;
/// Bytes of a line of standard error that are kept.
const LINE_BYTES: usize = 500;
/// Bytes of an output that is no JSON that its error shows.
const SHOWN_BYTES: usize = 80;

/// How standard output becomes a reply. It must be UTF-8 in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OutputFormat {
    /// One JSON document, white space around it allowed: the output as it is.
    #[default]
    Json,
    /// Any text: `{"lines": ["...", ...]}`, without the line ends.
    Lines,
    /// Any text: `{"text": "..."}`, unchanged.
    Text,
}

/// Why an output is no reply. Its text goes on where a sentence names the program: "printed …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableOutput(String);

impl OutputFormat {
    /// The reply that a program's whole standard output is.
    ///
    /// # Errors
    /// [`UnreadableOutput`] says what was printed instead.
    pub fn read(self, bytes: Vec<u8>) -> Result<Value, UnreadableOutput> {
        if self == Self::Json {
            return serde_json::from_slice(&bytes).map_err(|error| no_json(&bytes, &error));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            UnreadableOutput(format!(
                "printed something that is not utf-8, at byte {at} of its standard output"
            ))
        })?;
        Ok(match self {
            Self::Lines => json!({"lines": text.lines().collect::<Vec<_>>()}),
            Self::Json | Self::Text => json!({"text": text}),
        })
    }
}

fn no_json(bytes: &[u8], error: &serde_json::Error) -> UnreadableOutput {
    if bytes.trim_ascii().is_empty() {
        let nothing = "printed nothing, expected one json document on its standard output";
        return UnreadableOutput(nothing.to_owned());
    }
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let dots = if shown.len() < bytes.len() { "..." } else { "" };
    UnreadableOutput(format!(
        "printed something that is not one json document: {error}; it begins with {:?}{dots}",
        String::from_utf8_lossy(shown)
    ))
}

/// Why reading was given up; the program is to be killed.
#[derive(Debug)]
pub(super) enum ReadError {
    TooMuch { limit: usize },
    Io(io::Error),
}

impl ReadError {
    pub(super) fn into_agent_error(self, agent: &CommandAgent, last: &str) -> AgentError {
        match self {
            Self::TooMuch { limit } => AgentError::invalid_output(format!(
                "program `{agent}` was killed for printing more than {limit} bytes, print less or raise the limit{last}"
            ))
            .retryable(false),
            Self::Io(error) => AgentError::failed(format!(
                "program `{agent}` was killed because its output cannot be read{last}"
            ))
            .with_source(error),
        }
    }
}

/// Standard output, kept whole up to a limit.
pub(super) struct Stdout {
    bytes: Vec<u8>,
    limit: usize,
}

impl Stdout {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    /// Reads to the end. Dropping the future keeps what was read.
    pub(super) async fn fill(&mut self, mut from: impl AsyncRead + Unpin) -> Result<(), ReadError> {
        while from
            .read_buf(&mut self.bytes)
            .await
            .map_err(ReadError::Io)?
            > 0
        {
            if self.bytes.len() > self.limit {
                return Err(ReadError::TooMuch { limit: self.limit });
            }
        }
        Ok(())
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Standard error: lines go to progress as they come, the last ones are kept.
pub(super) struct Stderr<'a> {
    cx: &'a Context,
    line: Vec<u8>,
    last: VecDeque<String>,
    lines: usize,
}

impl<'a> Stderr<'a> {
    pub(super) fn new(cx: &'a Context) -> Self {
        Self {
            cx,
            line: Vec::new(),
            last: VecDeque::new(),
            lines: 0,
        }
    }

    /// Reads to the end. Dropping the future keeps what was read.
    pub(super) async fn fill(&mut self, mut from: impl AsyncRead + Unpin) -> Result<(), ReadError> {
        let mut chunk = [0; 4096];
        loop {
            let length = from.read(&mut chunk).await.map_err(ReadError::Io)?;
            if length == 0 {
                break;
            }
            self.take(&chunk[..length]);
        }
        if !self.line.is_empty() {
            self.end_line();
        }
        Ok(())
    }

    /// The last lines as the end of an error message; empty if there are none.
    pub(super) fn last_lines(&self) -> String {
        let mut text = String::new();
        let begun = String::from_utf8_lossy(&self.line);
        let begun = (!begun.trim().is_empty()).then_some(begun.as_ref());
        let lines = self.last.iter().map(String::as_str).chain(begun);
        for (index, line) in lines.enumerate() {
            let before = if index == 0 {
                "; last on standard error: "
            } else {
                " | "
            };
            let _ = write!(text, "{before}{}", line.trim());
        }
        text
    }

    fn take(&mut self, chunk: &[u8]) {
        for part in chunk.split_inclusive(|&byte| byte == b'\n') {
            let line = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&line[..line.len().min(room)]);
            if line.len() < part.len() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        if line.is_empty() {
            return;
        }
        self.lines += 1;
        match self.lines {
            ..=PROGRESS_LINES => self.cx.progress(&line),
            n if n == PROGRESS_LINES + 1 => self.cx.progress("(further lines are not shown)"),
            _ => {}
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn an_error_says_what_was_printed_instead_of_json() {
        let read = |text: &str| {
            let error = OutputFormat::Json.read(text.into());
            error.expect_err("no json").to_string()
        };
        assert_eq!(
            read(" \n"),
            "printed nothing, expected one json document on its standard output"
        );
        assert_eq!(
            read("hello\n"),
            "printed something that is not one json document: expected value at line 1 column 1; \
             it begins with \"hello\\n\""
        );
        assert!(read("{} {}").contains("trailing characters at line 1 column 4"));
        let long = read(&"x".repeat(1000));
        assert!(long.ends_with("x\"..."), "{long}");
    }

    #[test]
    fn text_formats_keep_lines_apart_or_text_whole() {
        let lines = OutputFormat::Lines.read(b"a\n\nb".to_vec());
        assert_eq!(lines, Ok(json!({"lines": ["a", "", "b"]})));
        let text = OutputFormat::Text.read(b"a\nb\n".to_vec());
        assert_eq!(text, Ok(json!({"text": "a\nb\n"})));
        let binary = OutputFormat::Text.read(b"ab\xff".to_vec());
        let error = binary.expect_err("not utf-8").to_string();
        assert!(error.contains("at byte 2"), "{error}");
    }

    #[tokio::test]
    async fn standard_error_is_bounded_in_lines_and_in_their_length() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let cx = Context::new("run", "step").with_progress(move |line| {
            sink.lock().expect("no panic").push(line.to_owned());
        });
        let mut text = "x".repeat(100_000);
        for number in 0..2000 {
            let _ = write!(text, "\nline {number}");
        }
        let mut stderr = Stderr::new(&cx);
        stderr.fill(text.as_bytes()).await.expect("memory reads");
        let seen = seen.lock().expect("no panic");
        assert_eq!(seen.len(), PROGRESS_LINES + 1);
        assert_eq!(seen[0].len(), LINE_BYTES);
        assert_eq!(seen[PROGRESS_LINES], "(further lines are not shown)");
        assert_eq!(stderr.last.len(), LAST_LINES);
        assert!(stderr.last_lines().ends_with("| line 1999"));
    }

    #[tokio::test]
    async fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let bytes = vec![b'x'; 10_000];
        let mut enough = Stdout::new(10_000);
        assert!(enough.fill(bytes.as_slice()).await.is_ok());
        let mut too_little = Stdout::new(9_999);
        let error = too_little.fill(bytes.as_slice()).await;
        assert!(matches!(error, Err(ReadError::TooMuch { limit: 9_999 })));
    }
}
