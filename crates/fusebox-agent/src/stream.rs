//! Answers that come in pieces.

/// A piece of an answer, on its way before the answer is whole.
///
/// Nothing has checked it yet, and the attempt it belongs to may still fail; the next attempt then
/// begins from the start. Only the [`Reply`](crate::Reply) counts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// The attempt it belongs to; the first is 1. A higher one makes the pieces before it void.
    pub attempt: u32,
    /// The text to append to what the attempt has brought so far.
    pub text: String,
}

impl Piece {
    /// A piece of an attempt's answer.
    #[must_use]
    pub fn new(attempt: u32, text: impl Into<String>) -> Self {
        Self {
            attempt,
            text: text.into(),
        }
    }
}
