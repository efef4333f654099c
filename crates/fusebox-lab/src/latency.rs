//! How long a stand-in takes to answer.

use std::time::Duration;

use serde::Serialize;

use crate::random::Random;

/// The standard normal distribution's 99th percentile.
const NORMAL_P99: f64 = 2.326_347_874_040_841;
/// What a draw is cut off at: far beyond it a lognormal distribution says nothing about an agent.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// How long a stand-in takes to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "InMilliseconds")]
#[non_exhaustive]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Drawn from the lognormal distribution of this median and 99th percentile, as latencies of services and models
    /// are about distributed: none below zero, few far above. The median is above zero and `p99` not below it.
    Lognormal {
        /// Half of the answers come within it.
        median: Duration,
        /// 99 of 100 answers come within it.
        p99: Duration,
    },
}

impl Latency {
    pub(crate) fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Fixed(latency) => latency,
            Self::Lognormal { median, p99 } => {
                let spread = (p99.as_secs_f64() / median.as_secs_f64()).ln() / NORMAL_P99;
                let factor = (spread * random.normal()).exp();
                let seconds = median.as_secs_f64() * factor;
                Duration::try_from_secs_f64(seconds).map_or(MOST, |latency| latency.min(MOST))
            }
        }
    }
}

/// As it stands in the document.
#[derive(Serialize)]
#[serde(untagged)]
enum InMilliseconds {
    Fixed { fixed_ms: u64 },
    Lognormal { median_ms: u64, p99_ms: u64 },
}

impl From<Latency> for InMilliseconds {
    fn from(latency: Latency) -> Self {
        use crate::time::millis;
        match latency {
            Latency::Fixed(latency) => Self::Fixed {
                fixed_ms: millis(latency),
            },
            Latency::Lognormal { median, p99 } => Self::Lognormal {
                median_ms: millis(median),
                p99_ms: millis(p99),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_draws_are_below_the_median_and_one_in_a_hundred_above_the_p99() {
        let (median, p99) = (Duration::from_millis(200), Duration::from_secs(2));
        let latency = Latency::Lognormal { median, p99 };
        let mut random = Random::new(3, "latency");
        let draws: Vec<Duration> = (0..20_000).map(|_| latency.draw(&mut random)).collect();
        let below = draws.iter().filter(|draw| **draw < median).count();
        let above = draws.iter().filter(|draw| **draw > p99).count();
        assert!((9_800..10_200).contains(&below), "{below}");
        assert!((150..250).contains(&above), "{above}");
    }
}
