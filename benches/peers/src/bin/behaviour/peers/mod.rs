//! The breakers that are asked.

mod circuitbreaker_rs;
mod failsafe;
mod ours;
mod recloser;
mod tower;

use crate::peer::Candidate;

/// Ours first.
pub(crate) fn all() -> [Box<dyn Candidate>; 5] {
    [
        Box::new(ours::Ours),
        Box::new(failsafe::Failsafe),
        Box::new(recloser::Recloser),
        Box::new(tower::Tower),
        Box::new(circuitbreaker_rs::CircuitbreakerRs),
    ]
}
