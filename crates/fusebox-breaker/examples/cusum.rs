//! The change detector beside a count window and a row of failures, on the same seeded streams.
//!
//! `cargo run --release -p fusebox-breaker --example cusum -- <path of the SVG>` prints the table of
//! `docs/breaker-cusum.md` and draws its plot. Without a path it takes a twentieth of the streams and draws nothing.
//!
//! Prints:
//! ```text
//! | stream | rule | calls until it opens: median | 9 of 10 within | false trips per million calls |
//! |---|---|---:|---:|---:|
//! ```

use std::fmt::Write as _;

use fusebox_breaker::machine::Machine;
use fusebox_breaker::{
    ChangeDetector, Combine, Config, ConfigBuilder, CountWindow, FailureKind, Learning, State,
    Timestamp, Verdict,
};

/// Streams per scenario, and healthy calls before the change.
const STREAMS: u64 = 400;
const HEALTHY: u64 = 2_000;
/// A change that takes longer is taken for not found.
const PATIENCE: u64 = 20_000;
/// Healthy calls over which false trips are counted.
const QUIET: u64 = 4_000_000;

/// SplitMix64.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How calls fail: independently at a rate, or in bursts of a mean length with the same rate overall.
#[derive(Clone, Copy)]
struct Source {
    rate: f64,
    burst: f64,
}

impl Source {
    fn plain(rate: f64) -> Self {
        Self { rate, burst: 1.0 }
    }

    /// Two states, good and bad; all calls of the bad one fail. It is left with probability `1 / burst`, and entered
    /// so often that `rate` of all calls fail.
    fn fails(self, bad: &mut bool, draws: &mut Draws) -> bool {
        if self.burst <= 1.0 {
            return draws.unit() < self.rate;
        }
        let leave = 1.0 / self.burst;
        let enter = leave * self.rate / (1.0 - self.rate);
        let turn = draws.unit();
        *bad = if *bad { turn >= leave } else { turn < enter };
        *bad
    }
}

struct Rule {
    name: &'static str,
    colour: &'static str,
    make: fn(baseline: f64, changed: f64) -> ConfigBuilder,
}

fn none() -> ConfigBuilder {
    Config::builder()
        .without_consecutive_failures()
        .without_count_window()
}

fn detector(baseline: f64, changed: f64) -> ChangeDetector {
    ChangeDetector {
        baseline_failure_rate: baseline,
        changed_failure_rate: changed,
        mean_calls_between_false_trips: 1_000_000.0,
        learning: None,
    }
}

const RULES: [Rule; 5] = [
    Rule {
        name: "CUSUM, 1 false trip per 1,000,000",
        colour: "#1b6ca8",
        make: |baseline, changed| none().change_detector(detector(baseline, changed)),
    },
    Rule {
        name: "CUSUM, learning, floor half the baseline",
        colour: "#6aa84f",
        make: |baseline, changed| {
            let learning = Some(Learning {
                floor: (baseline / 2.0).max(0.001),
                horizon: 10_000,
            });
            none().change_detector(ChangeDetector {
                learning,
                ..detector(baseline, changed)
            })
        },
    },
    Rule {
        name: "CUSUM and 15 % of 40 calls, both",
        colour: "#e69f00",
        make: |baseline, changed| {
            none()
                .change_detector(detector(baseline, changed))
                .count_window(CountWindow {
                    size: 40,
                    minimum_number_of_calls: 20,
                    failure_rate_threshold: 0.15,
                })
                .combine(Combine::All)
        },
    },
    Rule {
        name: "count window, 50 % of 100, from 20 calls",
        colour: "#c0392b",
        make: |_, _| {
            none().count_window(CountWindow {
                size: 100,
                minimum_number_of_calls: 20,
                failure_rate_threshold: 0.5,
            })
        },
    },
    Rule {
        name: "5 consecutive failures",
        colour: "#8e6c8a",
        make: |_, _| none().consecutive_failures(5),
    },
];

struct Scenario {
    name: &'static str,
    /// What the rules are told.
    told: (f64, f64),
    healthy: Source,
    changed: Source,
}

fn scenarios() -> Vec<Scenario> {
    let plain = |name, from, to| Scenario {
        name,
        told: (from, to),
        healthy: Source::plain(from),
        changed: Source::plain(to),
    };
    vec![
        plain("1 % to 10 %", 0.01, 0.10),
        plain("1 % to 30 %", 0.01, 0.30),
        plain("5 % to 50 %", 0.05, 0.50),
        Scenario {
            name: "true 2 %, told 1 %, to 10 %",
            healthy: Source::plain(0.02),
            ..plain("", 0.01, 0.10)
        },
        Scenario {
            name: "bursts of 3, 1 % to 10 %",
            healthy: Source {
                rate: 0.01,
                burst: 3.0,
            },
            changed: Source {
                rate: 0.10,
                burst: 3.0,
            },
            ..plain("", 0.01, 0.10)
        },
    ]
}

/// Feeds one call; whether the machine opened.
fn feed(machine: &mut Machine, failed: bool) -> bool {
    let now = Timestamp::default();
    let admission = machine.try_acquire(now, 0.5).expect("closed");
    let verdict = if failed {
        Verdict::Failure(FailureKind::Error)
    } else {
        Verdict::Success
    };
    machine.record(admission, verdict, now, 0.5);
    machine.state() == State::Open
}

