//! Without each of the rules something breaks: the negative controls of `holds.rs`.

use fusebox_model::conduct::{Conduct, Loads, Unanswered, WithoutMirror};
use fusebox_model::protocol::{
    APPLIED_ONCE, DELETES_STAND, FORKS_STAY_APART, NEWER_STANDS, ONE_WRITE_PER_REVISION,
    OWN_STANDS, TOLD_OF_LOSS,
};
use fusebox_model::rules::{Epochs, FenceCheck, LeaseKept, OntoAbsent, RestoreOver, Rules};
use fusebox_model::system::Bounds;
use fusebox_model::variant::Variant;

/// Enough for all of them; what an attack does not need, its shortest way does not use.
const BOUNDS: Bounds = Bounds {
    writes: 3,
    acquisitions: 3,
    failovers: 1,
    splits: 0,
    emptied: 0,
    deletes: 0,
    lost_answers: 1,
    delays: 0,
    unleased: 0,
    local: 0,
};

/// The same with writes that the owner acknowledges by itself.
const DEGRADED: Bounds = Bounds { local: 2, ..BOUNDS };

const FORGETFUL: Conduct = Conduct {
    unanswered: Unanswered::Forgotten,
    ..Conduct::SHIPPED
};

fn variant(name: &'static str, rules: Rules, bounds: Bounds) -> Variant {
    Variant {
        name,
        owners: 2,
        rules,
        bounds,
    }
}

#[test]
fn restoring_over_any_lower_epoch_overwrites_a_newer_owner() {
    let rules = Rules {
        restore_over: RestoreOver::LowerEpoch,
        ..Rules::SHIPPED
    };
    variant("restore over any lower epoch", rules, BOUNDS).breaks(NEWER_STANDS);
}

#[test]
fn restoring_over_any_lower_epoch_overwrites_a_newer_owner_whose_clock_is_behind() {
    let rules = Rules {
        restore_over: RestoreOver::LowerEpoch,
        epochs: Epochs::SkewedClock,
        ..Rules::SHIPPED
    };
    variant(
        "restore over any lower epoch, a clock behind",
        rules,
        BOUNDS,
    )
    .breaks(NEWER_STANDS);
}

#[test]
fn a_retry_without_a_write_id_applies_twice() {
    let rules = Rules {
        write_ids: false,
        ..Rules::SHIPPED
    };
    variant("no write ids", rules, BOUNDS).breaks(APPLIED_ONCE);
}

#[test]
fn an_epoch_alone_lets_a_stale_owner_in_after_a_split_brain() {
    let rules = Rules {
        fence: FenceCheck::EpochAlone,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        failovers: 0,
        splits: 1,
        ..BOUNDS
    };
    variant("a fence of the epoch alone", rules, bounds).breaks(NEWER_STANDS);
}

#[test]
fn a_commit_without_its_revision_appends_silently_to_rolled_back_state() {
    let rules = Rules {
        commits_expect_revision: false,
        ..Rules::SHIPPED
    };
    let variant = variant("commits without a revision", rules, BOUNDS);
    variant.breaks(TOLD_OF_LOSS);
    variant.breaks(ONE_WRITE_PER_REVISION);
}

#[test]
fn a_lease_that_expires_as_a_key_lets_a_stale_owner_restore() {
    let rules = Rules {
        lease: LeaseKept::AsExpiringKey,
        ..Rules::SHIPPED
    };
    variant("a lease as an expiring key", rules, BOUNDS).breaks(NEWER_STANDS);
}

#[test]
fn restoring_over_a_partition_without_a_lease_overwrites_who_needs_none() {
    let rules = Rules {
        restore_over_unleased: true,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        failovers: 0,
        deletes: 1,
        unleased: 1,
        ..BOUNDS
    };
    let variant = variant("restore over a partition without a lease", rules, bounds);
    variant.breaks(NEWER_STANDS);
}

#[test]
fn restoring_whatever_is_absent_undoes_a_delete() {
    let rules = Rules {
        onto_absent: OntoAbsent::Always,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        deletes: 1,
        ..BOUNDS
    };
    variant("restore whatever is absent", rules, bounds).breaks(DELETES_STAND);
}

#[test]
fn looking_at_the_identity_alone_undoes_a_delete_that_came_after_the_emptying() {
    let rules = Rules {
        onto_absent: OntoAbsent::OtherStore,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        emptied: 1,
        deletes: 1,
        ..BOUNDS
    };
    let lost = variant("restore by identity alone, a lost answer", rules, bounds);
    lost.breaks(DELETES_STAND);
    let bounds = Bounds {
        lost_answers: 0,
        failovers: 0,
        ..bounds
    };
    let stale = variant("restore by identity alone, a stale owner", rules, bounds);
    stale.breaks(DELETES_STAND);
}

#[test]
fn a_fork_without_a_record_is_applied_by_a_late_restore() {
    let rules = Rules {
        forks_recorded: false,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        delays: 1,
        lost_answers: 0,
        ..BOUNDS
    };
    variant("forks without a record", rules, bounds).breaks(FORKS_STAY_APART);
}

#[test]
fn a_restore_that_names_no_store_is_applied_after_the_fork_by_an_emptied_one() {
    let rules = Rules {
        restores_name_store: false,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        emptied: 1,
        deletes: 1,
        delays: 1,
        lost_answers: 0,
        ..BOUNDS
    };
    variant("restores that name no store", rules, bounds).breaks(FORKS_STAY_APART);
}

#[test]
fn restoring_over_a_higher_revision_takes_away_what_was_acknowledged_since() {
    let rules = Rules {
        restores_compare_revisions: false,
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        delays: 1,
        lost_answers: 0,
        ..BOUNDS
    };
    variant("restore over any revision", rules, bounds).breaks(OWN_STANDS);
}

/// The first is in the store, at the revision that the owner gives to the second by itself; a
/// replica that has only the first then passes for one that has both.
#[test]
fn a_write_given_up_without_an_answer_lets_another_be_lost_at_the_same_revision() {
    let rules = Rules {
        owner: FORGETFUL,
        ..Rules::SHIPPED
    };
    variant("writes given up without an answer", rules, DEGRADED).breaks(TOLD_OF_LOSS);
}

#[test]
fn a_restore_that_compares_revisions_alone_takes_a_given_up_write_for_the_one_it_brings() {
    let rules = Rules {
        owner: FORGETFUL,
        commits_expect_last: true,
        restores_compare_last: false,
        ..Rules::SHIPPED
    };
    let variant = variant("restores that compare revisions alone", rules, DEGRADED);
    variant.breaks(TOLD_OF_LOSS);
}

#[test]
fn an_owner_without_a_mirror_that_names_no_revision_is_not_told_of_a_loss() {
    let rules = Rules {
        owner: Conduct {
            without_mirror: WithoutMirror::NamesNone,
            ..Conduct::SHIPPED
        },
        ..Rules::SHIPPED
    };
    let bounds = Bounds {
        failovers: 2,
        ..BOUNDS
    };
    variant("no mirror, no revision", rules, bounds).breaks(TOLD_OF_LOSS);
}

#[test]
fn a_mirror_read_under_another_lease_lets_a_stale_owner_write_on_what_a_newer_one_wrote() {
    let rules = Rules {
        owner: Conduct {
            loads: Loads::UnderAnyLease,
            ..Conduct::SHIPPED
        },
        ..Rules::SHIPPED
    };
    variant("a mirror of another's", rules, BOUNDS).breaks(NEWER_STANDS);
}
