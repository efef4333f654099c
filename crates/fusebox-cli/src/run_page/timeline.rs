//! When each step ran, paused, waited, and when each breaker was not closed.

mod spans;

use std::fmt::Write as _;

use fusebox::orchestrator::EventRecord;

use self::spans::{Lane, lanes};
use crate::page::escaped;
use crate::progress::time;

const WIDTH: f64 = 1000.0;
/// Of the names on the left.
const NAMES: f64 = 190.0;
/// On the right, for how a step ended.
const SIGN: f64 = 18.0;
const ROW: f64 = 24.0;
const TOP: f64 = 26.0;
/// A letter of the font, at most.
const LETTER: f64 = 7.0;
const TICKS: u32 = 5;

pub(super) fn draw(events: &[EventRecord], page: &mut String) {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return;
    };
    // Hosts' clocks may differ by a little; nothing may be outside.
    let begin = events
        .iter()
        .map(|event| event.at_ms)
        .min()
        .unwrap_or(first.at_ms);
    let end = events
        .iter()
        .map(|event| event.at_ms)
        .max()
        .unwrap_or(last.at_ms);
    let length = (end - begin).max(1) as f64;
    let x = |at_ms: u64| NAMES + (at_ms - begin) as f64 / length * (WIDTH - NAMES - SIGN);
    let lanes = lanes(events);
    let height = TOP + ROW * lanes.len() as f64 + 4.0;
    let _ = write!(
        page,
        "<h2>Timeline</h2>\n<div class=\"wide\"><svg class=\"timeline\" role=\"img\" aria-label=\"timeline; all of it is in the list of what happened\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect class=\"hatch-ground\" width=\"6\" height=\"6\"/><rect class=\"hatch-line\" width=\"2\" height=\"6\"/></pattern></defs>\n"
    );
    for tick in 0..=TICKS {
        let at = begin + (end - begin) * u64::from(tick) / u64::from(TICKS);
        let (left, text) = (x(at), time(at - begin));
        let anchor = if tick == TICKS { "end" } else { "start" };
        let _ = writeln!(
            page,
            "<path class=\"tick\" d=\"M{left:.1} 18V{height}\"/><text class=\"when\" x=\"{left:.1}\" y=\"12\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }
    for (place, lane) in lanes.iter().enumerate() {
        draw_lane(lane, TOP + ROW * place as f64, x, page);
    }
    page.push_str("</svg></div>\n");
    page.push_str("<p class=\"legend\">Steps: full bars are calls, thin ones pauses before a retry, hatched ones waiting for an agent or a person. Breakers: a bar wherever one is not closed. Rest the pointer on a bar for its times.</p>\n");
}

fn draw_lane(lane: &Lane, top: f64, x: impl Fn(u64) -> f64, page: &mut String) {
    let middle = top + ROW / 2.0;
    let name = shortened(&lane.name, NAMES - 14.0);
    let class = if lane.is_breaker {
        " class=\"breaker\""
    } else {
        ""
    };
    let _ = writeln!(
        page,
        "<text{class} x=\"4\" y=\"{middle:.1}\" dominant-baseline=\"central\">{}<title>{}</title></text>",
        escaped(&name),
        escaped(&lane.name)
    );
    for span in &lane.spans {
        let (left, right) = (x(span.from_ms), x(span.to_ms));
        let width = (right - left).max(2.0);
        let (class, word) = (span.what.class(), &span.word);
        let inset = if class == "pause" { 9.0 } else { 4.0 };
        let took = time(span.to_ms - span.from_ms);
        let _ = write!(
            page,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"3\"><title>{}: {}, {took}</title></rect>",
            top + inset,
            ROW - 2.0 * inset,
            escaped(&lane.name),
            escaped(&span.title)
        );
        // Where there is room, and not in the thin ones.
        if class != "pause" && word.chars().count() as f64 * LETTER + 8.0 < width {
            let _ = write!(
                page,
                "<text class=\"in-{class}\" x=\"{:.1}\" y=\"{middle:.1}\" dominant-baseline=\"central\">{}</text>",
                left + 4.0,
                escaped(word)
            );
        }
        page.push('\n');
    }
    if let Some((at_ms, sign)) = &lane.end {
        let _ = writeln!(
            page,
            "<text class=\"sign\" x=\"{:.1}\" y=\"{middle:.1}\" dominant-baseline=\"central\">{sign}</text>",
            x(*at_ms) + 5.0
        );
    }
}

fn shortened(text: &str, room: f64) -> String {
    let most = (room / LETTER) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .chain(['…'])
        .collect()
}
