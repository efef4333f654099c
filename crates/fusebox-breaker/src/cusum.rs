//! The change detector's design: steps on a lattice, and the limit that keeps false trips as far apart as asked.

use crate::rules::ChangeDetector;

/// Most steps a failure may go up. At a baseline of 0.001 against 0.01 it is 254.
const MAX_UP: u32 = 4_096;

/// Limit beyond which no setting within the documented ranges leads.
const MAX_LIMIT: u32 = 1 << 15;

/// Steps and limit of one detector: a success goes one step down (never below zero), a failure `up` steps up, and at
/// `limit` it trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) up: u32,
    pub(crate) limit: u32,
}

impl Design {
    /// The design for these two rates, with mean calls between false trips of at least `apart` at the baseline.
    pub(crate) fn of(baseline: f64, changed: f64, apart: f64) -> Self {
        let up = steps_up(baseline, changed);
        // The mean grows with the limit, so halving finds the smallest limit that is enough.
        let (mut low, mut high) = (0, up.max(1));
        while high < MAX_LIMIT && mean_run(baseline, up, high) < apart {
            (low, high) = (high, high * 2);
        }
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if mean_run(baseline, up, middle) < apart {
                low = middle;
            } else {
                high = middle;
            }
        }
        Self { up, limit: high }
    }

    pub(crate) fn for_detector(detector: &ChangeDetector, baseline: f64) -> Self {
        let changed = same_odds_ratio(detector, baseline);
        Self::of(baseline, changed, detector.mean_calls_between_false_trips)
    }
}

/// The changed rate that has the same odds ratio to `baseline` as the detector's two rates have.
pub(crate) fn same_odds_ratio(detector: &ChangeDetector, baseline: f64) -> f64 {
    let odds = |rate: f64| rate / (1.0 - rate);
    let ratio = odds(detector.changed_failure_rate) / odds(detector.baseline_failure_rate);
    let changed = ratio * odds(baseline);
    changed / (1.0 + changed)
}

/// Steps a failure goes up when a success goes down one: the ratio of their log-likelihood ratios, rounded.
///
/// Source: M. R. Reynolds, Z. G. Stoumbos, *A CUSUM Chart for Monitoring a Proportion When Inspecting Continuously*,
/// Journal of Quality Technology 31, 1999, who choose the same lattice for the same reason.
fn steps_up(baseline: f64, changed: f64) -> u32 {
    let failure = (changed / baseline).ln();
    let success = ((1.0 - baseline) / (1.0 - changed)).ln();
    let steps = (failure / success).round();
    // Rates far apart make a success count for as much as a failure; one step each is the coarsest lattice.
    if steps >= 1.0 {
        (steps as u32).min(MAX_UP)
    } else {
        1
    }
}

/// Mean calls until the sum, starting at zero, reaches `limit` when calls fail at `rate`: exact for independent calls.
///
/// With E(i) the mean from sum i: `E(i) = 1 + (1 - rate) E(max(i - 1, 0)) + rate E(i + up)`, zero at the limit and
/// above. Solved by elimination from below; each row keeps one band of `up` entries. O(limit * up).
pub(crate) fn mean_run(rate: f64, up: u32, limit: u32) -> f64 {
    let (size, up) = (limit as usize, up as usize);
    if size == 0 {
        return 0.0;
    }
    // Row i after elimination: E(i) = constant[i] + sum over k of bands[i][k] E(i + 1 + k), k in 0..up.
    let mut constants = vec![0.0_f64; size];
    let mut bands = vec![0.0_f64; size * up];
    for i in 0..size {
        // E(i) = 1 + q E(i - 1) + p E(i + up), with E(i - 1) as eliminated before: it gives a share back to E(i).
        let (mut own, mut constant) = (1.0, 1.0);
        let q = 1.0 - rate;
        let (before, row) = bands.split_at_mut(i * up);
        let row = &mut row[..up];
        if i == 0 {
            own -= q;
        } else {
            let last = &before[(i - 1) * up..];
            own -= q * last[0];
            constant += q * constants[i - 1];
            for k in 1..up {
                row[k - 1] = q * last[k];
            }
        }
        row[up - 1] += rate;
        for value in row.iter_mut() {
            *value /= own;
        }
        constants[i] = constant / own;
    }
    let mut means = vec![0.0_f64; size];
    for i in (0..size).rev() {
        let band = &bands[i * up..(i + 1) * up];
        let beyond: f64 = band
            .iter()
            .zip(&means[i + 1..])
            .map(|(share, mean)| share * mean)
            .sum();
        means[i] = constants[i] + beyond;
    }
    means[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64.
    fn draw(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn simulated(rate: f64, design: Design, runs: u32) -> f64 {
        let (mut state, mut calls) = (1, 0_u64);
        for _ in 0..runs {
            let mut sum = 0_u32;
            while sum < design.limit {
                calls += 1;
                sum = if draw(&mut state) < rate {
                    sum + design.up
                } else {
                    sum.saturating_sub(1)
                };
            }
        }
        calls as f64 / f64::from(runs)
    }

    #[test]
    fn the_computed_mean_between_false_trips_is_what_a_simulation_finds() {
        for (baseline, changed) in [(0.01, 0.1), (0.05, 0.3), (0.02, 0.5), (0.2, 0.4)] {
            let design = Design::of(baseline, changed, 3_000.0);
            let computed = mean_run(baseline, design.up, design.limit);
            let found = simulated(baseline, design, 1_000);
            assert!(computed >= 3_000.0);
            assert!(
                (found / computed - 1.0).abs() < 0.12,
                "{baseline} {changed}: {computed} computed, {found} found"
            );
        }
    }

    #[test]
    fn the_limit_is_the_smallest_that_is_enough() {
        let design = Design::of(0.01, 0.1, 1e6);
        assert!(mean_run(0.01, design.up, design.limit) >= 1e6);
        assert!(mean_run(0.01, design.up, design.limit - 1) < 1e6);
        assert_eq!(design.up, 24, "ln 10 over ln(0.99 / 0.9)");
    }

    #[test]
    fn a_run_with_one_step_each_way_has_its_textbook_mean() {
        // From zero to 1 a single failure is needed: 1 / rate calls.
        assert!((mean_run(0.25, 1, 1) - 4.0).abs() < 1e-9);
        // To 2: E0 = 1 + q E0 + p E1 and E1 = 1 + q E0, so E0 = (1 + p) / p^2.
        assert!((mean_run(0.25, 1, 2) - 20.0).abs() < 1e-9);
    }
}
