//! Windows over past outcomes.

/// The last `size` outcomes, one bit each, as a ring: every record is O(1) and the window slides call by call.
///
/// Counts the outcomes recorded since the last [`clear`](Self::clear), at most `size` of them; the oldest leaves
/// when one more arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountRing {
    bits: Box<[u64]>,
    size: u32,
    len: u32,
    next: u32,
    failures: u32,
}

impl CountRing {
    /// An empty window over `size` outcomes; `size` is at least 1 (checked by the configuration).
    pub(crate) fn new(size: u32) -> Self {
        let words = size.div_ceil(u64::BITS) as usize;
        Self {
            bits: vec![0; words].into_boxed_slice(),
            size,
            len: 0,
            next: 0,
            failures: 0,
        }
    }

    /// Outcomes in the window.
    pub(crate) fn calls(&self) -> u32 {
        self.len
    }

    /// Failures among them.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn record(&mut self, failed: bool) {
        let (word, mask) = place(self.next);
        if self.len == self.size {
            self.failures -= u32::from(self.bits[word] & mask != 0);
        } else {
            self.len += 1;
        }
        if failed {
            self.bits[word] |= mask;
            self.failures += 1;
        } else {
            self.bits[word] &= !mask;
        }
        self.next = (self.next + 1) % self.size;
    }

    /// Forgets everything. Bits stay as they are: they are overwritten before they are counted again.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
        self.failures = 0;
    }

    /// The same window over another size, keeping the latest outcomes that fit. O(size).
    pub(crate) fn resized(&self, size: u32) -> Self {
        let mut resized = Self::new(size);
        let kept = self.len.min(size);
        for back in (1..=kept).rev() {
            let (word, mask) = place((self.next + self.size - back) % self.size);
            resized.record(self.bits[word] & mask != 0);
        }
        resized
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }
}

fn place(index: u32) -> (usize, u64) {
    ((index / u64::BITS) as usize, 1 << (index % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::CountRing;
    use proptest::prelude::*;

    /// The obvious window: a list cut to its last `size` entries.
    fn naive(outcomes: &[bool], size: u32) -> (u32, u32) {
        let tail = &outcomes[outcomes.len().saturating_sub(size as usize)..];
        let failures = tail.iter().filter(|failed| **failed).count();
        (tail.len() as u32, failures as u32)
    }

    proptest! {
        #[test]
        fn the_ring_agrees_with_a_list_after_every_outcome(
            size in 1_u32..200,
            outcomes in prop::collection::vec(any::<bool>(), 0..600),
        ) {
            let mut ring = CountRing::new(size);
            for (index, failed) in outcomes.iter().enumerate() {
                ring.record(*failed);
                prop_assert_eq!((ring.calls(), ring.failures()), naive(&outcomes[..=index], size));
            }
        }

        #[test]
        fn clearing_leaves_an_empty_window_that_counts_afresh(
            size in 1_u32..100,
            before in prop::collection::vec(any::<bool>(), 0..300),
            after in prop::collection::vec(any::<bool>(), 0..300),
        ) {
            let mut ring = CountRing::new(size);
            before.iter().for_each(|failed| ring.record(*failed));
            ring.clear();
            prop_assert_eq!((ring.calls(), ring.failures()), (0, 0));
            after.iter().for_each(|failed| ring.record(*failed));
            prop_assert_eq!((ring.calls(), ring.failures()), naive(&after, size));
        }

        #[test]
        fn resizing_keeps_the_latest_outcomes_in_order(
            size in 1_u32..100,
            resized in 1_u32..100,
            before in prop::collection::vec(any::<bool>(), 0..300),
            after in prop::collection::vec(any::<bool>(), 0..150),
        ) {
            let mut ring = CountRing::new(size);
            before.iter().for_each(|failed| ring.record(*failed));
            let kept = before.len().min(size as usize).min(resized as usize);
            let mut model = before[before.len() - kept..].to_vec();
            let mut ring = ring.resized(resized);
            prop_assert_eq!((ring.calls(), ring.failures()), naive(&model, resized));
            for failed in after {
                ring.record(failed);
                model.push(failed);
                prop_assert_eq!((ring.calls(), ring.failures()), naive(&model, resized));
            }
        }
    }
}
