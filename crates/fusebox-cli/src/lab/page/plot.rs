//! Figures over time, a line for each side. What tells the lines apart is their dashes, not their colour alone.

use std::fmt::Write as _;

use fusebox::lab::{Comparison, FaultSummary, Protection};

use super::axis::{Axis, LEFT, RIGHT, TOP, WIDTH, mark};
use super::escaped;
use super::grouped::Grouped;
use crate::progress::time;

/// Of what is drawn.
const HEIGHT: f64 = 130.0;
/// Points of a line; more are put together.
const MOST_POINTS: usize = 180;

/// A figure over time.
struct Plot {
    title: String,
    /// Of one side; `None` where there is nothing to say.
    of: fn(&Grouped) -> Vec<Option<f64>>,
    /// What the scale ends at, whatever the values are.
    at_least: f64,
    unit: fn(f64) -> String,
}

pub(super) fn draw(comparison: &Comparison, page: &mut String) {
    let axis = Axis::of(comparison);
    let step = comparison
        .sides
        .iter()
        .map(|side| side.series.step_ms)
        .max();
    let points = axis.end_ms.div_ceil(step.unwrap_or(1000).max(1)) as usize;
    let group = points.div_ceil(MOST_POINTS).max(1);
    let seeds = comparison.plan.seeds as f64;
    let sides: Vec<(Protection, Grouped)> = comparison
        .sides
        .iter()
        .map(|side| (side.protection, Grouped::of(&side.series, group, seeds)))
        .collect();
    let each = time(group as u64 * step.unwrap_or(1000));
    let _ = write!(page, "<h2>Over time</h2>\n<p class=\"legend\">");
    page.push_str("<svg class=\"sample\" viewBox=\"0 0 34 10\"><path class=\"line protected\" d=\"M1 5H33\"/></svg> protected");
    if sides.len() == 2 {
        let _ = write!(
            page,
            " &nbsp; <svg class=\"sample\" viewBox=\"0 0 34 10\"><path class=\"line unprotected\" d=\"M1 5H33\"/></svg> without {}",
            comparison.plan.without
        );
    }
    let _ = writeln!(
        page,
        " &nbsp; <svg class=\"sample\" viewBox=\"0 0 34 10\"><rect class=\"fault\" width=\"34\" height=\"10\"/><path class=\"edge\" d=\"M1 0v10M33 0v10\"/></svg> while a fault is on. Each point is {each}; runs stand where they began.</p>"
    );
    let plots = [
        Plot {
            title: "Availability: runs delivered within their objective".to_owned(),
            of: |series| series.availability.clone(),
            at_least: 1.0,
            unit: |share| format!("{:.0} %", 100.0 * share),
        },
        Plot {
            title: "Time a delivered run took, median".to_owned(),
            of: |series| series.latency_ms.clone(),
            at_least: 1000.0,
            unit: mark,
        },
        Plot {
            title: "Runs under way".to_owned(),
            of: |series| series.in_flight.clone(),
            at_least: 1.0,
            unit: number,
        },
        Plot {
            title: match comparison.plan.faults.as_slice() {
                [] => return draw_all(&[], axis, comparison, &sides, page),
                [first, rest @ ..] if rest.iter().all(|fault| fault.agent == first.agent) => {
                    format!("Calls of {} a second", first.agent)
                }
                _ => "Calls of the agents with faults a second".to_owned(),
            },
            of: |series| series.calls.clone(),
            at_least: 1.0,
            unit: number,
        },
    ];
    draw_all(&plots, axis, comparison, &sides, page);
}

fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn draw_all(
    plots: &[Plot],
    axis: Axis,
    comparison: &Comparison,
    sides: &[(Protection, Grouped)],
    page: &mut String,
) {
    for plot in plots {
        draw_one(plot, axis, &comparison.plan.faults, sides, page);
    }
}

fn draw_one(
    plot: &Plot,
    axis: Axis,
    faults: &[FaultSummary],
    sides: &[(Protection, Grouped)],
    page: &mut String,
) {
    let lines: Vec<(Protection, u64, Vec<Option<f64>>)> = sides
        .iter()
        .map(|(protection, series)| (*protection, series.step_ms, (plot.of)(series)))
        .collect();
    let values = lines
        .iter()
        .flat_map(|(_, _, values)| values.iter().flatten());
    let most = values.fold(plot.at_least, |most, value| most.max(*value));
    let top = if plot.at_least < most {
        round(most)
    } else {
        most
    };
    let label = format!("{}; its figures are in the document of --json", plot.title);
    Axis::open(HEIGHT, &label, page);
    axis.ground(faults, HEIGHT, page);
    let y = |value: f64| TOP + HEIGHT - value / top * HEIGHT;
    let _ = write!(
        page,
        "<text class=\"title\" x=\"4\" y=\"15\">{}</text>",
        escaped(&plot.title)
    );
    for share in [0.0, 0.5, 1.0] {
        let _ = write!(
            page,
            "<path class=\"tick\" d=\"M{LEFT} {:.1}H{:.1}\"/><text class=\"when\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y(share * top),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(share * top) + 4.0,
            (plot.unit)(share * top)
        );
    }
    // The protected side last: it lies above the other.
    for (protection, step_ms, values) in lines.iter().rev() {
        let path = path(
            values,
            |place| axis.x((place as u64) * step_ms + step_ms / 2),
            y,
        );
        let _ = write!(page, "\n<path class=\"line {protection}\" d=\"{path}\"/>");
    }
    page.push_str("\n</svg></div>\n");
}

/// A line with gaps where there is nothing; a point alone is a short stroke.
fn path(values: &[Option<f64>], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let (mut path, mut is_down) = (String::new(), false);
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_down = false;
            continue;
        };
        let (x, y) = (x(place), y(*value));
        let _ = match is_down {
            true => write!(path, "L{x:.1} {y:.1}"),
            false => write!(path, "M{x:.1} {y:.1}h.1"),
        };
        is_down = true;
    }
    path
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let fits = steps.into_iter().find(|step| step * power >= value);
    fits.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_gaps_where_nothing_was_measured() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        let drawn = path(&values, |place| place as f64, |value| value);
        assert_eq!(drawn, "M0.0 1.0h.1L1.0 2.0M3.0 3.0h.1");
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, expected) in [(1.0, 1.0), (84.2, 100.0), (0.31, 0.4), (1234.0, 1500.0)] {
            assert!(
                (round(value) - expected).abs() < 1e-9,
                "{value}: {}",
                round(value)
            );
        }
    }
}
