//! What may be answered under each fault. Where more than one answer may come, it depends on when
//! the fault meets the request.

use super::RedisFault;
use crate::matrix::Allowed;
use crate::matrix::Answer::{Absent, InDoubt, Misconfigured, Ok, Refused, Stale, Unavailable};

pub(super) const fn under(fault: RedisFault) -> Allowed {
    match fault {
        RedisFault::KilledKept => Allowed {
            writes: &[Ok, InDoubt, Unavailable],
            reads: &[Ok, Unavailable],
            watch: &[Ok, Unavailable],
            fallback: &[Ok],
        },
        RedisFault::KilledEmpty => Allowed {
            writes: &[Ok, Stale, InDoubt, Unavailable],
            reads: &[Ok, Absent, Unavailable],
            watch: &[Ok, Unavailable],
            fallback: &[Ok],
        },
        RedisFault::Paused | RedisFault::RepliesSwallowed => Allowed {
            writes: &[InDoubt],
            reads: &[Unavailable],
            watch: &[Unavailable],
            fallback: &[Ok],
        },
        RedisFault::ResetWhileAnswering | RedisFault::ReplyLost => Allowed {
            writes: &[Ok, InDoubt],
            reads: &[Ok, Unavailable],
            watch: &[Ok, Unavailable],
            fallback: &[Ok],
        },
        RedisFault::Slow | RedisFault::Sliced | RedisFault::ScriptsFlushed => Allowed {
            writes: &[Ok],
            reads: &[Ok],
            watch: &[Ok],
            fallback: &[Ok],
        },
        RedisFault::Full | RedisFault::TooFewReplicas => Allowed {
            writes: &[Refused],
            reads: &[Ok],
            watch: &[Ok],
            fallback: &[Ok],
        },
        // The last of several tries may be under way when the deadline comes.
        RedisFault::ReadOnly => Allowed {
            writes: &[Unavailable, InDoubt],
            reads: &[Ok],
            watch: &[Ok],
            fallback: &[Ok],
        },
        RedisFault::Loading => Allowed {
            writes: &[Unavailable, InDoubt],
            reads: &[Unavailable],
            watch: &[Ok],
            fallback: &[Ok],
        },
        RedisFault::PasswordRotated | RedisFault::RightsReduced | RedisFault::TlsStranger => {
            Allowed {
                writes: &[Misconfigured],
                reads: &[Misconfigured],
                watch: &[Misconfigured],
                fallback: &[Misconfigured],
            }
        }
        // The first of its requests may have been written to the connection that was just reset.
        RedisFault::TlsGone => Allowed {
            writes: &[Misconfigured, InDoubt, Unavailable],
            reads: &[Misconfigured, Unavailable],
            watch: &[Misconfigured, Unavailable],
            fallback: &[Ok],
        },
        RedisFault::Emptied => Allowed {
            writes: &[Ok, Stale],
            reads: &[Absent],
            watch: &[Ok],
            fallback: &[Ok],
        },
    }
}
