//! Figures as a page in the Prometheus text format, version 0.0.4.
//!
//! Source: "Text-based format" in the Prometheus documentation, *Exposition formats*.

use std::fmt::{Display, Write as _};

use super::{Distribution, Figures, Value};
use crate::table::{BUCKETS, Kind, METRICS, Metric};

/// In the order of the table, so that two pages can be compared.
pub(super) fn render(figures: &Figures) -> String {
    let mut page = String::new();
    for metric in METRICS {
        let Some(series) = figures.metrics.get(metric.name) else {
            continue;
        };
        let (name, kind) = (metric.name, word(metric.kind));
        let _ = writeln!(
            page,
            "# HELP {name} {}\n# TYPE {name} {kind}",
            metric.meaning
        );
        for (labels, value) in series {
            let labels: Vec<_> = metric.labels.iter().copied().zip(labels).collect();
            match value {
                Value::Counter(count) => line(&mut page, name, &labels, count),
                Value::Gauge(level) => line(&mut page, name, &labels, level),
                Value::Histogram(it) => histogram(&mut page, metric, &labels, it),
            }
        }
    }
    page
}

type Labels<'a> = [(&'static str, &'a String)];

/// Each bucket counts those below it too, and the last counts all.
fn histogram(page: &mut String, metric: &Metric, labels: &Labels<'_>, it: &Distribution) {
    let mut bucket = |bound: &String, count: u64| {
        let labels = [labels, &[("le", bound)]].concat();
        line(page, &format!("{}_bucket", metric.name), &labels, count);
    };
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(it.buckets) {
        below = count.saturating_add(below);
        bucket(&bound.to_string(), below);
    }
    bucket(&"+Inf".to_owned(), it.count);
    line(page, &format!("{}_sum", metric.name), labels, it.sum);
    line(page, &format!("{}_count", metric.name), labels, it.count);
}

fn line(page: &mut String, name: &str, labels: &Labels<'_>, value: impl Display) {
    page.push_str(name);
    for (n, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\");
        let value = value.replace('"', "\\\"").replace('\n', "\\n");
        let before = if n == 0 { '{' } else { ',' };
        let _ = write!(page, "{before}{label}=\"{value}\"");
    }
    let after = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(page, "{after} {value}");
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge, histogram};
    use proptest::prelude::*;

    use super::*;
    use crate::figures::Tally;

    #[test]
    fn a_page_has_each_kind_as_prometheus_reads_it() {
        let tally = Tally::new();
        tally.observe(|| {
            gauge!("fusebox_runs_live").set(2.0);
            counter!("fusebox_step_shielded_total", "by" => "b", "step" => "a").increment(3);
            for seconds in [0.005, 0.006, 4000.0] {
                histogram!("fusebox_queue_wait_seconds", "agent" => "a").record(seconds);
            }
        });
        let page = tally.figures().render();
        for line in [
            "# TYPE fusebox_runs_live gauge",
            "fusebox_runs_live 2",
            "# TYPE fusebox_step_shielded_total counter",
            "fusebox_step_shielded_total{step=\"a\",by=\"b\"} 3",
            "# TYPE fusebox_queue_wait_seconds histogram",
            "fusebox_queue_wait_seconds_bucket{agent=\"a\",le=\"0.005\"} 1",
            "fusebox_queue_wait_seconds_bucket{agent=\"a\",le=\"0.025\"} 2",
            "fusebox_queue_wait_seconds_bucket{agent=\"a\",le=\"1800\"} 2",
            "fusebox_queue_wait_seconds_bucket{agent=\"a\",le=\"+Inf\"} 3",
            "fusebox_queue_wait_seconds_sum{agent=\"a\"} 4000.011",
            "fusebox_queue_wait_seconds_count{agent=\"a\"} 3",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }

    #[test]
    fn a_label_cannot_end_its_line_and_a_meaning_needs_no_escape() {
        let tally = Tally::new();
        tally.observe(|| gauge!("fusebox_agent_waiting_calls", "agent" => "a\"b\\c\nd").set(1.0));
        let page = tally.figures().render();
        assert!(page.ends_with("{agent=\"a\\\"b\\\\c\\nd\"} 1\n"), "{page}");
        for metric in METRICS {
            assert!(!metric.meaning.contains(['\\', '\n']), "{metric:?}");
        }
    }

    /// The label's value as a reader of the format takes it.
    fn read(label: &str) -> String {
        let (mut value, mut chars) = (String::new(), label.chars());
        while let Some(c) = chars.next() {
            value.push(match c {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("no escape: {other:?}"),
                },
                '"' | '\n' => panic!("it ends before its end: {label:?}"),
                c => c,
            });
        }
        value
    }

    proptest! {
        #[test]
        fn whatever_a_name_is_its_line_is_one_and_the_name_comes_back(name in ".*", level: f64) {
            let tally = Tally::new();
            tally.observe(|| gauge!("fusebox_agent_away_seconds", "agent" => name.clone()).set(level));
            let page = tally.figures().render();
            let lines: Vec<_> = page.split_terminator('\n').skip(2).collect();
            if !level.is_finite() {
                prop_assert!(lines.is_empty());
                return Ok(());
            }
            let [line] = lines[..] else { panic!("{lines:?}") };
            let rest = line.strip_prefix("fusebox_agent_away_seconds{agent=\"").unwrap();
            let (label, value) = rest.rsplit_once("\"} ").unwrap();
            prop_assert_eq!(read(label), name);
            prop_assert_eq!(value.parse::<f64>().unwrap(), level);
        }
    }
}
