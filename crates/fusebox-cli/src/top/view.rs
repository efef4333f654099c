//! What is to be seen: a pure function of the model, for any size of terminal.

mod dialog;
mod paint;
mod tables;

use fusebox::orchestrator::HealthStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use self::paint::Paint;
use super::model::{Mode, Model, Pane};
use crate::inspect::timestamp;
use crate::plain::plain;

/// The most reasons that are told; the rest are counted.
const REASONS: u16 = 3;
/// A table with its title and header, and a row or two.
const TABLE: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let paint = Paint {
        colour: model.colour,
    };
    // Tables come first where there is little room.
    let tables_at_least = 3 * TABLE + 2;
    let room = area.height.saturating_sub(tables_at_least).min(REASONS);
    let reasons = reasons(model, room, paint);
    let reason_lines = u16::try_from(reasons.len()).unwrap_or(REASONS);
    let [top, below, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(reason_lines),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(header(model, area.width, paint), top);
    frame.render_widget(Paragraph::new(reasons), below);
    draw_tables(frame, model, middle, paint);
    frame.render_widget(footer(model, paint), bottom);
    dialog::draw(frame, model, paint);
}

fn draw_tables(frame: &mut Frame<'_>, model: &Model, area: Rect, paint: Paint) {
    // All three, or the one that is looked at.
    if area.height < 3 * TABLE {
        match model.pane {
            Pane::Breakers => tables::breakers(frame, model, area, paint),
            Pane::Runs => tables::runs(frame, model, area, paint),
            Pane::Events => tables::events(frame, model, area, paint),
        }
        return;
    }
    // What is not needed for rows goes to the events.
    let wanted = |rows: usize| u16::try_from(rows.saturating_add(3)).unwrap_or(u16::MAX);
    let breakers = wanted(model.breakers().1).clamp(TABLE, area.height / 2 - TABLE / 2);
    let left = area.height - breakers;
    let runs = wanted(model.runs().1).clamp(TABLE, left / 2);
    let [first, second, third] = Layout::vertical([
        Constraint::Length(breakers),
        Constraint::Length(runs),
        Constraint::Fill(1),
    ])
    .areas(area);
    tables::breakers(frame, model, first, paint);
    tables::runs(frame, model, second, paint);
    tables::events(frame, model, third, paint);
}

/// How all is, and where that is looked at.
fn header(model: &Model, width: u16, paint: Paint) -> Paragraph<'static> {
    let (sign, word, style) = match model.health().map(|(status, _)| status) {
        None => (" ", "no engine", paint.plain()),
        Some(HealthStatus::Healthy) => ("✓", "healthy", paint.good()),
        Some(HealthStatus::Degraded) => ("~", "degraded", paint.worse()),
        Some(HealthStatus::Unhealthy) => ("✗", "unhealthy", paint.bad()),
    };
    let engines = counted(model.engine_count(), "engine");
    let runs = counted(model.live_count(), "run");
    let mut spans = vec![
        Span::styled("fusebox top ", paint.strong()),
        Span::styled(format!(" {sign} {word} "), style),
    ];
    if width >= 60 {
        spans.push(format!("  {engines}, {runs} at work").into());
    }
    if width >= 80 {
        let clock = timestamp(model.now_ms);
        let clock = clock.split(' ').next_back().unwrap_or_default();
        spans.push(format!("  {clock} UTC  {}", plain(&model.place)).into());
    }
    Paragraph::new(Line::from(spans))
}

fn counted(count: usize, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {what}{many}")
}

/// Why it is not healthy, in so many lines at most.
fn reasons(model: &Model, room: u16, paint: Paint) -> Vec<Line<'static>> {
    let mut all: Vec<(String, bool)> = Vec::new();
    if let Some(why) = &model.unread {
        all.push((format!("the runs cannot be read: {why}"), true));
    }
    match model.health() {
        Some((status, reasons)) => all.extend(
            reasons
                .iter()
                .map(|why| ((*why).to_owned(), status == HealthStatus::Unhealthy)),
        ),
        None => all.push((
            "breakers live in the process of fusebox run and resume: none is at work here"
                .to_owned(),
            false,
        )),
    }
    let room = usize::from(room);
    let left = all.len().saturating_sub(room);
    let last = room.saturating_sub(1);
    let lines = all.into_iter().take(room).enumerate();
    let lines = lines.map(|(at, (why, is_bad))| {
        let more = if at == last && left > 0 {
            format!("(and {left} more) ")
        } else {
            String::new()
        };
        let style = if is_bad { paint.bad() } else { paint.plain() };
        Line::styled(format!("  {more}{}", plain(&why)), style)
    });
    lines.collect()
}

/// What became of the last action, or what can be done.
fn footer(model: &Model, paint: Paint) -> Paragraph<'static> {
    let line = match (&model.mode, &model.notice) {
        (Mode::Filter, _) => Line::from(format!("show only: {}_", plain(&model.filter))),
        (_, Some(Ok(done))) => Line::styled(format!("✓ {}", plain(done)), paint.good()),
        (_, Some(Err(why))) => Line::styled(format!("✗ {}", plain(why)), paint.bad()),
        _ => {
            let acts = match model.pane {
                Pane::Breakers => "t trip  f force open  d disable  m metrics  r release",
                Pane::Runs => "c cancel",
                Pane::Events => "Up, Down scroll",
            };
            let filter = if model.filter.is_empty() {
                String::new()
            } else {
                format!("  only: {} (Esc: all)", plain(&model.filter))
            };
            Line::styled(
                format!("q quit  ? help  Tab  /  {acts}{filter}"),
                paint.faint(),
            )
        }
    };
    Paragraph::new(line)
}
