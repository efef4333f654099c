//! The body of an answer, as it comes and as it goes on.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use crate::fault::At;
use crate::message::Head;

/// Reads a body piece by piece, whatever its coding.
pub(crate) struct Body<'a, R> {
    from: &'a mut R,
    coding: Coding,
}

enum Coding {
    Length(usize),
    /// Bytes left of the chunk, and whether the first has been read.
    Chunked {
        left: usize,
        is_begun: bool,
    },
    UntilClosed,
}

impl<'a, R: AsyncBufRead + Unpin> Body<'a, R> {
    pub(crate) fn new(head: &Head, from: &'a mut R) -> Self {
        let coding = match head.length() {
            _ if head.is_bodiless() => Coding::Length(0),
            _ if head.is_chunked() => Coding::Chunked {
                left: 0,
                is_begun: false,
            },
            Some(length) => Coding::Length(length),
            None => Coding::UntilClosed,
        };
        Self { from, coding }
    }

    /// The next piece; an empty one at the end. Dropping the future may lose a part of a piece, so
    /// it is done only to give up.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        let most = match &mut self.coding {
            Coding::Length(left) => *left,
            Coding::UntilClosed => usize::MAX,
            Coding::Chunked { left, is_begun } => {
                if *left == 0 {
                    if *is_begun {
                        self.from.read_line(&mut String::new()).await?;
                    }
                    *is_begun = true;
                    let mut size = String::new();
                    self.from.read_line(&mut size).await?;
                    let size = size.split(';').next().unwrap_or_default().trim();
                    *left = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
                }
                *left
            }
        };
        let mut piece = Vec::new();
        if most == 0 {
            return Ok(piece);
        }
        let available = self.from.fill_buf().await?.len().min(most);
        piece.resize(available, 0);
        self.from.read_exact(&mut piece).await?;
        match &mut self.coding {
            Coding::Length(left) | Coding::Chunked { left, .. } if available > 0 => {
                *left -= available;
            }
            Coding::UntilClosed => {}
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(piece)
    }
}

/// Finds a point of a body while it passes.
pub(crate) struct Finder {
    at: At,
    passed: usize,
    last_line_was_empty: bool,
    line_is_empty: bool,
}

impl Finder {
    pub(crate) fn new(at: At) -> Self {
        Self {
            at,
            passed: 0,
            last_line_was_empty: true,
            line_is_empty: true,
        }
    }

    /// How much of the next piece comes before the point; `None` if all of it does.
    pub(crate) fn find(&mut self, piece: &[u8]) -> Option<usize> {
        match self.at {
            At::Byte(at) => {
                let left = at - self.passed;
                self.passed += piece.len().min(left);
                (left <= piece.len()).then_some(left)
            }
            At::Event(0) => Some(0),
            At::Event(events) => {
                for (index, &byte) in piece.iter().enumerate() {
                    if self.ends_event(byte) {
                        self.passed += 1;
                        if self.passed == events {
                            return Some(index + 1);
                        }
                    }
                }
                None
            }
        }
    }

    /// An event ends with an empty line that does not follow another.
    fn ends_event(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' => false,
            b'\n' => {
                let ends = self.line_is_empty && !self.last_line_was_empty;
                self.last_line_was_empty = self.line_is_empty;
                self.line_is_empty = true;
                ends
            }
            _ => {
                self.line_is_empty = false;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_over_pieces_and_both_line_ends() {
        let mut finder = Finder::new(At::Event(2));
        assert_eq!(finder.find(b"data: 1\n"), None);
        assert_eq!(finder.find(b"\n\ndata: 2\r\n\r\ndata: 3\n\n"), Some(13));
        assert_eq!(Finder::new(At::Event(0)).find(b"data: 1\n\n"), Some(0));
    }

    #[test]
    fn bytes_are_counted_over_pieces() {
        let mut finder = Finder::new(At::Byte(5));
        assert_eq!(finder.find(b"abc"), None);
        assert_eq!(finder.find(b"abc"), Some(2));
        assert_eq!(Finder::new(At::Byte(3)).find(b"abc"), Some(3));
    }

    #[tokio::test]
    async fn bodies_of_every_coding_are_read() {
        for (head, body) in [
            ("content-length: 5", "hello and more"),
            (
                "transfer-encoding: chunked",
                "2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            ),
            ("server: x", "hello"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
            let mut from = text.as_bytes();
            let head = Head::read(&mut from)
                .await
                .expect("it reads")
                .expect("a head");
            let (mut body, mut whole) = (Body::new(&head, &mut from), Vec::new());
            loop {
                match body.next().await.expect("it reads") {
                    piece if piece.is_empty() => break,
                    piece => whole.extend(piece),
                }
            }
            assert_eq!(whole, b"hello", "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        for head in ["content-length: 9", "transfer-encoding: chunked"] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n9\r\nhel");
            let mut from = text.as_bytes();
            let head = Head::read(&mut from)
                .await
                .expect("it reads")
                .expect("a head");
            let mut body = Body::new(&head, &mut from);
            let mut last = body.next().await;
            while last.as_ref().is_ok_and(|piece| !piece.is_empty()) {
                last = body.next().await;
            }
            assert!(last.is_err());
        }
    }
}
