//! A key, changed by compare-and-swap.

use super::Model;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterCall {
    /// The value and its version.
    Read,
    /// A new value for this version; 0 stands for none yet.
    Swap {
        /// The version it is to have.
        expected: u64,
        /// The value it is to get.
        value: u64,
    },
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// Version, 0 if there is none, and value.
    Is(u64, u64),
    /// Swapped.
    Swapped,
    /// It has another version.
    Conflict(u64),
}

/// One key: its version and its value.
#[derive(Debug)]
pub struct RegisterModel;

impl Model for RegisterModel {
    type State = (u64, u64);
    type Call = RegisterCall;
    type Answer = RegisterAnswer;

    fn start() -> Self::State {
        (0, 0)
    }

    fn step(
        state: &Self::State,
        call: &RegisterCall,
        answer: Option<&RegisterAnswer>,
    ) -> Option<Self::State> {
        let (version, held) = *state;
        let (right, after) = match *call {
            RegisterCall::Read => (RegisterAnswer::Is(version, held), *state),
            RegisterCall::Swap { expected, value } if expected == version => {
                (RegisterAnswer::Swapped, (version + 1, value))
            }
            RegisterCall::Swap { .. } => (RegisterAnswer::Conflict(version), *state),
        };
        let is_right = match answer {
            Some(answer) => *answer == right,
            None => after != *state,
        };
        is_right.then_some(after)
    }
}
