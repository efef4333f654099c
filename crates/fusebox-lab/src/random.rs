//! Draws that a seed repeats.

/// SplitMix64 (G. Steele, D. Lea and C. Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014): small,
/// and the same in every release, which a plan's figures must be.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Draws that depend on the seed and on what they are for.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        // 64-bit FNV-1a, because std's hashers promise no stable value over releases.
        let purpose = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let mut random = Self(seed ^ purpose);
        // Seeds are small numbers: let them reach every bit before the first draw.
        Self(random.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Evenly within `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A wait of an exponential distribution with mean 1: the gaps of arrivals at random.
    pub(crate) fn gap(&mut self) -> f64 {
        // `1 - unit` is above zero.
        -(1.0 - self.unit()).ln()
    }

    /// A draw of the standard normal distribution (G. Box and M. Muller, *A Note on the Generation of Random Normal
    /// Deviates*, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_mean_one_and_normal_draws_mean_zero_and_deviation_one() {
        let mut random = Random::new(1, "test");
        let count = 20_000;
        let gaps: f64 = (0..count).map(|_| random.gap()).sum();
        assert!((gaps / f64::from(count) - 1.0).abs() < 0.03, "{gaps}");
        let draws: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let mean: f64 = draws.iter().sum::<f64>() / f64::from(count);
        let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / f64::from(count);
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }

    #[test]
    fn draws_differ_by_seed_and_purpose_and_repeat_otherwise() {
        let first = |seed, purpose| Random::new(seed, purpose).next();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
