//! The rules of the protocol, each with the alternative that a variant puts in its place.

use crate::conduct::Conduct;

/// What a store checks, and how an owner behaves. [`Rules::SHIPPED`] is the protocol; every other
/// combination exists to show what goes wrong without one of the rules, or that it may be replaced.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Where the number in a fence comes from.
    pub epochs: Epochs,
    /// What must match for a write to be admitted.
    pub fence: FenceCheck,
    /// Over whose lease a restore may write.
    pub restore_over: RestoreOver,
    /// Whether a restorer that replaced no lease may write over a partition that has none.
    pub restore_over_unleased: bool,
    /// When a restore may create a partition that is not there.
    pub onto_absent: OntoAbsent,
    /// What becomes of a lease that has run out.
    pub lease: LeaseKept,
    /// Whether a commit names the revision it builds on.
    pub commits_expect_revision: bool,
    /// Whether it also names the last write it builds on.
    pub commits_expect_last: bool,
    /// Whether a repeated commit is recognised by its write id.
    pub write_ids: bool,
    /// Whether a fork leaves a record beside the partition, which a restore looks at. It outlives
    /// the partition.
    pub forks_recorded: bool,
    /// Whether a restore names the identity of the store it is meant for.
    pub restores_name_store: bool,
    /// Whether a restore is refused by a store at a higher revision than its image has.
    pub restores_compare_revisions: bool,
    /// Whether a restore under the stored lease and at the stored revision still looks at the last
    /// write. If not, it changes nothing.
    pub restores_compare_last: bool,
    /// How owners behave.
    pub owner: Conduct,
}

impl Rules {
    /// The protocol.
    pub const SHIPPED: Self = Self {
        epochs: Epochs::Counter,
        fence: FenceCheck::EpochAndToken,
        restore_over: RestoreOver::OwnOrPredecessor,
        restore_over_unleased: false,
        onto_absent: OntoAbsent::OtherStoreWithoutDelete,
        lease: LeaseKept::AsRecord,
        commits_expect_revision: true,
        commits_expect_last: false,
        write_ids: true,
        forks_recorded: true,
        restores_name_store: true,
        restores_compare_revisions: true,
        restores_compare_last: true,
        owner: Conduct::SHIPPED,
    };
}

/// Where the number in a fence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// The previous one plus one.
    Counter,
    /// The store's clock, but at least the previous one plus one.
    Clock,
    /// The same, and a promoted replica's clock is far behind.
    SkewedClock,
}

/// What must match for a write to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceCheck {
    /// The number and the random token.
    EpochAndToken,
    /// The number alone.
    EpochAlone,
}

/// Over whose lease a restore may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreOver {
    /// The restorer's own, or exactly the one it succeeded.
    OwnOrPredecessor,
    /// Its own, or any with a lower epoch.
    LowerEpoch,
}

/// When a restore may create a partition that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OntoAbsent {
    /// If the store is not the one that the owner relied on, and no delete is recorded there.
    OtherStoreWithoutDelete,
    /// If no delete is recorded there.
    WithoutDelete,
    /// If the store is not the one that the owner relied on.
    OtherStore,
    /// Always.
    Always,
}

/// What becomes of a lease that has run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseKept {
    /// It stays where it is, as a record of who was last in charge.
    AsRecord,
    /// It is a key with a time to live, and gone. Then nobody's lease stands in anybody's way.
    AsExpiringKey,
}
