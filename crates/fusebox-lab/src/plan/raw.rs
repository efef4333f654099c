//! The plan as it is written, before anything is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fusebox_orchestrator::file::Time;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlan {
    pub(super) workflow: Spanned<String>,
    pub(super) time: Option<Spanned<String>>,
    pub(super) duration: Spanned<Time>,
    pub(super) seeds: Option<Spanned<u64>>,
    pub(super) every: Option<Spanned<Time>>,
    pub(super) rate: Option<Spanned<f64>>,
    pub(super) without: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) input: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub(super) agents: BTreeMap<Spanned<String>, RawStandIn>,
    #[serde(default)]
    pub(super) faults: Vec<Spanned<RawFault>>,
    #[serde(default)]
    pub(super) targets: RawTargets,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStandIn {
    pub(super) latency: Option<Spanned<RawLatency>>,
    pub(super) answer: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFault {
    pub(super) agent: Spanned<String>,
    pub(super) kind: Spanned<String>,
    pub(super) from: Option<Spanned<Time>>,
    #[serde(rename = "for")]
    pub(super) lasts: Option<Spanned<Time>>,
    pub(super) ratio: Option<Spanned<f64>>,
    pub(super) delay: Option<Spanned<Time>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTargets {
    pub(super) availability: Option<Spanned<f64>>,
    pub(super) latency_p95: Option<Spanned<Time>>,
    pub(super) calls_in_vain: Option<Spanned<u64>>,
    pub(super) objectives_met: Option<Spanned<f64>>,
}

/// `"200ms"`, or `{ median = "200ms", p99 = "2s" }`.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawLatency {
    Fixed(Duration),
    Lognormal { median: Duration, p99: Duration },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLognormal {
    median: Time,
    p99: Time,
}

impl<'de> Deserialize<'de> for RawLatency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawLatency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"200ms\", or { median = \"200ms\", p99 = \"2s\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawLatency, E> {
                let time = Time::deserialize(StrDeserializer::new(text))?;
                Ok(RawLatency::Fixed(time.0))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawLatency, A::Error> {
                let raw = RawLognormal::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawLatency::Lognormal {
                    median: raw.median.0,
                    p99: raw.p99.0,
                })
            }
        }

        deserializer.deserialize_any(Either)
    }
}
