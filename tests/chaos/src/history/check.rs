//! The search for an order in which everything is right.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What one copy, asked by one caller at a time, would do.
pub trait Model {
    /// What it holds.
    type State: Clone + Eq + Hash + Debug;
    /// What it is asked.
    type Call: Debug;
    /// What it says.
    type Answer: Debug;

    /// As it is at first.
    fn start() -> Self::State;

    /// The state after `call`; none if `answer` is not what it would have said. Without an answer,
    /// none if the call would change nothing: then nobody can tell whether it took effect.
    fn step(
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;
}

/// One call as it was seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<C, A> {
    /// When it began, by a clock that all callers share and that never says the same twice.
    pub began: u64,
    /// When it was answered and what; none if it was not: it may take effect at any time after it
    /// began, or never.
    pub ended: Option<(u64, A)>,
    /// What was asked.
    pub call: C,
}

/// Whether there is an order in which one copy would have given every answer.
///
/// # Errors
/// The longest beginning of an order that was found, and where it got stuck.
pub fn check<M: Model>(operations: &[Operation<M::Call, M::Answer>]) -> Result<(), String> {
    Search::<M>::new(operations).run()
}

struct Search<'a, M: Model> {
    operations: &'a [Operation<M::Call, M::Answer>],
    /// Places of those that were answered, and of those that were not, in order of their beginning.
    answered: Vec<usize>,
    open: Vec<usize>,
    /// Bits of those in the order so far.
    placed: Vec<u64>,
    seen: HashSet<(Vec<u64>, M::State)>,
}

/// A state in the order so far, and what may come next.
struct Step<S> {
    state: S,
    candidates: Vec<usize>,
    /// What led here.
    by: Option<usize>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(operations: &'a [Operation<M::Call, M::Answer>]) -> Self {
        let mut places: Vec<usize> = (0..operations.len()).collect();
        places.sort_by_key(|place| operations[*place].began);
        let (answered, open) = places
            .into_iter()
            .partition(|place| operations[*place].ended.is_some());
        Self {
            operations,
            answered,
            open,
            placed: vec![0; operations.len().div_ceil(64)],
            seen: HashSet::new(),
        }
    }

    fn run(mut self) -> Result<(), String> {
        let mut longest = (0, String::new());
        let mut steps = vec![self.step_at(M::start(), None)];
        while let Some(step) = steps.last_mut() {
            let Some(place) = step.candidates.pop() else {
                if let Some(by) = step.by {
                    self.flip(by);
                }
                steps.pop();
                continue;
            };
            let operation = &self.operations[place];
            let answer = operation.ended.as_ref().map(|(_, answer)| answer);
            let Some(state) = M::step(&step.state, &operation.call, answer) else {
                if steps.len() > longest.0 {
                    let state = &steps.last().expect("there is one").state;
                    longest = (steps.len(), format!("in {state:?} not {operation:?}"));
                }
                continue;
            };
            self.flip(place);
            if self.answered.iter().all(|place| self.is_placed(*place)) {
                return Ok(());
            }
            if self.seen.insert((self.placed.clone(), state.clone())) {
                let next = self.step_at(state, Some(place));
                steps.push(next);
            } else {
                self.flip(place);
            }
        }
        match self.answered.is_empty() {
            true => Ok(()),
            false => Err(format!("no order past {} calls: {}", longest.0, longest.1)),
        }
    }

    /// What may come next: whatever began before the first end among what is left. The likeliest,
    /// what began first and was answered, is tried first and therefore last in the list.
    fn step_at(&self, state: M::State, by: Option<usize>) -> Step<M::State> {
        let mut first_end = u64::MAX;
        let mut candidates = Vec::new();
        for place in self
            .answered
            .iter()
            .filter(|place| !self.is_placed(**place))
        {
            let operation = &self.operations[*place];
            if operation.began > first_end {
                break;
            }
            first_end = first_end.min(operation.ended.as_ref().map_or(u64::MAX, |(end, _)| *end));
            candidates.push(*place);
        }
        let is_in_time = |place: &usize| self.operations[*place].began < first_end;
        candidates.retain(is_in_time);
        let open = self.open.iter().filter(|place| !self.is_placed(**place));
        candidates.extend(open.filter(|place| is_in_time(place)));
        candidates.reverse();
        Step {
            state,
            candidates,
            by,
        }
    }

    fn is_placed(&self, place: usize) -> bool {
        self.placed[place / 64] & (1 << (place % 64)) != 0
    }

    fn flip(&mut self, place: usize) {
        self.placed[place / 64] ^= 1 << (place % 64);
    }
}
