//! What a memory store has on record beside its partitions.

use std::collections::{HashSet, VecDeque};

use crate::rules::OnRecord;
use crate::{Fence, Partition, TokenId};

/// Records kept, so that a process that runs for months does not grow. Far more than a restore can
/// be late by within one process.
const KEPT: usize = 10_000;

/// A removal, or a lease given up.
type Mark = (Partition, Option<TokenId>);

#[derive(Default)]
pub(super) struct Aside {
    marks: HashSet<Mark>,
    /// Oldest first.
    order: VecDeque<Mark>,
}

impl Aside {
    pub(super) fn on_record(&self, partition: &Partition, fence: &Fence) -> OnRecord {
        let has = |token| self.marks.contains(&(partition.clone(), token));
        OnRecord {
            removed: has(None),
            given_up: has(Some(fence.token_id())),
        }
    }

    pub(super) fn removed(&mut self, partition: &Partition) {
        self.add((partition.clone(), None));
    }

    /// A removal was called off.
    pub(super) fn kept(&mut self, partition: &Partition) {
        self.marks.remove(&(partition.clone(), None));
    }

    pub(super) fn given_up(&mut self, partition: &Partition, fence: &Fence) {
        self.add((partition.clone(), Some(fence.token_id())));
    }

    fn add(&mut self, mark: Mark) {
        if self.marks.insert(mark.clone()) {
            self.order.push_back(mark);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.marks.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: usize) -> Partition {
        Partition::try_new(format!("run-{number}")).unwrap()
    }

    #[test]
    fn the_oldest_records_make_room() {
        let fence = Fence {
            epoch: 1,
            token: [1; 16],
        };
        let mut aside = Aside::default();
        for number in 0..=KEPT {
            aside.removed(&partition(number));
        }
        assert!(!aside.on_record(&partition(0), &fence).removed);
        assert!(aside.on_record(&partition(1), &fence).removed);
        for _ in 0..3 * KEPT {
            aside.kept(&partition(1));
            aside.removed(&partition(1));
        }
        assert!(aside.order.len() <= KEPT && aside.marks.len() <= KEPT);
    }
}
