//! How the steps of a run stand, drawn into its graph.

use fusebox_breaker::State;

use super::super::Workflow;
use super::{Picture, dot, lines, mermaid, svg};
use crate::report::{RunReport, StepReport};
use crate::status::StepStatus;

/// The graph of a workflow with the states of one of its runs: each step says how it stands in a sign and a word, and
/// names its breaker where that is not closed. Colours only repeat it. See [`Workflow::with_states`].
#[derive(Debug, Clone, Copy)]
pub struct Drawing<'a> {
    workflow: &'a Workflow,
    report: &'a RunReport,
}

impl Workflow {
    /// The graph with the states of a run. Steps that the report does not know are drawn without one.
    #[must_use]
    pub fn with_states<'a>(&'a self, report: &'a RunReport) -> Drawing<'a> {
        Drawing {
            workflow: self,
            report,
        }
    }
}

impl Drawing<'_> {
    /// As [`Workflow::to_mermaid`].
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(&self.picture())
    }

    /// As [`Workflow::to_dot`].
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::draw(&self.picture())
    }

    /// As [`Workflow::to_svg`]. Why a step stands as it does is in its title.
    #[must_use]
    pub fn to_svg(&self) -> String {
        svg::draw(&self.picture())
    }

    fn picture(&self) -> Picture<'_> {
        let mut picture = Picture::of(self.workflow);
        for (node, step) in picture.nodes.iter_mut().zip(self.workflow.steps()) {
            node.mark = self.report.step(step.name()).map(Mark::of);
        }
        picture
    }
}

/// How one step stands.
pub(super) struct Mark {
    pub(super) tone: Tone,
    /// In a sign and a word.
    pub(super) line: String,
    /// Its breaker, where that is not closed.
    pub(super) breaker: Option<String>,
    /// In its agent's words.
    pub(super) why: Option<String>,
}

/// What a state means to whoever looks, as a class of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Idle,
    Busy,
    Good,
    Worse,
    Bad,
    Away,
}

impl Tone {
    pub(super) const ALL: [Self; 6] = [
        Self::Idle,
        Self::Busy,
        Self::Good,
        Self::Worse,
        Self::Bad,
        Self::Away,
    ];

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Good => "good",
            Self::Worse => "worse",
            Self::Bad => "bad",
            Self::Away => "away",
        }
    }

    /// The border, on a light ground.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Idle => "#9aa5b1",
            Self::Busy => "#2b6cb0",
            Self::Good => "#2f855a",
            Self::Worse => "#b7791f",
            Self::Bad => "#c53030",
            Self::Away => "#6b46c1",
        }
    }
}

impl Mark {
    fn of(step: &StepReport) -> Self {
        let (tone, sign) = match step.status {
            StepStatus::Pending => (Tone::Idle, "·"),
            StepStatus::Running => (Tone::Busy, "…"),
            StepStatus::Succeeded => (Tone::Good, "✓"),
            StepStatus::Degraded => (Tone::Worse, "~"),
            StepStatus::Waiting | StepStatus::Suspended => (Tone::Worse, "…"),
            StepStatus::Shielded | StepStatus::Skipped => (Tone::Away, "-"),
            StepStatus::Failed | StepStatus::Cancelled => (Tone::Bad, "✗"),
        };
        let is_away = !step.breaker.is_empty() && step.breaker != State::Closed.to_string();
        let one_line = |text: &String| lines(text).join(" ");
        Self {
            tone,
            line: format!("{sign} {}", step.status),
            breaker: is_away.then(|| format!("breaker {}", step.breaker)),
            why: step.reason.as_ref().map(one_line),
        }
    }

    /// What is written into a step's box.
    pub(super) fn lines(&self) -> impl Iterator<Item = &String> {
        [&self.line].into_iter().chain(&self.breaker)
    }
}
