//! Who is asked first.

use std::sync::{Mutex, PoisonError};

use super::Order;

/// Takes turns by weight, without chance: "smooth weighted round-robin" as in nginx. Each turn
/// every target gains its weight, the one that has most is taken, and pays the sum of all.
#[derive(Debug)]
pub(super) struct Turns {
    weights: Vec<i64>,
    /// What each has gained. `None` where the listed order holds.
    gained: Option<Mutex<Vec<i64>>>,
}

impl Turns {
    pub(super) fn new(order: &Order, targets: usize) -> Self {
        let (weights, is_weighted) = match order {
            Order::Listed => (&[][..], false),
            Order::Weighted(weights) => (weights.as_slice(), true),
        };
        let weights = (0..targets).map(|n| weights.get(n).map_or(1, |weight| i64::from(*weight)));
        Self {
            weights: weights.collect(),
            gained: is_weighted.then(|| Mutex::new(vec![0; targets])),
        }
    }

    /// The numbers of all targets, in the order of this turn.
    pub(super) fn next(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.first();
        let others = (0..self.weights.len()).filter(move |n| *n != first);
        std::iter::once(first).chain(others)
    }

    fn first(&self) -> usize {
        let Some(gained) = &self.gained else {
            return 0;
        };
        // Nothing that can panic runs under this lock.
        let mut gained = gained.lock().unwrap_or_else(PoisonError::into_inner);
        for (gained, weight) in gained.iter_mut().zip(&self.weights) {
            *gained += weight;
        }
        let mut first = 0;
        for n in 1..gained.len() {
            if gained[n] > gained[first] {
                first = n;
            }
        }
        gained[first] -= self.weights.iter().sum::<i64>();
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firsts(order: &Order, targets: usize) -> Vec<usize> {
        let turns = Turns::new(order, targets);
        (0..8).filter_map(|_| turns.next().next()).collect()
    }

    #[test]
    fn turns_are_spread_by_weight() {
        let weighted = Order::Weighted(vec![5, 1, 2]);
        assert_eq!(firsts(&weighted, 3), [0, 2, 0, 0, 1, 0, 2, 0]);
        let one_is_off = Order::Weighted(vec![0]);
        assert_eq!(firsts(&one_is_off, 2), [1; 8]);
        assert_eq!(firsts(&Order::Listed, 2), [0; 8]);
    }

    #[test]
    fn every_target_has_its_place_in_every_turn() {
        let turns = Turns::new(&Order::Weighted(vec![1, 3]), 3);
        for _ in 0..5 {
            let mut all: Vec<_> = turns.next().collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
        }
    }
}
