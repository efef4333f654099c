//! The decisions of a store as pure functions, for the stores that keep their own records. The
//! Redis scripts say the same in Lua; the conformance suite holds them together.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::MAX_PAGE;
use crate::{
    Durability, Fence, Lease, LeaseMark, LeaseRequest, Restore, RestoreOutcome, StoreId, WriteId,
};

/// Longest time to live, about a hundred years: keeps sums of times far below 2^53.
const MAX_TTL_MS: u64 = 3_200_000_000_000;

/// A lease as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct LeaseRecord {
    pub(crate) fence: Fence,
    pub(crate) owner: String,
    pub(crate) expires_ms: u64,
}

impl LeaseRecord {
    pub(crate) fn view(&self, now_ms: u64) -> Lease {
        Lease {
            epoch: self.fence.epoch,
            owner: self.owner.clone(),
            remaining: Duration::from_millis(self.expires_ms.saturating_sub(now_ms)),
            token_id: self.fence.token_id(),
        }
    }
}

/// Whether a write under `fence` may change a partition leased as `lease`; else the epoch that is
/// in charge.
pub(crate) fn admit(lease: Option<&LeaseRecord>, fence: Option<&Fence>) -> Result<(), Option<u64>> {
    match (lease, fence) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(None),
        (Some(lease), Some(fence)) if lease.fence == *fence => Ok(()),
        (Some(lease), _) => Err(Some(lease.fence.epoch)),
    }
}

/// The lease that `request` gets, or the one that stands in its way.
pub(crate) fn acquire(
    current: Option<&LeaseRecord>,
    request: &LeaseRequest,
    token: [u8; 16],
    now_ms: u64,
) -> Result<LeaseRecord, Lease> {
    if let Some(current) = current {
        let lease = current.view(now_ms);
        let stands = request.first || !lease.is_expired();
        if stands && request.takeover.as_ref() != Some(&lease.token_id) {
            return Err(lease);
        }
    }
    let epoch = current.map_or(0, |lease| lease.fence.epoch + 1).max(now_ms);
    Ok(LeaseRecord {
        fence: Fence { epoch, token },
        owner: request.owner.clone(),
        expires_ms: now_ms + ttl_ms(request.ttl),
    })
}

/// How long removals and leases given up stay on record at least. A restore that was under way, or
/// an owner that was stopped, for longer than this is not guarded against.
#[cfg(feature = "embedded")]
pub(crate) const ON_RECORD: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a store holds of a partition that is to be restored.
#[derive(Default)]
pub(crate) struct Stored<'a> {
    pub(crate) lease: Option<&'a LeaseRecord>,
    pub(crate) revision: u64,
    /// The write that made the revision.
    pub(crate) last: Option<WriteId>,
}

/// What a store has on record beside a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnRecord {
    pub(crate) removed: bool,
    /// Whether the restorer's lease was given up.
    pub(crate) given_up: bool,
}

/// Whether what is stored may give way to `wanted`. Why: docs/state-protocol.md.
pub(crate) fn restore(
    stored: Option<&Stored<'_>>,
    on_record: OnRecord,
    id: &StoreId,
    wanted: &Restore,
) -> Result<(), RestoreRefusal> {
    if wanted.decided_for.as_ref().is_some_and(|meant| meant != id) {
        return Err(RestoreRefusal::OtherStore);
    }
    if on_record.given_up {
        return Err(RestoreRefusal::GivenUp);
    }
    let Some(Stored {
        lease,
        revision,
        last,
    }) = stored
    else {
        return match wanted.onto_absent && !on_record.removed {
            true => Ok(()),
            false => Err(RestoreRefusal::Absent),
        };
    };
    let mark = lease.map(|lease| LeaseMark::from(&lease.fence));
    let own = lease.is_some_and(|lease| lease.fence == wanted.fence);
    if !own && (mark.is_none() || mark != wanted.predecessor) {
        return Err(RestoreRefusal::StaleEpoch(mark.map(|mark| mark.epoch)));
    }
    let newest = wanted.image.writes.last().map(|write| write.id);
    match revision.cmp(&wanted.image.revision) {
        Ordering::Greater => Err(RestoreRefusal::Ahead(*revision)),
        // The same revision made by another write is one that the owner never saw acknowledged.
        Ordering::Equal if own && *last == newest => Err(RestoreRefusal::Current),
        _ => Ok(()),
    }
}

/// Why a restore changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RestoreRefusal {
    Absent,
    StaleEpoch(Option<u64>),
    Ahead(u64),
    Current,
    OtherStore,
    GivenUp,
}

impl RestoreRefusal {
    pub(crate) fn outcome(self, durability: Durability) -> RestoreOutcome {
        match self {
            Self::Absent => RestoreOutcome::Absent,
            Self::StaleEpoch(current) => RestoreOutcome::StaleEpoch { current },
            Self::Ahead(revision) => RestoreOutcome::Ahead { revision },
            Self::Current => RestoreOutcome::Current { durability },
            Self::OtherStore => RestoreOutcome::OtherStore,
            Self::GivenUp => RestoreOutcome::GivenUp,
        }
    }
}

/// Whole milliseconds, rounded up so that a time to live is never cut short.
pub(crate) fn ttl_ms(ttl: Duration) -> u64 {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(u64::MAX).min(MAX_TTL_MS)
}

pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    // A clock before 1970 is a broken clock; zero keeps epochs growing by one.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn page_limit(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, token: u8, expires_ms: u64) -> LeaseRecord {
        LeaseRecord {
            fence: Fence {
                epoch,
                token: [token; 16],
            },
            owner: "a".into(),
            expires_ms,
        }
    }

    #[test]
    fn a_lease_has_run_out_exactly_at_its_expiry() {
        let current = record(5, 1, 100);
        let request = LeaseRequest::new("b", Duration::from_millis(10));
        assert_eq!(
            acquire(Some(&current), &request, [2; 16], 99)
                .unwrap_err()
                .remaining,
            Duration::from_millis(1)
        );
        let next = acquire(Some(&current), &request, [2; 16], 100).unwrap();
        assert_eq!((next.fence.epoch, next.expires_ms), (100, 110));
    }

    #[test]
    fn epochs_grow_although_the_clock_went_back() {
        let current = record(5_000, 1, 0);
        let next = acquire(
            Some(&current),
            &LeaseRequest::new("b", Duration::ZERO),
            [2; 16],
            40,
        );
        assert_eq!(next.unwrap().fence.epoch, 5_001);
    }

    #[test]
    fn only_both_halves_of_a_fence_admit_a_write() {
        let lease = record(5, 1, 0);
        assert_eq!(admit(Some(&lease), Some(&lease.fence)), Ok(()));
        for fence in [
            record(5, 2, 0).fence,
            record(4, 1, 0).fence,
            record(6, 1, 0).fence,
        ] {
            assert_eq!(admit(Some(&lease), Some(&fence)), Err(Some(5)));
        }
        assert_eq!(admit(Some(&lease), None), Err(Some(5)));
        assert_eq!(admit(None, Some(&lease.fence)), Err(None));
        assert_eq!(admit(None, None), Ok(()));
    }

    #[test]
    fn times_to_live_round_up_and_stay_bounded() {
        assert_eq!(ttl_ms(Duration::from_nanos(1)), 1);
        assert_eq!(ttl_ms(Duration::from_millis(7)), 7);
        assert_eq!(ttl_ms(Duration::MAX), MAX_TTL_MS);
    }
}
