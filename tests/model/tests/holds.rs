//! The protocol holds in every state within these bounds.

use fusebox_model::conduct::{Conduct, Delivery, IdentityOf, JournalHolds, Unanswered};
use fusebox_model::milestone::Milestone::{self, Duplicate, Forked, Replayed, Restored};
use fusebox_model::rules::{Epochs, OntoAbsent, Rules};
use fusebox_model::system::Bounds;
use fusebox_model::variant::Variant;

const USUAL: &[Milestone] = &[Restored, Forked, Duplicate];

/// Two fail-overs and a lost answer: what every source of epochs has to stand.
const FAIL_OVERS: Bounds = Bounds {
    writes: 3,
    acquisitions: 3,
    failovers: 2,
    lost_answers: 1,
    ..NOTHING
};

const NOTHING: Bounds = Bounds {
    writes: 0,
    acquisitions: 0,
    failovers: 0,
    splits: 0,
    emptied: 0,
    deletes: 0,
    lost_answers: 0,
    delays: 0,
    unleased: 0,
    local: 0,
};

fn shipped(name: &'static str, owners: usize, bounds: Bounds) -> Variant {
    Variant {
        name,
        owners,
        rules: Rules::SHIPPED,
        bounds,
    }
}

/// A question about the stores, put with owners of fewer steps.
fn plain(name: &'static str, owners: usize, bounds: Bounds) -> Variant {
    behaving(Conduct::PLAIN, shipped(name, owners, bounds))
}

fn behaving(owner: Conduct, mut variant: Variant) -> Variant {
    variant.rules.owner = owner;
    variant
}

fn with_epochs(name: &'static str, epochs: Epochs) -> Variant {
    let rules = Rules {
        epochs,
        ..Rules::SHIPPED
    };
    Variant {
        rules,
        ..shipped(name, 2, FAIL_OVERS)
    }
}

#[test]
fn epochs_that_count() {
    with_epochs("epochs that count", Epochs::Counter).holds(USUAL);
}

#[test]
fn epochs_by_the_clock() {
    with_epochs("epochs by the clock", Epochs::Clock).holds(USUAL);
}

#[test]
fn epochs_by_a_clock_that_is_behind() {
    with_epochs("epochs by a clock that is behind", Epochs::SkewedClock).holds(USUAL);
}

#[test]
fn a_split_brain() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 3,
        failovers: 1,
        splits: 1,
        lost_answers: 1,
        ..NOTHING
    };
    plain("a split brain", 2, bounds).holds(USUAL);
}

#[test]
fn a_store_that_is_emptied() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 3,
        failovers: 1,
        emptied: 1,
        lost_answers: 1,
        ..NOTHING
    };
    plain("a store that is emptied", 2, bounds).holds(USUAL);
}

#[test]
fn an_emptied_store_and_a_delete() {
    let bounds = Bounds {
        writes: 2,
        acquisitions: 3,
        failovers: 1,
        emptied: 1,
        deletes: 1,
        lost_answers: 1,
        ..NOTHING
    };
    plain("an emptied store and a delete", 2, bounds).holds(USUAL);
}

/// The identity is asked for as well because a record of a delete may run out, and an identity
/// does not.
#[test]
fn a_record_of_deletes_without_the_identity() {
    let bounds = Bounds {
        writes: 2,
        acquisitions: 3,
        failovers: 1,
        deletes: 1,
        lost_answers: 1,
        ..NOTHING
    };
    let rules = Rules {
        onto_absent: OntoAbsent::WithoutDelete,
        ..Rules::SHIPPED
    };
    let variant = shipped("a record of deletes without the identity", 2, bounds);
    Variant { rules, ..variant }.holds(USUAL);
}

#[test]
fn writers_without_a_lease() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 2,
        failovers: 1,
        deletes: 1,
        lost_answers: 1,
        unleased: 2,
        ..NOTHING
    };
    shipped("writers without a lease", 2, bounds).holds(USUAL);
}

#[test]
fn requests_that_arrive_late() {
    let bounds = Bounds {
        writes: 2,
        acquisitions: 3,
        failovers: 1,
        splits: 1,
        delays: 1,
        ..NOTHING
    };
    plain("requests that arrive late", 2, bounds).holds(USUAL);
}

#[test]
fn late_requests_at_an_emptied_store() {
    let bounds = Bounds {
        writes: 1,
        acquisitions: 3,
        failovers: 1,
        emptied: 1,
        deletes: 1,
        delays: 1,
        ..NOTHING
    };
    plain("late requests at an emptied store", 2, bounds).holds(USUAL);
}

/// What every way to deliver has to stand.
const DEGRADED: Bounds = Bounds {
    writes: 3,
    acquisitions: 3,
    failovers: 2,
    lost_answers: 1,
    local: 2,
    ..NOTHING
};

#[test]
fn degraded_mode() {
    shipped("degraded mode", 2, DEGRADED).holds(&Milestone::ALL);
}

#[test]
fn degraded_mode_with_replay_commit_by_commit() {
    let owner = Conduct {
        delivery: Delivery::CommitByCommit,
        journal: JournalHolds::Writes,
        ..Conduct::PLAIN
    };
    let variant = shipped("degraded mode, replay commit by commit", 2, DEGRADED);
    behaving(owner, variant).holds(&Milestone::ALL);
}

/// Whoever names the last write besides the revision may give a write up without its answer.
#[test]
fn degraded_mode_with_writes_given_up() {
    let rules = Rules {
        commits_expect_last: true,
        owner: Conduct {
            unanswered: Unanswered::Forgotten,
            ..Conduct::SHIPPED
        },
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        acquisitions: 2,
        ..DEGRADED
    };
    let variant = shipped("degraded mode, writes given up", 2, bounds);
    Variant { rules, ..variant }.holds(&Milestone::ALL);
}

#[test]
fn degraded_mode_in_a_split_brain() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 3,
        splits: 1,
        lost_answers: 1,
        local: 2,
        ..NOTHING
    };
    shipped("degraded mode in a split brain", 2, bounds).holds(&Milestone::ALL);
}

#[test]
fn degraded_mode_with_requests_that_arrive_late() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 2,
        failovers: 1,
        delays: 1,
        local: 2,
        ..NOTHING
    };
    shipped("degraded mode, late requests", 2, bounds).holds(&[Restored, Forked, Replayed]);
}

#[test]
fn degraded_mode_at_an_emptied_store() {
    let bounds = Bounds {
        writes: 2,
        acquisitions: 3,
        failovers: 1,
        emptied: 1,
        lost_answers: 1,
        local: 2,
        ..NOTHING
    };
    shipped("degraded mode at an emptied store", 2, bounds).holds(&Milestone::ALL);
}

/// An owner may rely on the identity that its process learned when it started.
#[test]
fn an_identity_learned_long_before() {
    let owner = Conduct {
        identity: IdentityOf::Start,
        ..Conduct::PLAIN
    };
    let bounds = Bounds {
        writes: 2,
        acquisitions: 3,
        failovers: 1,
        emptied: 1,
        deletes: 1,
        lost_answers: 1,
        ..NOTHING
    };
    let variant = shipped("an identity learned long before", 2, bounds);
    behaving(owner, variant).holds(USUAL);
}

#[test]
fn three_owners() {
    let bounds = Bounds {
        writes: 3,
        acquisitions: 4,
        failovers: 1,
        lost_answers: 1,
        ..NOTHING
    };
    plain("three owners", 3, bounds).holds(USUAL);
}
