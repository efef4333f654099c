//! Messages from a program, one per line.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Bytes between two messages that are no message and are overlooked: programs greet, libraries
/// print. A program that prints more is not speaking the protocol.
const NOISE_BYTES: usize = 64 * 1024;

/// Reads messages within limits.
pub(super) struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    limit: usize,
    noise: usize,
}

/// Why reading was given up.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// A message has more bytes than this.
    TooLong(usize),
    /// More than [`NOISE_BYTES`] of what is no message.
    Noise,
    Io(io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Messages of at most `limit` bytes.
    pub(super) fn new(from: R, limit: usize) -> Self {
        Self {
            from: BufReader::new(from),
            line: Vec::new(),
            limit,
            noise: 0,
        }
    }

    /// The next line that begins like a message; `None` at the end. A last line without its end
    /// is not one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        loop {
            let chunk = self.from.fill_buf().await.map_err(Unreadable::Io)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.line.extend_from_slice(&chunk[..taken]);
            self.from.consume(taken);
            if self.line.len() > self.limit.saturating_add(1) {
                return Err(Unreadable::TooLong(self.limit));
            }
            if end.is_none() {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.trim_ascii_start().starts_with(b"{") {
                self.noise = 0;
                return Ok(Some(line));
            }
            self.noise += line.trim_ascii().len();
            if self.noise > NOISE_BYTES {
                return Err(Unreadable::Noise);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8], limit: usize) -> (Vec<String>, Result<(), Unreadable>) {
        let (mut lines, mut read) = (Lines::new(text, limit), Vec::new());
        loop {
            match lines.next().await {
                Ok(Some(line)) => read.push(String::from_utf8_lossy(&line).trim().to_owned()),
                Ok(None) => return (read, Ok(())),
                Err(error) => return (read, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn a_greeting_is_overlooked_and_half_a_message_is_none() {
        let (lines, end) = read(b"hello\n\n  {\"a\":1}\r\nlog: x\n{\"b\":2}\n{\"c\"", 100).await;
        assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}"]);
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let (lines, end) = read(b"{2345678}\n", 9).await;
        assert_eq!((lines.len(), end.is_ok()), (1, true));
        let (lines, end) = read(b"{23456789}\n", 9).await;
        assert!(lines.is_empty() && matches!(end, Err(Unreadable::TooLong(9))));
        let (_, end) = read(&[b'x'; 1000], 9).await;
        assert!(
            matches!(end, Err(Unreadable::TooLong(9))),
            "a line without an end"
        );
    }

    #[tokio::test]
    async fn noise_is_counted_from_message_to_message() {
        let noise = format!("{}\n", "x".repeat(NOISE_BYTES - 1));
        let (lines, end) = read(format!("{noise}{{}}\n{noise}{{}}\n").as_bytes(), 1 << 20).await;
        assert_eq!((lines.len(), end.is_ok()), (2, true));
        let (_, end) = read(format!("{noise}{noise}").as_bytes(), 1 << 20).await;
        assert!(matches!(end, Err(Unreadable::Noise)));
    }
}
