//! The figures of a comparison in words, for the table and the page alike.

use fusebox::lab::{AgentFigures, Comparison, PlanSummary, Side, Spread, Target};

use crate::progress::time;

/// Figures of both sides.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Of each side that was measured.
    pub(super) cells: Vec<String>,
    /// The first less the second, and which of the two is better off; empty where they are equal or incomparable.
    pub(super) difference: String,
}

/// A difference of less than this share of the greater figure is shown and called neither better nor worse.
const NEGLIGIBLE: f64 = 0.02;

/// Which way a figure is better.
#[derive(Clone, Copy)]
enum Better {
    Higher,
    Lower,
    /// As [`Lower`](Self::Lower), where both sides delivered about as many runs: those that one lost are the ones that
    /// would have taken long.
    Sooner,
    /// By itself it says nothing.
    Neither,
}

/// A figure: its name, how it is shown, which way it is better, and what it is of a side.
type Figure = (
    &'static str,
    fn(f64) -> String,
    Better,
    fn(&Side) -> Option<f64>,
);

/// In the order of the table.
const FIGURES: [Figure; 13] = [
    ("runs begun", whole, Better::Neither, |s| {
        count(s.runs.begun)
    }),
    ("  completed", whole, Better::Neither, |s| {
        count(s.runs.completed)
    }),
    ("  degraded", whole, Better::Neither, |s| {
        count(s.runs.degraded)
    }),
    ("  failed", whole, Better::Neither, |s| count(s.runs.failed)),
    ("  late", whole, Better::Neither, |s| count(s.runs.late)),
    ("  cut off", whole, Better::Neither, |s| {
        count(s.runs.cut_off)
    }),
    ("availability", share, Better::Higher, |s| {
        s.runs.availability_ratio
    }),
    ("run takes: median", took, Better::Sooner, |s| {
        s.runs.latency_median_ms.and_then(count)
    }),
    ("  95 of 100", took, Better::Sooner, |s| {
        s.runs.latency_p95_ms.and_then(count)
    }),
    ("  99 of 100", took, Better::Sooner, |s| {
        s.runs.latency_p99_ms.and_then(count)
    }),
    ("calls", whole, Better::Neither, |s| count(s.calls.made)),
    ("  in vain", whole, Better::Lower, |s| {
        count(s.calls.in_vain)
    }),
    ("  per run", hundredths, Better::Neither, |s| {
        s.calls.per_run
    }),
];
/// Lines that are left out where nobody has anything to count in them.
const RARE: [&str; 2] = ["  degraded", "  cut off"];

/// What the other side goes without, as a heading.
pub(super) fn headings(comparison: &Comparison) -> Vec<String> {
    let without = format!("without {}", comparison.plan.without);
    let headings = ["protected".to_owned(), without];
    headings.into_iter().take(comparison.sides.len()).collect()
}

pub(super) fn rows(comparison: &Comparison) -> Vec<Row> {
    let sides = &comparison.sides;
    let rows = FIGURES.iter().map(|figure| row(figure, sides));
    let is_told = |row: &Row| !RARE.contains(&row.name) || row.cells.iter().any(|cell| cell != "0");
    let rows = rows.filter(is_told);
    rows.chain([drawn_in(sides), away(sides)]).collect()
}

fn row((name, shown, better, of): &Figure, sides: &[Side]) -> Row {
    let values: Vec<Option<f64>> = sides.iter().map(of).collect();
    let cell = |value: &Option<f64>| value.map_or_else(|| "–".into(), shown);
    Row {
        name,
        cells: values.iter().map(cell).collect(),
        difference: match values.as_slice() {
            [Some(one), Some(other)] => {
                let better = match better {
                    Better::Sooner if deliver_alike(sides) => Better::Lower,
                    Better::Sooner => Better::Neither,
                    better => *better,
                };
                // Shares differ by points: a percentage would be one of what?
                difference(*one, *other, *shown, better).replace(" %", " points")
            }
            _ => String::new(),
        },
    }
}

/// Whether both sides delivered about as many runs, so that what those took can be compared.
fn deliver_alike(sides: &[Side]) -> bool {
    let delivered = |side: &Side| (side.runs.completed + side.runs.degraded) as f64;
    match sides {
        [one, other] => is_negligible(delivered(one), delivered(other)),
        _ => true,
    }
}

fn is_negligible(one: f64, other: f64) -> bool {
    (one - other).abs() <= NEGLIGIBLE * one.max(other)
}

fn difference(one: f64, other: f64, shown: fn(f64) -> String, better: Better) -> String {
    let less = one - other;
    let amount = shown(less.abs());
    if amount == shown(0.0) {
        return String::new();
    }
    let sign = if less > 0.0 { '+' } else { '−' };
    let word = match (better, less > 0.0) {
        (Better::Neither | Better::Sooner, _) => "",
        _ if is_negligible(one, other) => "",
        (Better::Higher, true) | (Better::Lower, false) => ", better",
        (Better::Higher, false) | (Better::Lower, true) => ", worse",
    };
    format!("{sign}{amount}{word}")
}

