//! The time that pictures of a page have in common: scale, marks, and the faults behind what is drawn.

use std::fmt::Write as _;

use fusebox::lab::{Comparison, FaultSummary, Side};

use super::escaped;
use crate::progress::time;

pub(super) const WIDTH: f64 = 760.0;
/// Of what stands on the left.
pub(super) const LEFT: f64 = 92.0;
pub(super) const RIGHT: f64 = 22.0;
/// Of what stands above what is drawn.
pub(super) const TOP: f64 = 26.0;
const BOTTOM: f64 = 20.0;

/// A scale from the beginning of the plan to the end of the last run.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) end_ms: u64,
}

impl Axis {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let end = |side: &Side| side.series.step_ms * side.series.runs_begun.len() as u64;
        let ends = comparison.sides.iter().map(end);
        Self {
            end_ms: ends
                .max()
                .unwrap_or(0)
                .max(comparison.plan.duration_ms)
                .max(1),
        }
    }

    pub(super) fn x(self, at_ms: u64) -> f64 {
        let share = at_ms.min(self.end_ms) as f64 / self.end_ms as f64;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// Lines and times below and behind what is drawn from `TOP` on, and the faults.
    pub(super) fn ground(self, faults: &[FaultSummary], height: f64, out: &mut String) {
        for fault in faults {
            self.fault(fault, height, out);
        }
        let step = tick(self.end_ms);
        let bottom = TOP + height;
        for at in (0..=self.end_ms / step).map(|place| place * step) {
            let x = self.x(at);
            let _ = write!(
                out,
                "<path class=\"tick\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"when\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 14.0,
                mark(at as f64)
            );
        }
        out.push('\n');
    }

    fn fault(self, fault: &FaultSummary, height: f64, out: &mut String) {
        let until = fault.until_ms.unwrap_or(self.end_ms);
        let (left, right) = (self.x(fault.from_ms), self.x(until));
        let (agent, kind) = (escaped(&fault.agent), fault.kind);
        let width = (right - left).max(2.0);
        let _ = write!(
            out,
            "<rect class=\"fault\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"><title>{agent}: {kind}</title></rect>\
             <path class=\"edge\" d=\"M{left:.1} {TOP}v{height}M{right:.1} {TOP}v{height}\"/>",
        );
    }

    /// The beginning of a picture.
    pub(super) fn open(height: f64, label: &str, out: &mut String) {
        let whole = TOP + height + BOTTOM;
        let _ = writeln!(
            out,
            "<div class=\"wide\"><svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {whole}\">",
            escaped(label)
        );
    }
}

/// About six marks at round times.
fn tick(end_ms: u64) -> u64 {
    const ROUND: [u64; 18] = [
        100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
        1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
    ];
    let fits = |step: &&u64| end_ms / **step <= 7;
    ROUND.iter().find(fits).copied().unwrap_or(86_400_000)
}

/// A time on a scale.
pub(super) fn mark(ms: f64) -> String {
    match ms as u64 {
        0 => "0".to_owned(),
        ms => time(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few() {
        for end in [1, 999, 60_000, 300_000, 86_400_000, 604_800_000] {
            assert!(end / tick(end) <= 7, "{end}");
        }
    }
}
