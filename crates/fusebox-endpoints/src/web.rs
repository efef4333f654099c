//! What every agent behind HTTP needs: a client with limits, the meaning of refusals, secrets.

mod body;
mod client;
mod destination;
mod error;
mod hint;
mod limits;
mod secret;
mod verdict;

pub use error::{Phase, SetupError, WireError};
pub use hint::{MAX_HINT, retry_hint};
pub use limits::{Redirects, WireLimits};
pub use secret::Secret;
pub use verdict::{Refusal, verdict};

pub(crate) use body::Body;
#[cfg(feature = "mcp")]
pub(crate) use client::tls;
pub(crate) use client::{Client, ClientSetup, Request};
pub(crate) use destination::Destination;
pub(crate) use error::Failure;
pub(crate) use secret::Scrubber;
pub(crate) use verdict::{judge, request_id};
