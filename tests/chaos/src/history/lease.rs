//! A partition's lease, which nobody lets run out, and the writes under it.

use super::Model;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseCall {
    /// The lease, for this owner; also from the running lease of this epoch.
    Acquire {
        /// Who asks.
        owner: usize,
        /// The epoch of an own lease whose answer was lost.
        takeover: Option<u64>,
    },
    /// A write under the lease of this epoch.
    Write(u64),
    /// An end to the lease of this epoch.
    Release(u64),
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Under this epoch.
    Acquired(u64),
    /// By this owner, under this epoch.
    Held(usize, u64),
    /// Written or released.
    Done,
    /// Another lease than the one named is current.
    Lost,
}

/// The newest lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LeaseState {
    owner: usize,
    /// None if its acquisition was not answered and nobody has seen it.
    epoch: Option<u64>,
    /// What its epoch is above.
    above: u64,
    is_running: bool,
}

/// One partition: its newest lease.
#[derive(Debug)]
pub struct LeaseModel;

impl Model for LeaseModel {
    type State = LeaseState;
    type Call = LeaseCall;
    type Answer = LeaseAnswer;

    fn start() -> LeaseState {
        LeaseState {
            epoch: Some(0),
            ..LeaseState::default()
        }
    }

    fn step(
        state: &LeaseState,
        call: &LeaseCall,
        answer: Option<&LeaseAnswer>,
    ) -> Option<LeaseState> {
        match *call {
            LeaseCall::Acquire { owner, takeover } => state.acquire(owner, takeover, answer),
            LeaseCall::Write(epoch) => state.under(epoch, answer, *state),
            LeaseCall::Release(epoch) => {
                let released = LeaseState {
                    is_running: false,
                    ..*state
                };
                // A release is sent again when its connection breaks. The first may have ended the
                // lease and the second found another owner: lost, by the own wish.
                match answer {
                    Some(LeaseAnswer::Lost) if state.epoch == Some(epoch) => {
                        state.is_running.then_some(released)
                    }
                    _ => state.under(epoch, answer, released),
                }
            }
        }
    }
}

impl LeaseState {
    fn acquire(
        self,
        owner: usize,
        takeover: Option<u64>,
        answer: Option<&LeaseAnswer>,
    ) -> Option<Self> {
        // A lease that nobody has seen is not named by anybody.
        let is_free = !self.is_running || (takeover.is_some() && takeover == self.epoch);
        let least = self.epoch.unwrap_or(self.above);
        match answer {
            Some(LeaseAnswer::Acquired(epoch)) => (is_free && *epoch > least).then_some(Self {
                owner,
                epoch: Some(*epoch),
                above: *epoch,
                is_running: true,
            }),
            Some(LeaseAnswer::Held(by, epoch)) => {
                let fits = match self.epoch {
                    Some(known) => known == *epoch,
                    None => *epoch > self.above,
                };
                let seen = Self {
                    epoch: Some(*epoch),
                    above: *epoch,
                    ..self
                };
                (!is_free && self.owner == *by && fits).then_some(seen)
            }
            Some(_) => None,
            None => is_free.then_some(Self {
                owner,
                epoch: None,
                above: least,
                is_running: true,
            }),
        }
    }

    /// A call under the lease of `epoch`, which leads to `after` if that is the current one.
    fn under(self, epoch: u64, answer: Option<&LeaseAnswer>, after: Self) -> Option<Self> {
        let is_current = self.epoch == Some(epoch);
        match answer {
            Some(LeaseAnswer::Done) => is_current.then_some(after),
            Some(LeaseAnswer::Lost) => (!is_current).then_some(self),
            Some(_) => None,
            None => (is_current && after != self).then_some(after),
        }
    }
}
