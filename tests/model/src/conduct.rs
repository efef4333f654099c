//! What an owner does where the stores leave it the choice, each with the alternative that a
//! variant puts in its place.

/// How an owner behaves. [`Conduct::SHIPPED`] is what owners do.
#[derive(Debug, Clone, Copy)]
pub struct Conduct {
    /// When it reads what it then keeps as its mirror.
    pub loads: Loads,
    /// How what it acknowledged by itself gets to the store.
    pub delivery: Delivery,
    /// What a restarted process finds on its disk.
    pub journal: JournalHolds,
    /// What becomes of a write without an answer.
    pub unanswered: Unanswered,
    /// How it writes if it has no mirror, because the lease was another's when it read.
    pub without_mirror: WithoutMirror,
    /// Whether it remembers having seen a difference if its restore gets no answer. If not, it may
    /// acknowledge by itself again, and finds the difference anew.
    pub remembers_difference: bool,
    /// From when it has the identity of the store that it relies on.
    pub identity: IdentityOf,
}

impl Conduct {
    /// What owners do.
    pub const SHIPPED: Self = Self {
        loads: Loads::AfterLease,
        delivery: Delivery::Whole,
        journal: JournalHolds::Mirror,
        unanswered: Unanswered::Repeated,
        without_mirror: WithoutMirror::NamesRevision,
        remembers_difference: false,
        identity: IdentityOf::Acquisition,
    };

    /// An owner of fewer steps, for questions that are about the stores.
    pub const PLAIN: Self = Self {
        loads: Loads::WithLease,
        remembers_difference: true,
        ..Self::SHIPPED
    };
}

/// When an owner reads what it then keeps as its mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// With the acquisition, in one step.
    WithLease,
    /// In a step of its own. It has a mirror only if it read under its own lease, and it reads
    /// again if it finds more under its lease than it knows of.
    AfterLease,
    /// The same, but whatever lease it read under.
    UnderAnyLease,
}

/// How what an owner acknowledged by itself gets to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// By one restore of all it knows, the writes in the journal included.
    Whole,
    /// Each under its own id, in order.
    CommitByCommit,
}

/// What a restarted process finds on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalHolds {
    /// The mirror and the writes since.
    Mirror,
    /// The writes alone.
    Writes,
}

/// What becomes of a write without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It is repeated, or goes to the journal, before any other.
    Repeated,
    /// Its caller may have left. Then another follows, as if it had not been sent.
    Forgotten,
}

/// How an owner without a mirror writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutMirror {
    /// From the revision that it read.
    NamesRevision,
    /// From whatever revision there is.
    NamesNone,
}

/// From when an owner has the identity of the store that it relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityOf {
    /// From its acquisition.
    Acquisition,
    /// From the start of its process, which may be long before.
    Start,
}
