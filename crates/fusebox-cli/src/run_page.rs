//! `fusebox show --html`: a run as one page that needs nothing else, to be kept, sent and printed.

mod ledger;
mod steps;
mod timeline;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fusebox::RunReport;
use fusebox::orchestrator::{EventRecord, RunRecord};

use crate::inspect::timestamp;
use crate::page::{self, escaped, row};
use crate::progress::{describe, time};

const STYLE: &str = include_str!("run_page/style.css");

/// What the page tells of.
pub(crate) struct Content<'a> {
    pub(crate) record: &'a RunRecord,
    pub(crate) report: &'a RunReport,
    pub(crate) events: &'a [EventRecord],
    /// By step, byte for byte.
    pub(crate) outputs: &'a BTreeMap<String, Vec<u8>>,
}

impl Content<'_> {
    /// The page. `now_ms` is when it is made, in milliseconds since 1970 (UTC).
    pub(crate) fn page(&self, now_ms: u64) -> String {
        let title = format!("{}: {}", self.report.run, self.report.status);
        let mut page = page::begin(&title, STYLE);
        self.head(&mut page, now_ms);
        let graph = self.record.workflow.with_states(self.report).to_svg();
        let _ = write!(page, "<h2>Graph</h2>\n<div class=\"wide\">{graph}</div>\n");
        timeline::draw(self.events, &mut page);
        steps::table(self.report, self.outputs, &mut page);
        ledger::table(self.report, self.events, &mut page);
        self.events(&mut page);
        page + page::END
    }

    fn head(&self, page: &mut String, now_ms: u64) {
        let (report, head) = (self.report, &self.record.head);
        let (run, status) = (escaped(&report.run), report.status);
        let _ = write!(
            page,
            "<header>\n<h1>Run {run}: <span class=\"status {status}\">{status}</span></h1>\n"
        );
        if let Some(reason) = &report.reason {
            let _ = writeln!(page, "<p class=\"why\">{}</p>", escaped(reason));
        }
        let mut facts = vec![
            ("workflow", report.workflow.clone()),
            ("began", format!("{} UTC", timestamp(head.created_ms))),
            (
                "last written",
                format!("{} UTC", timestamp(head.updated_ms)),
            ),
            ("from begin to last commit", time(report.duration_ms)),
            ("objective", time(report.objective_ms)),
            ("processes", report.processes.to_string()),
            (
                "durability",
                report
                    .durability
                    .clone()
                    .unwrap_or_else(|| "unknown".into()),
            ),
            ("definition", head.fingerprint.chars().take(12).collect()),
            ("this page", format!("{} UTC", timestamp(now_ms))),
        ];
        if let Some(due) = report.due_in_ms {
            facts.push(("due back", format!("in {}", time(due))));
        }
        page.push_str("<dl>\n");
        for (name, fact) in facts {
            let _ = writeln!(
                page,
                "<div><dt>{name}</dt><dd>{}</dd></div>",
                escaped(&fact)
            );
        }
        page.push_str("</dl>\n</header>\n");
    }

    fn events(&self, page: &mut String) {
        let begin = self.events.first().map_or(0, |event| event.at_ms);
        let _ = writeln!(page, "<h2>What happened</h2>\n<div class=\"wide\"><table>");
        page.push_str("<thead><tr><th>after</th><th>time (UTC)</th><th>process</th><th>event</th></tr></thead>\n<tbody>\n");
        for event in self.events {
            if let Some(text) = describe(&event.event) {
                let after = event.at_ms.saturating_sub(begin) as f64 / 1000.0;
                let cells = [
                    format!("{after:.2} s"),
                    timestamp(event.at_ms),
                    event.process.to_string(),
                    text,
                ];
                row(&cells, page);
            }
        }
        page.push_str("</tbody></table></div>\n");
    }
}
