//! The breaker through its public API.

mod bench;
mod presets;
mod rules;
#[cfg(feature = "serde")]
mod serde;
