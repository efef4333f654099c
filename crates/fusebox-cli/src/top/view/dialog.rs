//! What stands over the tables: a question, or the help.

use fusebox::orchestrator::Action;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::super::keys::KEYS;
use super::super::model::{Act, Mode, Model};
use super::paint::Paint;
use crate::plain::plain;
use crate::progress::time;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, paint: Paint) {
    match &model.mode {
        Mode::Look | Mode::Filter => {}
        Mode::Help => {
            let keys = KEYS.iter().map(|(key, does)| {
                Line::from(vec![
                    Span::styled(format!("{key:>10}  "), paint.strong()),
                    Span::raw(*does),
                ])
            });
            let lines: Vec<_> = keys.collect();
            over(frame, "help: any key closes it", lines, 76);
        }
        Mode::Ask { act, reason } => {
            let keys = if act.is_lasting() {
                "Enter does it, Tab changes for how long, Esc leaves it"
            } else {
                "Enter does it, Esc leaves it"
            };
            let lines = vec![
                Line::styled(question(act), paint.strong()),
                Line::default(),
                Line::from(format!("why: {}_", plain(reason))),
                Line::default(),
                Line::styled(keys, paint.faint()),
            ];
            over(frame, "a reason is needed", lines, 60);
        }
    }
}

fn question(act: &Act) -> String {
    match act {
        Act::Cancel { run } => format!("cancel run {}?", plain(run)),
        Act::Operate {
            agent,
            action,
            for_ms,
        } => {
            let agent = plain(agent);
            let lasts = for_ms.map_or_else(
                || "until it is released".to_owned(),
                |ms| format!("for {}", time(ms)),
            );
            match action {
                Action::Trip => format!("trip {agent}?"),
                Action::Release => format!("release {agent}?"),
                Action::ForceOpen => format!("force {agent} open {lasts}?"),
                Action::Disable => format!("disable the breaker of {agent} {lasts}?"),
                Action::MetricsOnly => format!("judge {agent} without consequence {lasts}?"),
            }
        }
    }
}

/// In the middle, as large as it needs to be where there is room.
fn over(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, width: u16) {
    let area = frame.area();
    let width = width.min(area.width);
    let inner = usize::from(width.saturating_sub(2)).max(1);
    // Where words do not fill a line, that takes another.
    let heights = lines.iter().map(|line| match line.width().div_ceil(inner) {
        0 | 1 => 1,
        more => more + 1,
    });
    let height = heights.sum::<usize>() + 2;
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let height = u16::try_from(height).unwrap_or(u16::MAX).min(area.height);
    let place: Rect = area.centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, place);
    frame.render_widget(text.block(Block::bordered().title(title.to_owned())), place);
}
