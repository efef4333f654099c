//! Recovery objectives: what was promised and what came of it.

use std::collections::BTreeMap;

use fusebox::RunReport;
use fusebox::orchestrator::{EventKind, EventRecord, RtoVerdict};

use crate::page::row;
use crate::progress::time;

pub(super) fn table(report: &RunReport, events: &[EventRecord], page: &mut String) {
    page.push_str("<h2>Recovery objectives</h2>\n");
    let agents = report.steps.iter();
    let agents = agents.filter_map(|step| Some((step.agent.as_str(), step.rto?)));
    let agents: BTreeMap<_, _> = agents.collect();
    if agents.is_empty() {
        page.push_str("<p>No agent was away in this run.</p>\n");
        return;
    }
    let of = |ms: Option<u64>| ms.map_or_else(|| "none".into(), time);
    page.push_str("<div class=\"wide\"><table><thead><tr><th>agent</th><th>objective</th><th>longest away</th><th>outages</th><th>verdict</th></tr></thead>\n<tbody>\n");
    for (agent, rto) in agents {
        let cells = [
            agent.to_owned(),
            of(rto.objective_ms),
            time(rto.away_ms),
            rto.outages.to_string(),
            word(rto.verdict).to_owned(),
        ];
        row(&cells, page);
    }
    page.push_str("</tbody></table></div>\n");
    recoveries(events, page);
}

/// Every outage that ended while the run was worked on.
fn recoveries(events: &[EventRecord], page: &mut String) {
    let begin = events.first().map_or(0, |event| event.at_ms);
    let mut rows = String::new();
    for event in events {
        if let EventKind::Recovered {
            agent,
            took_ms,
            objective_ms,
            verdict,
            ..
        } = &event.event
        {
            let after = event.at_ms.saturating_sub(begin) as f64 / 1000.0;
            let cells = [
                format!("{after:.2} s"),
                agent.clone(),
                time(*took_ms),
                objective_ms.map_or_else(|| "none".into(), time),
                word(*verdict).to_owned(),
            ];
            row(&cells, &mut rows);
        }
    }
    if !rows.is_empty() {
        page.push_str("<div class=\"wide\"><table><caption>Outages that ended</caption><thead><tr><th>back after</th><th>agent</th><th>away</th><th>objective</th><th>verdict</th></tr></thead>\n<tbody>\n");
        page.push_str(&rows);
        page.push_str("</tbody></table></div>\n");
    }
}

fn word(verdict: RtoVerdict) -> &'static str {
    match verdict {
        RtoVerdict::Met => "✓ met",
        RtoVerdict::Breached => "✗ breached",
        RtoVerdict::Pending => "… still away",
        _ => "no objective",
    }
}
