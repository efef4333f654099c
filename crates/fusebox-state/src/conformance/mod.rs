//! The tests every store must pass. For your own store:
//!
//! ```
//! # fn main() {}
//! # mod stands_for_a_test_file {
//! use std::sync::Arc;
//! use fusebox_state::{MemoryStore, StateStore};
//!
//! // One test per rule, named after it. The test crate needs tokio with `macros` and
//! // `rt-multi-thread`.
//! fusebox_state::conformance_tests!(|| async {
//!     Arc::new(MemoryStore::new()) as Arc<dyn StateStore>
//! });
//! # }
//! ```
//!
//! Each check draws names of its own, so that a store may be shared and need not be empty. Checks
//! wait for the store's clock, never for a fixed time; none takes more than a few seconds on a
//! local store.

mod at_once;
mod leases;
mod lifetimes;
mod listings;
mod news;
mod restores;
mod support;
mod writes;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::StateStore;

/// One rule that a store must keep.
#[non_exhaustive]
pub struct Check {
    /// The name of its test.
    pub name: &'static str,
    /// Runs it; panics if the store breaks the rule.
    pub run: fn(Arc<dyn StateStore>) -> Running,
}

/// A check at work.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// A store under test, with whatever must live as long: a directory, a server.
pub trait Subject: Send {
    /// The store.
    fn store(&self) -> Arc<dyn StateStore>;
}

impl Subject for Arc<dyn StateStore> {
    fn store(&self) -> Arc<dyn StateStore> {
        self.clone()
    }
}

impl<G: Send> Subject for (Arc<dyn StateStore>, G) {
    fn store(&self) -> Arc<dyn StateStore> {
        self.0.clone()
    }
}

/// Runs every check, each on a store of its own.
///
/// # Panics
/// At the first rule that is broken, with its name. Needs a tokio runtime with time enabled.
pub async fn run<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output: Subject>,
{
    for check in CHECKS {
        run_check(check.name, &make).await;
    }
}

/// Runs the check called `name`.
///
/// # Panics
/// If the rule is broken, with its name; if there is no such check.
pub async fn run_check<F, Fut>(name: &str, make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output: Subject>,
{
    let Some(check) = CHECKS.iter().find(|check| check.name == name) else {
        panic!("there is no check `{name}`; CHECKS lists them");
    };
    let subject = make().await;
    let store = subject.store();
    let description = store.describe();
    if let Err(error) = tokio::spawn((check.run)(store)).await {
        let reason = error
            .try_into_panic()
            .map_or_else(|e| e.to_string(), |p| said(&*p));
        panic!("{description} breaks the rule `{name}`: {reason}");
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

// The list exists once: as values to loop over, and as a macro that makes tests of them. `$d` is
// how a macro writes the `$` of another.
macro_rules! checks {
    ($d:tt $($module:ident { $($name:ident)* })*) => {
        /// Every check, in no order that matters.
        pub const CHECKS: &[Check] = &[$($(
            Check {
                name: stringify!($name),
                run: |store| Box::pin(async move { $module::$name(&*store.clone(), store).await }),
            },
        )*)*];

        /// One `#[tokio::test]` for each rule of [`conformance`](crate::conformance). Takes what
        /// [`run`](crate::conformance::run) takes.
        #[macro_export]
        macro_rules! conformance_tests {
            ($d make:expr) => {$($(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $d crate::conformance::run_check(stringify!($name), $d make).await;
                }
            )*)*};
        }
    };
}

checks! { $
    writes {
        a_key_never_written_is_absent_and_no_error
        the_first_version_is_one_and_each_write_adds_one
        values_come_back_byte_for_byte
        a_value_over_the_limit_is_refused_and_one_at_the_limit_is_not
        expecting_absence_refuses_a_key_that_exists
        expecting_a_version_refuses_every_other
        a_commit_changes_all_its_keys_or_none
        deleting_makes_a_key_absent
        a_version_never_comes_back_after_a_delete
        a_repeated_write_id_is_a_duplicate_and_changes_nothing
        a_write_id_with_other_content_is_told_apart
        a_refused_write_may_be_sent_again_under_its_id
        the_last_128_write_ids_are_remembered
        partitions_do_not_touch_each_other
        an_empty_commit_is_remembered
        each_commit_adds_one_to_the_revision
        a_commit_at_another_revision_changes_nothing
        a_commit_after_another_write_changes_nothing
    }
    listings {
        scans_are_in_byte_order
        scans_keep_to_their_prefix
        pages_of_a_scan_join_without_gap_or_repeat
        partitions_are_listed_by_prefix_and_page
        a_refused_write_leaves_no_partition_behind
    }
    leases {
        a_partition_never_leased_has_no_lease
        a_running_lease_keeps_others_out
        a_lease_that_ran_out_can_be_acquired
        a_released_lease_can_be_acquired
        epochs_grow_and_follow_the_clock
        a_stale_fence_cannot_write
        the_epoch_alone_is_no_fence
        a_leased_partition_takes_no_write_without_fence
        a_fence_is_refused_where_no_lease_is
        a_lease_that_ran_out_still_writes_until_it_is_taken
        a_repeat_after_losing_the_lease_is_still_a_duplicate
        renewing_moves_the_end_of_a_lease
        a_lost_lease_is_neither_renewed_nor_released
        a_takeover_needs_the_id_of_the_current_lease
        a_first_lease_gives_way_to_any_that_was_there
        tokens_are_never_drawn_twice
    }
    restores {
        a_head_tells_what_a_partition_holds
        an_image_holds_everything
        a_partition_set_back_is_restored_exactly
        a_restored_partition_recognises_repeated_writes
        a_repeated_restore_changes_nothing
        a_restore_never_undoes_commits
        a_restore_replaces_a_write_that_was_never_acknowledged
        a_restore_needs_the_own_lease_or_the_one_it_replaced
        a_greater_epoch_alone_restores_nothing
        a_restore_fences_the_lease_it_replaced
        a_partition_that_is_not_there_is_restored_only_on_request
        a_removal_is_never_undone
        a_partition_without_a_lease_is_nobodys_to_restore
        a_restore_meant_for_another_store_changes_nothing
        nothing_is_restored_under_a_lease_given_up
        a_restore_keeps_the_time_to_live
    }
    news {
        watchers_are_told_of_commits_and_restores
        a_watch_keeps_to_its_prefix
        a_feed_that_nobody_reads_holds_up_no_writer
        the_identity_of_a_store_stays
    }
    lifetimes {
        an_expired_partition_is_gone_with_its_lease
        expiring_at_once_removes_everything
        an_expiry_can_be_called_off
        writing_does_not_postpone_an_expiry
        a_partition_that_is_not_there_does_not_expire
        the_clock_does_not_stand_still
        the_description_tells_the_durability_of_writes
        a_working_store_is_healthy
    }
    at_once {
        a_hundred_tasks_count_without_losing_an_increment
        one_of_many_gets_the_lease
        a_write_sent_many_times_at_once_is_applied_once
        readers_see_commits_whole
    }
}
