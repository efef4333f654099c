//! The Grafana dashboard: a row per group, a panel per metric.

use fusebox_metrics::{Kind, METRICS, Metric};
use serde_json::{Value, json};

use super::page::{GROUPS, source};

/// Of the 24 columns of a dashboard.
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

/// One process or all; `$job` and `$instance` are variables of the dashboard.
const CHOSEN: &str = r#"job=~"$job", instance=~"$instance""#;

pub(super) fn render() -> String {
    let mut panels: Vec<Value> = Vec::new();
    let mut y = 0;
    for (group, title) in GROUPS {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false,
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 }, "panels": [],
        }));
        y += 1;
        let metrics: Vec<&Metric> = METRICS
            .iter()
            .filter(|metric| metric.group == group)
            .collect();
        for (n, metric) in metrics.iter().enumerate() {
            let (column, line) = (n % (24 / WIDTH), n / (24 / WIDTH));
            let place =
                json!({ "x": column * WIDTH, "y": y + line * HEIGHT, "w": WIDTH, "h": HEIGHT });
            panels.push(panel(metric, panels.len() + 1, place));
        }
        y += metrics.len().div_ceil(24 / WIDTH) * HEIGHT;
    }
    let dashboard = json!({
        "title": "fusebox",
        "uid": "fusebox",
        "description": "Breakers, what they drag along, when they are due back.",
        "tags": ["fusebox"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "timezone": "browser",
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": variables() },
        "annotations": { "list": [annotation()] },
        "panels": panels,
    });
    let text = serde_json::to_string_pretty(&dashboard).expect("it is plain data");
    text + "\n"
}

fn variables() -> Value {
    let choice = |name: &str, within: &str| {
        let query = format!("label_values(fusebox_looked_at_timestamp_seconds{within}, {name})");
        json!({
            "name": name, "type": "query", "datasource": source_of_data(), "query": query, "refresh": 2,
            "includeAll": true, "multi": true, "allValue": ".*", "current": { "text": "All", "value": "$__all" },
        })
    };
    json!([
        { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" },
        choice("job", ""),
        choice("instance", r#"{job=~"$job"}"#),
    ])
}

/// Openings as marks over every panel.
fn annotation() -> Value {
    json!({
        "name": "Openings", "enable": true, "iconColor": "red", "datasource": source_of_data(),
        "expr": format!(r#"sum by (breaker, reason) (changes(fusebox_breaker_transitions_total{{to="open", {CHOSEN}}}[1m])) > 0"#),
        "titleFormat": "{{breaker}} opened", "textFormat": "{{reason}}",
    })
}

fn source_of_data() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn panel(metric: &Metric, id: usize, place: Value) -> Value {
    let one_hot = is_one_hot(metric);
    let targets: Vec<Value> = queries(metric)
        .into_iter()
        .zip(["A", "B"])
        .map(|((expr, legend), letter)| {
            json!({ "refId": letter, "datasource": source_of_data(), "expr": expr, "legendFormat": legend })
        })
        .collect();
    let title = metric.name.trim_start_matches("fusebox_");
    json!({
        "id": id,
        "type": if one_hot { "state-timeline" } else { "timeseries" },
        "title": title,
        "description": format!("{} ({}; from {})", metric.meaning, metric.name, source(metric.source)),
        "datasource": source_of_data(),
        "gridPos": place,
        "targets": targets,
        "fieldConfig": { "defaults": { "unit": unit(metric), "min": 0 }, "overrides": [] },
    })
}

fn is_one_hot(metric: &Metric) -> bool {
    let word = metric.labels.last().copied().unwrap_or_default();
    metric.kind == Kind::Gauge && ["state", "status", "mode"].contains(&word)
}

/// What to ask for, and what to call the lines that come.
fn queries(metric: &Metric) -> Vec<(String, String)> {
    let name = metric.name;
    let legend = match metric.labels {
        [] => "{{instance}}".to_owned(),
        labels => labels
            .iter()
            .map(|label| format!("{{{{{label}}}}}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let by = match metric.labels {
        [] => "instance".to_owned(),
        labels => labels.join(", "),
    };
    let chosen = format!("{name}{{{CHOSEN}}}");
    match metric.kind {
        Kind::Gauge if name.ends_with("_timestamp_seconds") => {
            vec![(format!("time() - max by ({by}) ({chosen})"), legend)]
        }
        Kind::Gauge if is_one_hot(metric) => vec![(format!("max by ({by}) ({chosen}) > 0"), legend)],
        Kind::Gauge if name.ends_with("_ratio") => vec![(format!("min by ({by}) ({chosen})"), legend)],
        Kind::Gauge if name.ends_with("_seconds") => vec![(format!("max by ({by}) ({chosen})"), legend)],
        Kind::Gauge => vec![(format!("sum by ({by}) ({chosen})"), legend)],
        Kind::Counter => vec![(format!("sum by ({by}) (rate({chosen}[$__rate_interval]))"), legend)],
        Kind::Histogram => ["0.5", "0.95"]
            .map(|quantile| {
                let buckets = format!("{name}_bucket{{{CHOSEN}}}");
                let expr = format!(
                    "histogram_quantile({quantile}, sum by (le, {by}) (rate({buckets}[$__rate_interval])))"
                );
                (expr, format!("{legend} {quantile}"))
            })
            .to_vec(),
    }
}

fn unit(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter => "ops",
        _ if metric.name.ends_with("_seconds") => "s",
        _ if metric.name.ends_with("_ratio") => "percentunit",
        _ => "short",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_panel_of_its_own() {
        let dashboard: Value = serde_json::from_str(&render()).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        for metric in METRICS {
            let shown = panels.iter().filter(|panel| {
                panel["title"].as_str() == metric.name.strip_prefix("fusebox_")
                    && panel["targets"][0]["expr"]
                        .as_str()
                        .is_some_and(|expr| expr.contains(metric.name))
            });
            assert_eq!(shown.count(), 1, "{}", metric.name);
        }
    }
}
