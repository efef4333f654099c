//! Styles, which only repeat what signs and words say.

use fusebox::RunStatus;
use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub(super) fn worse(self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// The sign and style of a breaker's state.
    pub(super) fn breaker(self, state: &str) -> (&'static str, Style) {
        match state {
            "closed" => ("✓", self.good()),
            "open" => ("✗", self.bad()),
            "half_open" => ("~", self.worse()),
            "forced_open" => ("!", self.bad()),
            _ => ("-", self.worse()),
        }
    }

    /// The sign and style of how a run stands.
    pub(super) fn run(self, status: RunStatus) -> (&'static str, Style) {
        match status {
            RunStatus::Running => (">", self.plain()),
            RunStatus::Completed => ("✓", self.good()),
            RunStatus::Degraded => ("~", self.worse()),
            RunStatus::Waiting | RunStatus::Suspended => ("…", self.worse()),
            _ => ("✗", self.bad()),
        }
    }
}
