//! What the keys do.

use fusebox::orchestrator::Action;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Act, Mode, Model, Pane};

/// More than any terminal shows; a request over the socket takes far more.
const LONGEST: usize = 500;
const PAGE: isize = 10;
const MINUTE: u64 = 60_000;
/// How long an override may hold, in milliseconds; as the page of `serve` has it.
const LASTING: [Option<u64>; 5] = [
    None,
    Some(5 * MINUTE),
    Some(15 * MINUTE),
    Some(60 * MINUTE),
    Some(8 * 60 * MINUTE),
];

/// What a key asks for beyond the view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Quit,
    /// With the reason.
    Act(Act, String),
}

/// The keys and what they do, for the help.
pub(super) const KEYS: [(&str, &str); 14] = [
    ("Tab", "the next table; Shift+Tab the one before"),
    (
        "Up, Down",
        "the next row; PageUp, PageDown, Home, End go further",
    ),
    ("/", "show only rows with a text; Esc shows all again"),
    ("t", "trip a breaker: it comes back by itself"),
    ("f", "force it open until it is released"),
    ("d", "disable it: every call goes through, unjudged"),
    (
        "m",
        "metrics only: every call goes through, judged without consequence",
    ),
    (
        "r",
        "release it: what was forced ends, an open one is tried at once",
    ),
    ("c", "cancel a run; what is finished is kept"),
    ("Enter", "do it, once a reason is given"),
    (
        "Tab",
        "in such a question: for how long, where it is an override",
    ),
    ("Esc", "leave a question, the help or the filter"),
    ("?", "this help"),
    ("q, Ctrl+C", "leave; nothing that runs is touched"),
];

impl Model {
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Order> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Order::Quit);
        }
        match &self.mode {
            Mode::Look => self.looking(key.code),
            Mode::Filter => {
                self.filtering(key.code);
                None
            }
            Mode::Ask { act, reason } => {
                let (act, reason) = (act.clone(), reason.clone());
                self.asked(act, reason, key.code)
            }
            Mode::Help => {
                self.mode = Mode::Look;
                None
            }
        }
    }

    fn looking(&mut self, key: KeyCode) -> Option<Order> {
        self.notice = None;
        match key {
            KeyCode::Char('q') => return Some(Order::Quit),
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab => self.pane = self.pane.next(),
            KeyCode::BackTab => self.pane = self.pane.next().next(),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Char('t') => self.ask_operate(Action::Trip),
            KeyCode::Char('f') => self.ask_operate(Action::ForceOpen),
            KeyCode::Char('d') => self.ask_operate(Action::Disable),
            KeyCode::Char('m') => self.ask_operate(Action::MetricsOnly),
            KeyCode::Char('r') => self.ask_operate(Action::Release),
            KeyCode::Char('c') => self.ask_cancel(),
            _ => {}
        }
        None
    }

    /// Only where the breakers are looked at: nobody moves one that they do not see selected.
    fn ask_operate(&mut self, action: Action) {
        let agent = self.selected_agent();
        match agent.filter(|_| self.pane == Pane::Breakers) {
            Some(agent) => self.ask(Act::Operate {
                agent,
                action,
                for_ms: None,
            }),
            None => {
                self.notice = Some(Err(format!("to {action}, select a breaker: Tab, Up, Down")))
            }
        }
    }

    fn ask_cancel(&mut self) {
        let run = self.selected_run();
        match run.filter(|_| self.pane == Pane::Runs) {
            Some(run) => self.ask(Act::Cancel { run }),
            None => self.notice = Some(Err("to cancel, select a run: Tab, Up, Down".to_owned())),
        }
    }

    fn ask(&mut self, act: Act) {
        let reason = String::new();
        self.mode = Mode::Ask { act, reason };
    }

    fn filtering(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Look,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Look;
            }
            _ => edit(&mut self.filter, key),
        }
        self.back = 0;
    }

    fn asked(&mut self, mut act: Act, mut reason: String, key: KeyCode) -> Option<Order> {
        match key {
            KeyCode::Esc => {
                self.mode = Mode::Look;
                return None;
            }
            // Without a reason the question stays.
            KeyCode::Enter if !reason.trim().is_empty() => {
                self.mode = Mode::Look;
                self.notice = Some(Ok("asked for it".to_owned()));
                return Some(Order::Act(act, reason.trim().to_owned()));
            }
            KeyCode::Tab => act.last(1),
            KeyCode::BackTab => act.last(LASTING.len() - 1),
            _ => edit(&mut reason, key),
        }
        self.mode = Mode::Ask { act, reason };
        None
    }
}

impl Act {
    /// Whether it is an override, which may end by itself.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Operate {
                action: Action::ForceOpen | Action::Disable | Action::MetricsOnly,
                ..
            }
        )
    }

    /// Takes the time that stands so many further among those there are.
    fn last(&mut self, further: usize) {
        if !self.is_lasting() {
            return;
        }
        if let Self::Operate { for_ms, .. } = self {
            let at = LASTING.iter().position(|it| it == for_ms);
            *for_ms = LASTING[(at.unwrap_or(0) + further) % LASTING.len()];
        }
    }
}

impl Pane {
    fn next(self) -> Self {
        match self {
            Self::Breakers => Self::Runs,
            Self::Runs => Self::Events,
            Self::Events => Self::Breakers,
        }
    }
}

fn edit(text: &mut String, key: KeyCode) {
    match key {
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char(c) if !c.is_control() && text.len() < LONGEST => text.push(c),
        _ => {}
    }
}
