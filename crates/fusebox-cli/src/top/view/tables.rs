//! The three tables. Each gives up its less needed columns where there is little room.

use fusebox::orchestrator::AgentHealth;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Row, Table, TableState};

use super::super::model::{BreakerRow, Model, Pane, RunRow};
use super::paint::Paint;
use crate::inspect::timestamp;
use crate::plain::plain;
use crate::progress::time;

/// A column and the least width at which it is shown.
struct Column {
    title: &'static str,
    width: Constraint,
    from: u16,
}

const fn column(title: &'static str, width: Constraint, from: u16) -> Column {
    Column { title, width, from }
}

/// As wide as what is in it, up to so much.
const fn fitted(title: &'static str, most: u16, from: u16) -> Column {
    column(title, Constraint::Max(most), from)
}

const BREAKERS: [Column; 8] = [
    column("state", Constraint::Length(14), 0),
    fitted("agent", 28, 0),
    column("due in", Constraint::Length(6), 40),
    column("flight", Constraint::Length(6), 60),
    column("wait", Constraint::Length(5), 50),
    column("away", Constraint::Length(15), 76),
    column("process", Constraint::Length(8), 120),
    column("why", Constraint::Fill(1), 66),
];

const RUNS: [Column; 6] = [
    column("status", Constraint::Length(11), 0),
    fitted("run", 28, 0),
    fitted("workflow", 20, 60),
    column("calls", Constraint::Length(5), 46),
    column("last sign (UTC)", Constraint::Length(16), 76),
    column("why", Constraint::Fill(1), 70),
];

const EVENTS: [Column; 4] = [
    column("time", Constraint::Length(8), 30),
    fitted("run", 20, 70),
    column("process", Constraint::Length(8), 120),
    column("what", Constraint::Fill(1), 0),
];

pub(super) fn breakers(frame: &mut Frame<'_>, model: &Model, area: Rect, paint: Paint) {
    let (rows, all) = model.breakers();
    let at = model.breaker_at(&rows);
    let rows: Vec<_> = rows.iter().map(|row| breaker(row, paint)).collect();
    let title = title("breakers", rows.len(), all);
    let listing = Listing {
        title,
        columns: &BREAKERS,
        rows,
        at,
        is_looked_at: model.pane == Pane::Breakers,
    };
    listing.draw(frame, area, paint);
}

fn breaker(row: &BreakerRow<'_>, paint: Paint) -> Vec<(String, Style)> {
    let AgentHealth { agent, state, .. } = &*row.agent;
    let (sign, style) = paint.breaker(state);
    // It goes on counting down between two answers of its engine.
    let due = row.agent.due_in_ms.map(|ms| ms.saturating_sub(row.age_ms));
    let due = due.map(|ms| if ms == 0 { "now".into() } else { seconds(ms) });
    let away = row.agent.objective.current.map(|outage| {
        let objective = row.agent.objective.objective_ms;
        let objective = objective.map(|ms| format!(" of {}", seconds(ms)));
        let away = seconds(outage.away_ms + row.age_ms);
        format!("{away}{}", objective.unwrap_or_default())
    });
    let cells = [
        plain(agent),
        due.unwrap_or_default(),
        row.agent.in_flight.to_string(),
        (row.agent.waiting + row.agent.queued).to_string(),
        away.unwrap_or_default(),
        row.pid.to_string(),
        plain(row.agent.reason.as_deref().unwrap_or_default()),
    ];
    styled((format!("{sign} {state}"), style), cells)
}

pub(super) fn runs(frame: &mut Frame<'_>, model: &Model, area: Rect, paint: Paint) {
    let (rows, all) = model.runs();
    let at = model.run_at(&rows);
    let rows: Vec<_> = rows.iter().map(|row| run(row, paint)).collect();
    let listing = Listing {
        title: title("runs", rows.len(), all),
        columns: &RUNS,
        rows,
        at,
        is_looked_at: model.pane == Pane::Runs,
    };
    listing.draw(frame, area, paint);
}

fn run(row: &RunRow<'_>, paint: Paint) -> Vec<(String, Style)> {
    let status = row.status();
    let (sign, style) = paint.run(status);
    let quiet = row.live.map(|(_, live, age_ms)| {
        let quiet = time(live.quiet_ms + age_ms);
        format!("{quiet} ago")
    });
    let updated = row.head.map(|head| timestamp(head.updated_ms));
    // The year is known.
    let updated = updated.and_then(|at| Some(at.get(5..16)?.to_owned()));
    let cells = [
        plain(row.run),
        plain(row.head.map_or("", |head| head.workflow.as_str())),
        row.live
            .map(|(_, live, _)| live.calls.to_string())
            .unwrap_or_default(),
        quiet.or(updated).unwrap_or_default(),
        plain(
            row.head
                .and_then(|head| head.reason.as_deref())
                .unwrap_or_default(),
        ),
    ];
    styled((format!("{sign} {status}"), style), cells)
}

