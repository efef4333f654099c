//! What a store is asked for.

/// An operation of a store, or of a fallback before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A partition nobody owns.
    Acquire,
    /// A fenced write.
    Commit,
    /// A longer lease.
    Renew,
    /// One key, then all of them.
    Read,
    /// A whole partition.
    Image,
    /// A whole partition, put back.
    Restore,
    /// A new feed; another one was there before the fault.
    Watch,
    /// A write through a [`FallbackStore`](fusebox_state::FallbackStore), and what becomes of it.
    Reconcile,
}

impl Operation {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Self; 8] = [
        Self::Acquire,
        Self::Commit,
        Self::Renew,
        Self::Read,
        Self::Image,
        Self::Restore,
        Self::Watch,
        Self::Reconcile,
    ];

    /// Its name, also the start of the partitions it uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Commit => "commit",
            Self::Renew => "renew",
            Self::Read => "get-scan",
            Self::Image => "image",
            Self::Restore => "restore",
            Self::Watch => "watch",
            Self::Reconcile => "reconcile",
        }
    }
}
