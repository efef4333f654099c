//! When a step that takes from several may start.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many of the steps a step requires must have an output before it starts. It starts at the
/// moment its own rule holds, whatever else still runs.
///
/// A step that was not taken (see [`Condition`](crate::Condition)) has no output; where only such
/// steps are missing, the step behind them is not taken either. Where one that failed is missing, it
/// is shielded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Join {
    /// Every one. The default.
    #[default]
    All,
    /// One. The others go on; what they bring later, the step does not see.
    Any,
    /// This many, from 1 to the number of required steps.
    Quorum(u32),
    /// None: each is settled, with an output or without.
    AllSettled,
    /// Every one that was taken, and at least one: where routes meet of which several may be taken.
    AllTaken,
}

impl Join {
    // The form that serde asks for.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands out references"
    )]
    pub(super) fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether the step may start while others that it requires still run, so that what it was given
    /// has to be on record.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Any | Self::Quorum(_))
    }

    /// The outputs it takes of `total` required steps.
    fn needed(self, total: usize) -> usize {
        match self {
            Self::All => total,
            Self::Any => 1,
            Self::Quorum(count) => count as usize,
            Self::AllSettled => 0,
            Self::AllTaken => total.max(1),
        }
    }

    /// How a step stands whose required steps stand like this. What comes of a given set of settled
    /// steps does not depend on the order in which they were settled.
    pub(crate) fn decide(self, tally: &Tally) -> Readiness {
        let unsettled = tally.open + tally.held;
        if self == Self::AllSettled {
            return match (tally.open, tally.held) {
                (0, 0) => Readiness::Holds,
                (0, _) => Readiness::HeldBack,
                _ => Readiness::Open,
            };
        }
        let left_out = match self {
            Self::AllTaken => 0,
            _ => tally.left_out,
        };
        let total = unsettled + tally.outputs + tally.failed + left_out;
        let needed = self.needed(total);
        if tally.outputs >= needed {
            Readiness::Holds
        } else if tally.outputs + unsettled < needed && tally.failed > 0 {
            Readiness::Shielded
        } else if tally.outputs + unsettled < needed && unsettled == 0 {
            Readiness::LeftOut
        } else if tally.held > 0 && tally.outputs + tally.open < needed {
            Readiness::HeldBack
        } else {
            Readiness::Open
        }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::Quorum(count) => write!(f, "at least {count}"),
            Self::AllSettled => f.write_str("all settled"),
            Self::AllTaken => f.write_str("all that are taken"),
        }
    }
}

/// How the steps that one requires stand, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// With an output.
    pub(crate) outputs: usize,
    /// Settled without one, for want of an agent or of what they require.
    pub(crate) failed: usize,
    /// Settled without one, because their conditions did not hold.
    pub(crate) left_out: usize,
    /// Waiting, or behind one that waits.
    pub(crate) held: usize,
    /// Otherwise on their way.
    pub(crate) open: usize,
}

/// What a step's join says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It may start.
    Holds,
    /// Not yet.
    Open,
    /// Not before a step that waits.
    HeldBack,
    /// Never: too many have failed.
    Shielded,
    /// Never: too many were not taken.
    LeftOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outputs: usize, failed: usize, left_out: usize, held: usize, open: usize) -> Tally {
        Tally {
            outputs,
            failed,
            left_out,
            held,
            open,
        }
    }

    #[test]
    fn each_rule_holds_from_its_own_number_of_outputs_on() {
        let rows = [
            (
                Join::All,
                [Readiness::Open, Readiness::Open, Readiness::Holds],
            ),
            (
                Join::Any,
                [Readiness::Open, Readiness::Holds, Readiness::Holds],
            ),
            (
                Join::Quorum(2),
                [Readiness::Open, Readiness::Open, Readiness::Holds],
            ),
        ];
        for (join, expected) in rows {
            for (outputs, expected) in expected.into_iter().enumerate() {
                let tally = tally(outputs, 0, 0, 0, 2 - outputs);
                assert_eq!(join.decide(&tally), expected, "{join} with {outputs}");
            }
        }
        assert_eq!(
            Join::AllSettled.decide(&tally(1, 1, 1, 0, 0)),
            Readiness::Holds
        );
        assert_eq!(
            Join::AllSettled.decide(&tally(2, 0, 0, 0, 1)),
            Readiness::Open
        );
    }

    #[test]
    fn where_routes_meet_what_was_not_taken_is_not_waited_for() {
        let rows = [
            (tally(2, 0, 1, 0, 0), Readiness::Holds),
            (tally(1, 0, 1, 0, 1), Readiness::Open),
            (tally(1, 0, 1, 1, 0), Readiness::HeldBack),
            (tally(2, 1, 0, 0, 0), Readiness::Shielded),
            (tally(0, 0, 2, 0, 0), Readiness::LeftOut),
            (tally(0, 0, 1, 0, 1), Readiness::Open),
        ];
        for (tally, expected) in rows {
            assert_eq!(Join::AllTaken.decide(&tally), expected, "{tally:?}");
        }
    }

    #[test]
    fn a_failure_shields_as_soon_as_the_rule_cannot_hold_any_more_and_not_before() {
        assert_eq!(Join::All.decide(&tally(0, 1, 0, 0, 5)), Readiness::Shielded);
        assert_eq!(Join::Any.decide(&tally(0, 1, 0, 0, 1)), Readiness::Open);
        assert_eq!(Join::Any.decide(&tally(0, 2, 0, 0, 0)), Readiness::Shielded);
        assert_eq!(
            Join::Quorum(2).decide(&tally(1, 1, 0, 0, 1)),
            Readiness::Open
        );
        assert_eq!(
            Join::Quorum(2).decide(&tally(1, 2, 0, 0, 0)),
            Readiness::Shielded
        );
    }

    #[test]
    fn a_step_is_left_out_only_once_nothing_can_blame_a_failure() {
        assert_eq!(Join::All.decide(&tally(1, 0, 1, 0, 1)), Readiness::Open);
        assert_eq!(Join::All.decide(&tally(2, 0, 1, 0, 0)), Readiness::LeftOut);
        assert_eq!(Join::All.decide(&tally(1, 1, 1, 0, 0)), Readiness::Shielded);
        assert_eq!(Join::Any.decide(&tally(1, 0, 1, 0, 0)), Readiness::Holds);
    }

    #[test]
    fn a_step_is_held_back_only_if_its_rule_needs_the_one_that_waits() {
        assert_eq!(Join::All.decide(&tally(0, 0, 0, 1, 1)), Readiness::HeldBack);
        assert_eq!(Join::Any.decide(&tally(0, 0, 0, 1, 1)), Readiness::Open);
        assert_eq!(Join::Any.decide(&tally(0, 0, 0, 1, 0)), Readiness::HeldBack);
        assert_eq!(
            Join::AllSettled.decide(&tally(1, 0, 0, 1, 0)),
            Readiness::HeldBack
        );
    }
}
