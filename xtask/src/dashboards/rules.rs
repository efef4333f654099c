//! Alert rules for Prometheus, and promtool's tests of them.
//!
//! Written by hand: a string in JSON is one in YAML too, and the rest is indentation.

use super::alerts::{ALERTS, Alert, Case};

const HEAD: &str = "# Written by `cargo xtask dashboards` from xtask/src/dashboards/alerts.rs.\n";

pub(super) fn render() -> String {
    let mut text = format!("{HEAD}groups:\n  - name: fusebox\n    rules:\n");
    for alert in ALERTS {
        text += &format!(
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        annotations:\n          summary: {}\n          description: {}\n",
            alert.name,
            quoted(alert.expr),
            alert.hold,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.advice),
        );
    }
    text
}

pub(super) fn render_tests() -> String {
    let mut text =
        format!("{HEAD}rule_files:\n  - fusebox-alerts.yml\nevaluation_interval: 15s\ntests:\n");
    for alert in ALERTS {
        text += &test(alert, &alert.fires, true);
        for case in alert.quiet {
            text += &test(alert, case, false);
        }
    }
    text
}

fn test(alert: &Alert, case: &Case, fires: bool) -> String {
    let verb = if fires { "fires" } else { "keeps quiet" };
    let mut text = format!(
        "  - name: {}\n    interval: 15s\n    input_series:\n",
        quoted(&format!("{} {verb}: {}", alert.name, case.what))
    );
    for (series, values) in case.series {
        text += &format!(
            "      - series: {}\n        values: {}\n",
            quoted(series),
            quoted(values)
        );
    }
    text += &format!(
        "    alert_rule_test:\n      - eval_time: {}\n        alertname: {}\n        exp_alerts:",
        case.at, alert.name
    );
    if !fires {
        return text + " []\n";
    }
    text += "\n          - exp_labels:\n";
    text += &format!("              severity: {}\n", alert.severity);
    for (label, value) in case.labels {
        text += &format!("              {label}: {}\n", quoted(value));
    }
    text + &format!(
        "            exp_annotations:\n              summary: {}\n              description: {}\n",
        quoted(&filled(alert.summary, case)),
        quoted(&filled(alert.advice, case))
    )
}

/// As Prometheus fills in a template that names labels alone.
fn filled(template: &str, case: &Case) -> String {
    case.labels
        .iter()
        .fold(template.to_owned(), |text, (label, value)| {
            text.replace(&format!("{{{{ $labels.{label} }}}}"), value)
        })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("it is a string")
}
