//! Answers that come in pieces.

/// A piece of an answer, on its way before the answer is whole.
///
/// Nothing has checked it yet, and the try it belongs to may still fail; the next one, of the same
/// agent or another, then begins from the start. Only the [`Reply`](crate::Reply) counts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// The try it belongs to. A higher one makes the pieces before it void; some are skipped.
    pub take: u32,
    /// The text to append to what the try has brought so far.
    pub text: String,
}

impl Piece {
    /// A piece of an answer.
    #[must_use]
    pub fn new(take: u32, text: impl Into<String>) -> Self {
        Self {
            take,
            text: text.into(),
        }
    }
}
