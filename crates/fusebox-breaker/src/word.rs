//! The state word: all that a call has to know before it starts, in one atomic.
//!
//! ```text
//! | generation: 43 | fence: 12 | chores: 2 | level: 4 | tag: 3 |
//! ```
//!
//! The chores say whether the settings ask more of a call than to count itself, so that a call without any is made
//! with this one word read at its start and once more at its end.
//!
//! Only the slow path writes it, under its lock, so a reader sees a state together with the generation it belongs to.

use crate::outcome::State;

const TAG: u64 = 0b111;
const LEVEL_SHIFT: u32 = 3;
const LEVEL: u64 = 0b1111;
const STARTS: u64 = 1 << 7;
const ENDS: u64 = 1 << 8;
const FENCE_SHIFT: u32 = 9;
const GENERATION_SHIFT: u32 = 21;

/// The largest generation that is taken over from outside. It leaves as many again for those to come.
pub(crate) const MAX_RESTORED_GENERATION: u64 = 1 << (u64::BITS - GENERATION_SHIFT - 1);

/// Bits of a fence. It grows with every generation and every change of layout; a thread would have to stall between
/// two instructions for 4,096 of them to be taken for one of the present.
pub(crate) const FENCE_BITS: u32 = 12;
pub(crate) const FENCE: u64 = (1 << FENCE_BITS) - 1;

/// What the settings ask of a call beside counting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chores {
    /// To note when it starts.
    pub(crate) at_start: bool,
    /// To read the time, or to feed more than windows of calls, when it ends.
    pub(crate) at_end: bool,
}

/// The state word, unpacked field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) fn new(
        state: State,
        generation: u64,
        fence: u64,
        level: u32,
        chores: Chores,
    ) -> Self {
        Self(
            tag(state)
                | (u64::from(level) & LEVEL) << LEVEL_SHIFT
                | if chores.at_start { STARTS } else { 0 }
                | if chores.at_end { ENDS } else { 0 }
                | (fence & FENCE) << FENCE_SHIFT
                | generation << GENERATION_SHIFT,
        )
    }

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.0 & TAG == tag(State::Closed)
    }

    /// Closed, and a call starts by counting itself and no more.
    #[inline(always)]
    pub(crate) fn starts_plainly(self) -> bool {
        self.0 & (TAG | STARTS) == tag(State::Closed)
    }

    /// Closed, and a success ends by counting itself and no more, as long as no failure is known.
    #[inline(always)]
    pub(crate) fn ends_plainly(self) -> bool {
        self.0 & (TAG | ENDS) == tag(State::Closed)
    }

    /// Open or forced open: refused without a lock until the deadline.
    #[inline]
    pub(crate) fn refuses(self) -> Option<State> {
        match self.0 & TAG {
            1 => Some(State::Open),
            3 => Some(State::ForcedOpen),
            _ => None,
        }
    }

    pub(crate) fn state(self) -> State {
        match self.0 & TAG {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            4 => State::Disabled,
            _ => State::MetricsOnly,
        }
    }

    /// Which layout of the windows is in force; 0 is the one the breaker was built with.
    #[inline]
    pub(crate) fn level(self) -> u32 {
        ((self.0 >> LEVEL_SHIFT) & LEVEL) as u32
    }

    #[inline]
    pub(crate) fn fence(self) -> u64 {
        (self.0 >> FENCE_SHIFT) & FENCE
    }

    #[inline]
    pub(crate) fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }
}

const fn tag(state: State) -> u64 {
    match state {
        State::Closed => 0,
        State::Open => 1,
        State::HalfOpen => 2,
        State::ForcedOpen => 3,
        State::Disabled => 4,
        State::MetricsOnly => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_went_in() {
        for state in [
            State::Closed,
            State::Open,
            State::HalfOpen,
            State::ForcedOpen,
            State::Disabled,
            State::MetricsOnly,
        ] {
            let chores = Chores {
                at_start: true,
                at_end: true,
            };
            let word = Word::new(state, 123_456_789, 4_095, 15, chores);
            assert_eq!(word.state(), state);
            assert!(!word.starts_plainly() && !word.ends_plainly());
            assert_eq!(
                (word.generation(), word.fence(), word.level()),
                (123_456_789, 4_095, 15)
            );
        }
    }

    #[test]
    fn only_a_closed_word_without_chores_lets_calls_go_plainly() {
        for (state, closed) in [
            (State::Closed, true),
            (State::Open, false),
            (State::HalfOpen, false),
            (State::ForcedOpen, false),
            (State::Disabled, false),
            (State::MetricsOnly, false),
        ] {
            for (at_start, at_end) in [(false, false), (false, true), (true, true)] {
                let word = Word::new(state, 1, 2, 3, Chores { at_start, at_end });
                assert_eq!(word.starts_plainly(), closed && !at_start);
                assert_eq!(word.ends_plainly(), closed && !at_end);
            }
        }
    }
}
