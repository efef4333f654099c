//! What a proxy is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a proxy may take to do as it is told.
const LIMIT: Duration = Duration::from_secs(10);

/// What a proxy does at this moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    pub(super) server: Option<SocketAddr>,
    pub(super) mode: Mode,
    pub(super) reach: Reach,
    /// Connections of an earlier epoch are reset.
    pub(super) epoch: u64,
    pub(super) closed: bool,
}

/// What becomes of the bytes that get through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Mode {
    #[default]
    Pass,
    Refuse,
    DropReplies,
    DropNextReply,
    Hold,
    Delay(Duration),
    Slice,
}

impl Mode {
    pub(super) fn drops(self) -> bool {
        matches!(self, Self::DropReplies | Self::DropNextReply)
    }

    pub(super) fn reply_delay(self) -> Duration {
        match self {
            Self::Delay(by) => by,
            _ => Duration::ZERO,
        }
    }
}

/// Whose packets get through, by the address they come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Reach {
    #[default]
    All,
    Only(BTreeSet<IpAddr>),
    Except(BTreeSet<IpAddr>),
}

impl Reach {
    pub(super) fn includes(&self, source: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Only(sources) => sources.contains(&source),
            Self::Except(sources) => !sources.contains(&source),
        }
    }
}

impl Control {
    /// Whether bytes of a connection from `source` move at all.
    pub(super) fn moves(&self, source: IpAddr) -> bool {
        self.mode != Mode::Hold && self.reach.includes(source)
    }
}

/// Where a proxy pins up what it has done, for the threads that wait for it.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) listening: bool,
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) dropped: u64,
    pub(super) slices: u64,
    /// Each open connection with the epoch it was made in.
    pub(super) open: BTreeMap<u64, u64>,
}

impl Board {
    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    pub(super) fn update<T>(&self, update: impl FnOnce(&mut State) -> T) -> T {
        let value = update(&mut self.lock());
        self.changed.notify_all();
        value
    }

    /// Returns when the state is as wished.
    ///
    /// # Panics
    /// After 10 s: the proxy cannot do as it was told, and a test must not go on as if it had.
    pub(super) fn wait(&self, what: &str, wish: impl Fn(&State) -> bool) {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), LIMIT, |state| !wish(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !waited.timed_out(),
            "the proxy did not {what} within {LIMIT:?}: {state:?}"
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
