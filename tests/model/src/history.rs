//! The writes that make up a partition's content, in the order they were applied.

use std::fmt;

/// Most writes in one run of the model.
pub const MAX_WRITES: usize = 6;

/// Names a write. What it says does not matter to the protocol, so the name stands for the content.
pub type WriteId = u8;

/// A partition's content: its writes, oldest first. Its length is the revision, and a write id in
/// it is a remembered one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    len: u8,
    writes: [WriteId; MAX_WRITES],
}

impl History {
    /// How many commits it has taken.
    pub const fn revision(&self) -> u8 {
        self.len
    }

    /// The writes, oldest first.
    pub fn writes(&self) -> &[WriteId] {
        &self.writes[..usize::from(self.len)]
    }

    /// Whether `write` is in it.
    pub fn contains(&self, write: WriteId) -> bool {
        self.writes().contains(&write)
    }

    /// The newest.
    pub fn last(&self) -> Option<WriteId> {
        self.writes().last().copied()
    }

    /// The revision that `write` made, if it is in it.
    pub fn revision_of(&self, write: WriteId) -> Option<u8> {
        (1..)
            .zip(self.writes())
            .find_map(|(revision, at)| (*at == write).then_some(revision))
    }

    /// With `later` writes on top.
    pub fn followed_by(mut self, later: &Self) -> Self {
        for write in later.writes() {
            self.push(*write);
        }
        self
    }

    /// Appends; returns the revision this makes.
    ///
    /// # Panics
    /// If it is full: the bounds of a variant allow more than [`MAX_WRITES`].
    pub fn push(&mut self, write: WriteId) -> u8 {
        self.writes[usize::from(self.len)] = write;
        self.len += 1;
        self.len
    }

    /// Takes the oldest away.
    pub fn pop_front(&mut self) -> Option<WriteId> {
        let first = *self.writes().first()?;
        self.writes.rotate_left(1);
        self.writes[MAX_WRITES - 1] = 0;
        self.len -= 1;
        Some(first)
    }

    /// Whether a write is in it more than once.
    pub fn repeats(&self) -> bool {
        let writes = self.writes();
        (1..writes.len()).any(|at| writes[..at].contains(&writes[at]))
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.writes().fmt(f)
    }
}