fn drawn_in(sides: &[Side]) -> Row {
    let cell = |side: &Side| match side.cascade.drawn_in.as_slice() {
        [] => "none".to_owned(),
        agents => agents.join(", "),
    };
    let figure: Figure = ("agents drawn in", whole, Better::Lower, |side| {
        count(side.cascade.drawn_in.len() as u64)
    });
    Row {
        cells: sides.iter().map(cell).collect(),
        ..row(&figure, sides)
    }
}

fn away(sides: &[Side]) -> Row {
    let figure: Figure = ("agents away at once", whole, Better::Neither, |side| {
        side.cascade.most_away_at_once.and_then(count)
    });
    row(&figure, sides)
}

#[expect(clippy::unnecessary_wraps, reason = "what a figure is may be missing")]
fn count(number: u64) -> Option<f64> {
    Some(number as f64)
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn hundredths(number: f64) -> String {
    format!("{number:.2}")
}

pub(super) fn share(ratio: f64) -> String {
    format!("{:.1} %", 100.0 * ratio)
}

fn took(ms: f64) -> String {
    time(ms as u64)
}

/// The head of [`recoveries`].
pub(super) const RECOVERY: [&str; 8] = [
    "agent",
    "outages",
    "openings",
    "detect",
    "isolate",
    "resume",
    "verified",
    "objective",
];

/// Agents that were away on a side, and what came of their objectives; of several outages the median, and with
/// `most` the longest too.
pub(super) fn recoveries(side: &Side, most: bool) -> Vec<Vec<String>> {
    let spread = |times| spread(times, most);
    let away = side.agents.iter().filter(|agent| agent.outages > 0);
    let cells = |agent: &AgentFigures| {
        vec![
            agent.agent.clone(),
            agent.outages.to_string(),
            agent.openings.to_string(),
            spread(agent.detect_ms),
            spread(agent.isolate_ms),
            spread(agent.resume_ms),
            spread(agent.verified_ms),
            verdict(agent),
        ]
    };
    away.map(cells).collect()
}

fn spread(spread: Option<Spread>, with_most: bool) -> String {
    let Some(Spread { median, most, .. }) = spread else {
        return "–".to_owned();
    };
    match (time(median), time(most)) {
        (median, most) if with_most && median != most => format!("{median} (most {most})"),
        (median, _) => median,
    }
}

fn verdict(agent: &AgentFigures) -> String {
    let Some(objective) = agent.objective_ms.map(time) else {
        return "none set".to_owned();
    };
    let decided = agent.met + agent.breached;
    let pending = match agent.pending {
        0 => String::new(),
        pending => format!(", {pending} still away"),
    };
    let sign = if agent.breached == 0 { "✓" } else { "✗" };
    format!(
        "{sign} {objective}: met {} of {decided}{pending}",
        agent.met
    )
}

/// A target and what came of it, in a line.
pub(super) fn target(target: &Target) -> String {
    let shown = |value: f64| match target.name {
        "latency_p95_ms" => took(value),
        "calls_in_vain" => whole(value),
        _ => share(value),
    };
    let (sign, word) = match target.is_met {
        true => ("✓", "met"),
        false => ("✗", "missed"),
    };
    let bound = if target.is_least {
        "at least"
    } else {
        "at most"
    };
    let name = target.name.trim_end_matches("_ms").replace('_', " ");
    let measured = target.measured.map_or_else(|| "nothing".into(), shown);
    let wanted = shown(target.wanted);
    format!("{sign} target {word}: {name} {measured}, wanted {bound} {wanted}")
}

/// How runs began, in words.
pub(super) fn arrivals(plan: &PlanSummary) -> String {
    let duration = time(plan.duration_ms);
    let often = match (plan.every_ms, plan.rate_per_s) {
        (Some(every), _) => format!("one every {}", time(every)),
        (_, Some(rate)) => format!("{rate} a second at random"),
        _ => "at some time".to_owned(),
    };
    let seeds = match plan.seeds {
        1 => String::new(),
        seeds => format!(", {seeds} seeds"),
    };
    format!("{often} for {duration}{seeds}")
}

/// Who answered, in words.
pub(super) fn answered(plan: &PlanSummary) -> &'static str {
    match plan.time {
        "virtual" => "virtual time; stand-ins answer for the agents",
        _ => "real time; the agents of the file answer",
    }
}

/// What failed, a line each.
pub(super) fn faults(plan: &PlanSummary) -> Vec<String> {
    let fault = |fault: &fusebox::lab::FaultSummary| {
        let delay = match fault.delay_ms {
            0 => String::new(),
            delay => format!(" of {}", time(delay)),
        };
        let until = fault.until_ms.map_or_else(|| "the end".into(), time);
        let of = match fault.ratio {
            1.0 => "every attempt".to_owned(),
            ratio => format!("{} of attempts", share(ratio)),
        };
        let from = time(fault.from_ms);
        format!(
            "{}: {}{delay}, {of} from {from} to {until}",
            fault.agent, fault.kind
        )
    };
    plan.faults.iter().map(fault).collect()
}