/// Calls from the change to the opening, one per stream, sorted; those that opened before the change start anew.
fn detection(config: &Config, scenario: &Scenario, part: u64) -> Vec<u64> {
    let mut delays: Vec<u64> = (0..STREAMS / part)
        .map(|stream| {
            let mut draws = Draws(stream * 7_919 + 1);
            let (mut machine, mut bad) =
                (Machine::new(config.clone(), Timestamp::default()), false);
            for _ in 0..HEALTHY {
                if feed(&mut machine, scenario.healthy.fails(&mut bad, &mut draws)) {
                    machine = Machine::new(config.clone(), Timestamp::default());
                }
            }
            (1..PATIENCE)
                .find(|_| feed(&mut machine, scenario.changed.fails(&mut bad, &mut draws)))
                .unwrap_or(PATIENCE)
        })
        .collect();
    delays.sort_unstable();
    delays
}

/// False trips per million healthy calls. What a detector has learned is lost with each, as after a restart.
fn false_trips(config: &Config, scenario: &Scenario, part: u64) -> f64 {
    let mut draws = Draws(99);
    let (mut machine, mut bad, mut trips) = (
        Machine::new(config.clone(), Timestamp::default()),
        false,
        0_u32,
    );
    for _ in 0..QUIET / part {
        if feed(&mut machine, scenario.healthy.fails(&mut bad, &mut draws)) {
            trips += 1;
            machine = Machine::new(config.clone(), Timestamp::default());
        }
    }
    f64::from(trips) * 1e6 / (QUIET / part) as f64
}

struct Cell {
    delays: Vec<u64>,
    false_trips: f64,
}

impl Cell {
    fn at(&self, share: f64) -> u64 {
        self.delays[((self.delays.len() - 1) as f64 * share) as usize]
    }
}

fn calls(calls: u64) -> String {
    if calls >= PATIENCE {
        format!("over {PATIENCE}")
    } else {
        calls.to_string()
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this example is for")]
fn main() -> std::io::Result<()> {
    println!(
        "| stream | rule | calls until it opens: median | 9 of 10 within | false trips per million calls |"
    );
    println!("|---|---|---:|---:|---:|");
    let path = std::env::args().nth(1);
    let part = if path.is_some() { 1 } else { 20 };
    let mut rows = Vec::new();
    for scenario in scenarios() {
        let mut row = Vec::new();
        for rule in &RULES {
            let config = (rule.make)(scenario.told.0, scenario.told.1)
                .build()
                .expect("good settings");
            let cell = Cell {
                delays: detection(&config, &scenario, part),
                false_trips: false_trips(&config, &scenario, part),
            };
            println!(
                "| {} | {} | {} | {} | {:.1} |",
                scenario.name,
                rule.name,
                calls(cell.at(0.5)),
                calls(cell.at(0.9)),
                cell.false_trips
            );
            row.push(cell);
        }
        rows.push((scenario.name, row));
    }
    if let Some(path) = path {
        std::fs::write(path, svg(&rows))?;
    }
    Ok(())
}

const WIDTH: f64 = 920.0;
const LEFT: f64 = 210.0;
const LANE: f64 = 18.0;

/// Bars from nothing to the median, whiskers to 9 of 10, on a logarithmic scale; false trips beside them.
fn svg(rows: &[(&str, Vec<Cell>)]) -> String {
    let band = LANE * RULES.len() as f64 + 22.0;
    let top = 30.0 + LANE * RULES.len() as f64;
    let height = top + band * rows.len() as f64 + 50.0;
    let right = WIDTH - 190.0;
    let x = |calls: f64| LEFT + (right - LEFT) * calls.max(1.0).log10() / (PATIENCE as f64).log10();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, rule) in RULES.iter().enumerate() {
        let y = 14.0 + LANE * index as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"12\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            rule.colour,
            LEFT + 18.0,
            y + 9.0,
            rule.name
        );
    }
    for decade in [1.0, 10.0, 100.0, 1_000.0, 10_000.0] {
        let (x, bottom) = (x(decade), height - 40.0);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{decade}</text>",
            bottom + 16.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{}\">calls from the change until it opens: bar to the median, line to 9 of 10 streams; cut at {PATIENCE}</text><text x=\"{}\" y=\"{}\">false trips per million</text>",
        height - 6.0,
        right + 20.0,
        top - 8.0
    );
    for (band_index, (name, row)) in rows.iter().enumerate() {
        let start = top + 8.0 + band * band_index as f64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            LEFT - 10.0,
            start + LANE * RULES.len() as f64 / 2.0
        );
        for (index, (rule, cell)) in RULES.iter().zip(row).enumerate() {
            let y = start + LANE * index as f64;
            let (median, most) = (x(cell.at(0.5) as f64), x(cell.at(0.9) as f64));
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"12\" fill=\"{}\"/><line x1=\"{median:.1}\" y1=\"{:.1}\" x2=\"{most:.1}\" y2=\"{:.1}\" stroke=\"#333\"/><text x=\"{}\" y=\"{:.1}\">{:.1}</text>",
                median - LEFT,
                rule.colour,
                y + 6.0,
                y + 6.0,
                right + 20.0,
                y + 10.0,
                cell.false_trips
            );
        }
    }
    out.push_str("</svg>\n");
    out
}
