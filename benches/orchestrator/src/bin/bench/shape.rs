//! The runs that are measured.

use fusebox_orchestrator::{Step, Workflow};

/// How the steps of a run hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other.
    Chain(usize),
    /// All at once.
    FanOut(usize),
}

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::Chain(6), Self::FanOut(10), Self::FanOut(100)];

    pub(crate) fn steps(self) -> usize {
        match self {
            Self::Chain(steps) | Self::FanOut(steps) => steps,
        }
    }

    pub(crate) fn names(self) -> Vec<String> {
        (0..self.steps())
            .map(|step| format!("step-{step}"))
            .collect()
    }

    pub(crate) fn workflow(self) -> Workflow {
        let names = self.names();
        let mut builder = Workflow::builder("bench");
        for (at, name) in names.iter().enumerate() {
            let mut step = Step::new(name);
            if let (Self::Chain(_), Some(before)) = (self, at.checked_sub(1)) {
                step = step.requires([&names[before]]);
            }
            builder = builder.step(step);
        }
        builder.build().expect("a graph without cycles")
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain(steps) => write!(f, "chain of {steps}"),
            Self::FanOut(steps) => write!(f, "fan-out of {steps}"),
        }
    }
}
