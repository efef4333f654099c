//! What a loop detector remembers, in bounded space.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::{Fingerprint, LoopDetected, LoopKind, Rules};

/// Counts per fingerprint, and the order in which the fingerprints were last asked for.
#[derive(Debug, Default)]
pub(super) struct Memory {
    counts: HashMap<Fingerprint, Count>,
    /// From the one asked for longest ago. Holds exactly the keys of `counts`.
    order: BTreeMap<u64, Fingerprint>,
    asked: u64,
}

#[derive(Debug)]
struct Count {
    failures: u32,
    repeats: u32,
    /// Its key in the order.
    asked: u64,
    /// When it was last let go on; a refusal does not change it, or a loop would never end.
    last: Instant,
}

impl Memory {
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.order.clear();
    }

    /// Counts a repeat, unless there were too many.
    pub(super) fn enter(
        &mut self,
        fingerprint: Fingerprint,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), LoopDetected> {
        let count = self.touch(fingerprint, rules, now);
        let since = now.saturating_duration_since(count.last);
        if since >= rules.forget_after {
            (count.failures, count.repeats) = (0, 0);
        }
        let refuse = |kind, repeats| LoopDetected {
            fingerprint,
            kind,
            repeats,
            retry_after: rules.forget_after - since,
        };
        if count.failures >= rules.max_failures {
            return Err(refuse(LoopKind::SameFailure, count.failures));
        }
        if rules.max_repeats.is_some_and(|max| count.repeats >= max) {
            return Err(refuse(LoopKind::NoProgress, count.repeats));
        }
        count.repeats = count.repeats.saturating_add(1);
        count.last = now;
        Ok(())
    }

    /// The call was not made after all.
    pub(super) fn withdraw(&mut self, fingerprint: Fingerprint) {
        // It may have been forgotten meanwhile.
        if let Some(count) = self.counts.get_mut(&fingerprint) {
            count.repeats = count.repeats.saturating_sub(1);
        }
    }

    /// The call has ended.
    pub(super) fn end(
        &mut self,
        fingerprint: Fingerprint,
        failed: bool,
        rules: &Rules,
        now: Instant,
    ) {
        if !failed {
            if let Some(count) = self.counts.get_mut(&fingerprint) {
                count.failures = 0;
            }
            return;
        }
        let count = self.touch(fingerprint, rules, now);
        count.failures = count.failures.saturating_add(1);
        count.last = now;
    }

    /// The count of `fingerprint`, now the one asked for last.
    fn touch(&mut self, fingerprint: Fingerprint, rules: &Rules, now: Instant) -> &mut Count {
        self.asked += 1;
        let asked = self.asked;
        match self.counts.get(&fingerprint) {
            Some(count) => {
                self.order.remove(&count.asked);
            }
            None => self.make_room(rules.capacity),
        }
        self.order.insert(asked, fingerprint);
        let count = self.counts.entry(fingerprint).or_insert(Count {
            failures: 0,
            repeats: 0,
            asked,
            last: now,
        });
        count.asked = asked;
        count
    }

    fn make_room(&mut self, capacity: usize) {
        while self.counts.len() >= capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.counts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Memory;
    use crate::loops::{Fingerprint, LoopDetector, LoopKind, Rules};

    fn rules(detector: LoopDetector) -> Rules {
        detector.rules
    }

    fn call(number: u64) -> Fingerprint {
        Fingerprint::from_digest(number)
    }

    fn fails(memory: &mut Memory, rules: &Rules, fingerprint: Fingerprint, now: Instant) {
        memory
            .enter(fingerprint, rules, now)
            .expect("not yet a loop");
        memory.end(fingerprint, true, rules, now);
    }

    #[test]
    fn after_n_failures_in_a_row_the_next_same_call_is_refused_and_others_are_not() {
        let (mut memory, rules, now) = (
            Memory::default(),
            rules(LoopDetector::new(3)),
            Instant::now(),
        );
        (0..3).for_each(|_| fails(&mut memory, &rules, call(1), now));
        let refused = memory.enter(call(1), &rules, now).expect_err("a loop");
        assert_eq!((refused.repeats, refused.kind), (3, LoopKind::SameFailure));
        assert!(memory.enter(call(2), &rules, now).is_ok());
    }

    #[test]
    fn one_success_starts_the_count_of_failures_again() {
        let (mut memory, rules, now) = (
            Memory::default(),
            rules(LoopDetector::new(2)),
            Instant::now(),
        );
        for _ in 0..5 {
            fails(&mut memory, &rules, call(1), now);
            memory.enter(call(1), &rules, now).expect("one failure");
            memory.end(call(1), false, &rules, now);
        }
    }

    #[test]
    fn without_progress_even_successes_are_a_loop() {
        let detector = LoopDetector::new(9).with_max_repeats(4);
        let (mut memory, rules, now) = (Memory::default(), rules(detector), Instant::now());
        for _ in 0..4 {
            memory.enter(call(1), &rules, now).expect("not yet");
            memory.end(call(1), false, &rules, now);
        }
        let refused = memory.enter(call(1), &rules, now).expect_err("a loop");
        assert_eq!((refused.repeats, refused.kind), (4, LoopKind::NoProgress));
        memory.clear();
        assert!(memory.enter(call(1), &rules, now).is_ok());
    }

    #[test]
    fn a_call_that_was_not_made_is_not_counted() {
        let detector = LoopDetector::new(9).with_max_repeats(1);
        let (mut memory, rules, now) = (Memory::default(), rules(detector), Instant::now());
        for _ in 0..5 {
            memory.enter(call(1), &rules, now).expect("never made");
            memory.withdraw(call(1));
        }
    }

    #[test]
    fn refusals_do_not_prolong_themselves() {
        let detector = LoopDetector::new(1).with_forget_after(Duration::from_secs(60));
        let (mut memory, rules, start) = (Memory::default(), rules(detector), Instant::now());
        fails(&mut memory, &rules, call(1), start);
        for after in 0..60 {
            let now = start + Duration::from_secs(after);
            let refused = memory.enter(call(1), &rules, now).expect_err("a loop");
            assert_eq!(refused.retry_after, Duration::from_secs(60 - after));
        }
        let now = start + Duration::from_secs(60);
        assert!(memory.enter(call(1), &rules, now).is_ok(), "forgotten");
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_was_asked_for_last() {
        let detector = LoopDetector::new(1).with_capacity(8);
        let (mut memory, rules, now) = (Memory::default(), rules(detector), Instant::now());
        fails(&mut memory, &rules, call(0), now);
        for number in 1..1_000 {
            let _ = memory.enter(call(number), &rules, now);
            assert!(
                memory.enter(call(0), &rules, now).is_err(),
                "still asked for"
            );
            assert!(memory.len() <= 8);
            assert_eq!(memory.order.len(), memory.len());
        }
        (1_000..1_008).for_each(|number| fails(&mut memory, &rules, call(number), now));
        assert!(memory.enter(call(0), &rules, now).is_ok(), "the oldest");
    }
}
