//! The states of the breakers over time, a lane for each that was not always closed.

use std::fmt::Write as _;

use fusebox::lab::{Comparison, Lane, Protection, Stay};

use super::axis::{Axis, LEFT, TOP};
use super::escaped;
use crate::progress::time;

const ROW: f64 = 24.0;
/// A letter of the font, at most.
const LETTER: f64 = 7.0;

pub(super) fn draw(comparison: &Comparison, page: &mut String) {
    let protected = comparison
        .sides
        .iter()
        .find(|side| side.protection == Protection::On);
    let lanes = protected
        .map(|side| side.lanes.as_slice())
        .unwrap_or_default();
    if lanes.is_empty() {
        return;
    }
    let axis = Axis::of(comparison);
    let height = ROW * lanes.len() as f64;
    page.push_str("<h2>Breakers that were not closed</h2>\n");
    Axis::open(height, "states of the breakers over time", page);
    axis.ground(&comparison.plan.faults, height, page);
    for (place, lane) in lanes.iter().enumerate() {
        draw_lane(lane, TOP + ROW * place as f64, axis, page);
    }
    page.push_str("</svg></div>\n");
    let seed = match comparison.plan.seeds {
        1 => "",
        _ => " of the first seed",
    };
    let _ = writeln!(
        page,
        "<p class=\"legend\">The protected side{seed}. Full bars: open, calls are refused; low ones: half open, a few probes decide. Rest the pointer on a bar for its times and reason.</p>"
    );
}

fn draw_lane(lane: &Lane, top: f64, axis: Axis, page: &mut String) {
    let middle = top + ROW / 2.0;
    let _ = write!(
        page,
        "<text class=\"name\" x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\" dominant-baseline=\"central\">{}<title>{}</title></text>",
        LEFT - 6.0,
        escaped(&shortened(&lane.breaker)),
        escaped(&lane.breaker)
    );
    for stay in &lane.stays {
        draw_stay(stay, top, axis, page);
    }
    page.push('\n');
}

fn draw_stay(stay: &Stay, top: f64, axis: Axis, page: &mut String) {
    let (left, right) = (axis.x(stay.from_ms), axis.x(stay.until_ms));
    let state = stay.state.to_string();
    let is_half_open = state == "half_open";
    let inset = if is_half_open { 8.0 } else { 4.0 };
    let (from, lasted) = (time(stay.from_ms), time(stay.until_ms - stay.from_ms));
    let _ = write!(
        page,
        "<rect class=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} from {from} for {lasted}: {}</title></rect>",
        if is_half_open { "probing" } else { "open" },
        top + inset,
        (right - left).max(1.0),
        ROW - 2.0 * inset,
        state.replace('_', " "),
        escaped(&stay.reason)
    );
    if !is_half_open && state.len() as f64 * LETTER + 8.0 < right - left {
        let middle = top + ROW / 2.0;
        let x = left + 4.0;
        let _ = write!(
            page,
            "<text class=\"in-open\" x=\"{x:.1}\" y=\"{middle:.1}\" dominant-baseline=\"central\">{}</text>",
            state.replace('_', " ")
        );
    }
}

/// What fits on the left.
fn shortened(name: &str) -> String {
    let most = ((LEFT - 8.0) / LETTER) as usize;
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let kept = name.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}
