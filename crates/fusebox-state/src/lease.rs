//! Who may write to a partition, and for how long.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{StoreError, random};

/// Longest name of a lease's owner, in bytes.
pub const MAX_OWNER_BYTES: usize = 200;

/// Proof of a lease: goes with every write to a leased partition.
///
/// The pair counts. Two sides of a network partition may both hand out the same epoch, but never
/// the same token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Grows with every acquisition; at least the store's time in milliseconds. For resources
    /// outside the store that can only compare numbers.
    pub epoch: u64,
    /// Random, drawn per acquisition. Not to be logged.
    pub token: [u8; 16],
}

impl Fence {
    /// Names the lease without giving it away.
    pub fn token_id(&self) -> TokenId {
        TokenId(random::hex(&Sha256::digest(self.token)[..8]))
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Fence {{ epoch: {}, token: {}.. }}",
            self.epoch,
            random::hex(&self.token[..2])
        )
    }
}

/// Names a lease without being usable as its [`Fence`]: the start of the token's SHA-256, 16 hex
/// digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// Reads an id that [`Display`](fmt::Display) printed. An id that fits no lease is harmless:
    /// a takeover that names it is refused.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({})", self.0)
    }
}

/// A lease as anyone may see it: without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// See [`Fence::epoch`].
    pub epoch: u64,
    /// The name given by whoever acquired it.
    pub owner: String,
    /// Until it runs out; zero when it has, or when it was released.
    pub remaining: Duration,
    /// Names it in [`LeaseRequest::takeover`].
    pub token_id: TokenId,
}

impl Lease {
    /// Whether anybody may acquire the partition now.
    pub fn is_expired(&self) -> bool {
        self.remaining.is_zero()
    }
}

/// Asks for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Who asks, for people to read; at most 200 bytes. Two processes should not share one.
    pub owner: String,
    /// How long the lease runs unless renewed. Counted in whole milliseconds of the store's
    /// clock, rounded up; at zero it has expired as soon as it is given.
    pub ttl: Duration,
    /// Take the partition although its lease still runs, but only from this lease. For callers
    /// who know that its owner is gone.
    pub takeover: Option<TokenId>,
    /// Take the partition only if nobody ever leased it: a lease that has run out stands in the way
    /// like one that runs. For callers who are about to make what must not be there yet.
    pub first: bool,
}

impl LeaseRequest {
    /// A request that waits for nobody and steals from nobody.
    pub fn new(owner: impl Into<String>, ttl: Duration) -> Self {
        Self {
            owner: owner.into(),
            ttl,
            takeover: None,
            first: false,
        }
    }

    /// Also take the partition from the unexpired lease named `token_id`.
    pub fn with_takeover(mut self, token_id: TokenId) -> Self {
        self.takeover = Some(token_id);
        self
    }

    /// Only take a partition that nobody ever leased.
    pub fn only_first(mut self) -> Self {
        self.first = true;
        self
    }

    /// For stores, before anything is sent.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for an owner over 200 bytes.
    pub fn check_limits(&self) -> Result<(), StoreError> {
        if self.owner.len() <= MAX_OWNER_BYTES {
            return Ok(());
        }
        Err(StoreError::TooLarge {
            what: "owner of a lease in bytes".to_owned(),
            size: self.owner.len(),
            limit: MAX_OWNER_BYTES,
        })
    }
}

/// What became of a [`LeaseRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the partition may belong to somebody else"]
pub enum AcquireOutcome {
    /// The partition is the caller's.
    Acquired {
        /// Goes with every write.
        fence: Fence,
        /// The lease it replaced, if the partition ever had one.
        previous: Option<Lease>,
    },
    /// Somebody else's lease still runs.
    Held(Lease),
}

/// What became of a renewal or release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the lease may be lost"]
pub enum RenewOutcome {
    /// The lease runs for its new time from now.
    Renewed,
    /// The lease has run out by its owner's wish. A second release answers the same.
    Released,
    /// The fence is not the current lease: another owner is in charge.
    Lost {
        /// The epoch of the current lease; `None` if the partition has none.
        current_epoch: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_shows_only_the_start_of_its_token() {
        let fence = Fence {
            epoch: 7,
            token: [0xab; 16],
        };
        assert_eq!(format!("{fence:?}"), "Fence { epoch: 7, token: abab.. }");
        assert_eq!(fence.token_id().as_str().len(), 16);
        assert!(!fence.token_id().as_str().contains("abab"));
    }
}