pub(super) fn events(frame: &mut Frame<'_>, model: &Model, area: Rect, paint: Paint) {
    let events = model.events();
    let count = events.len();
    // More than is seen costs more than it shows.
    let seen = events.into_iter().skip(model.back);
    let seen = seen.take(usize::from(area.height));
    let rows = seen.map(|line| {
        let at = timestamp(line.at_ms);
        let at = at.split(' ').next_back().unwrap_or_default().to_owned();
        let run = plain(line.run.as_deref().unwrap_or_default());
        styled(
            (at, paint.faint()),
            [run, line.pid.to_string(), plain(&line.text)],
        )
    });
    let older = match model.back {
        0 => String::new(),
        back => format!(", {back} newer above"),
    };
    let listing = Listing {
        title: format!("events {count}, newest first{older}"),
        columns: &EVENTS,
        rows: rows.collect(),
        at: 0,
        is_looked_at: model.pane == Pane::Events,
    };
    listing.draw(frame, area, paint);
}

fn title(what: &str, shown: usize, all: usize) -> String {
    if shown == all {
        format!("{what} {all}")
    } else {
        format!("{what} {shown} of {all}")
    }
}

fn styled<const N: usize>(first: (String, Style), rest: [String; N]) -> Vec<(String, Style)> {
    let rest = rest.into_iter().map(|text| (text, Style::new()));
    [first].into_iter().chain(rest).collect()
}

/// Milliseconds in whole seconds where they are many: what counts down is not read to the tenth.
fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

struct Listing<'a> {
    title: String,
    columns: &'a [Column],
    /// A cell for each column.
    rows: Vec<Vec<(String, Style)>>,
    at: usize,
    is_looked_at: bool,
}

impl Listing<'_> {
    fn draw(self, frame: &mut Frame<'_>, area: Rect, paint: Paint) {
        let shown: Vec<bool> = self
            .columns
            .iter()
            .map(|column| column.from <= area.width)
            .collect();
        let shown = &shown;
        let pick = |at: usize| shown[at];
        let columns = self.columns.iter().enumerate().filter(|(at, _)| pick(*at));
        let (titles, widths): (Vec<_>, Vec<_>) = columns
            .map(|(at, column)| (column.title, self.width(at)))
            .unzip();
        let rows = self.rows.into_iter().map(|cells| {
            let cells = cells.into_iter().enumerate().filter(|(at, _)| pick(*at));
            Row::new(cells.map(|(_, (text, style))| Cell::new(text).style(style)))
        });
        let (mark, style) = if self.is_looked_at {
            ("=", paint.strong())
        } else {
            ("-", paint.faint())
        };
        let block = Block::new()
            .borders(Borders::TOP)
            .border_set(border(self.is_looked_at))
            .border_style(style)
            .title(Line::styled(format!("{mark} {} ", self.title), style));
        let is_events = self.columns.len() == EVENTS.len();
        let table = Table::new(rows, widths)
            .header(Row::new(titles).style(paint.faint()))
            .column_spacing(1)
            .block(block);
        if self.is_looked_at && !is_events {
            let table = table
                .row_highlight_style(paint.selected())
                .highlight_symbol("> ")
                .highlight_spacing(ratatui::widgets::HighlightSpacing::Always);
            let mut state = TableState::new().with_selected(self.at);
            frame.render_stateful_widget(table, area, &mut state);
        } else {
            let table = table.highlight_spacing(ratatui::widgets::HighlightSpacing::Never);
            frame.render_widget(table, area);
        }
    }
}

impl Listing<'_> {
    fn width(&self, at: usize) -> Constraint {
        let Column { title, width, .. } = self.columns[at];
        let Constraint::Max(most) = width else {
            return width;
        };
        let cells = self
            .rows
            .iter()
            .map(|cells| Span::raw(&cells[at].0).width());
        let widest = cells.max().unwrap_or(0).max(title.len());
        Constraint::Length(u16::try_from(widest).unwrap_or(most).min(most))
    }
}

/// A double line above the table that keys act on.
fn border(is_looked_at: bool) -> ratatui::symbols::border::Set<'static> {
    if is_looked_at {
        ratatui::symbols::border::DOUBLE
    } else {
        ratatui::symbols::border::PLAIN
    }
}
