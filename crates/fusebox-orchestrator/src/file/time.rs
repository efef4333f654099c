//! Times in files.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A duration as it is written in a file: text with its unit, such as `"500ms"`, `"5s"` or `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a duration in quotes with its unit, such as \"500ms\", \"5s\" or \"2m\"",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                humantime::parse_duration(text)
                    .map(Time)
                    .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
