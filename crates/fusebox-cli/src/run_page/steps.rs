//! The steps with what they gave.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fusebox::RunReport;

use crate::page::{escaped, row};
use crate::progress::{mark, time};

/// Of a longer output the beginning is shown.
const SHOWN: usize = 8 * 1024;

pub(super) fn table(report: &RunReport, outputs: &BTreeMap<String, Vec<u8>>, page: &mut String) {
    page.push_str("<h2>Steps</h2>\n<div class=\"wide\"><table><thead><tr><th>step</th><th>outcome</th><th>agent</th><th>executions</th><th>time</th><th>breaker</th><th>why</th></tr></thead>\n<tbody>\n");
    for step in &report.steps {
        let cells = [
            step.name.clone(),
            format!("{} {}", mark(step.status), step.status),
            step.agent.clone(),
            step.executions.to_string(),
            step.duration_ms.map(time).unwrap_or_default(),
            step.breaker.clone(),
            step.reason.clone().unwrap_or_default(),
        ];
        row(&cells, page);
    }
    page.push_str("</tbody></table></div>\n");
    // In the order of the steps.
    for step in &report.steps {
        if let Some(output) = outputs.get(&step.name) {
            let (shown, more) = text(output);
            let (name, bytes) = (escaped(&step.name), output.len());
            let _ = writeln!(
                page,
                "<details><summary>output of {name}, {bytes} bytes{more}</summary><pre>{}</pre></details>",
                escaped(&shown)
            );
        }
    }
}

/// As it is best read, and whether that is all of it.
fn text(output: &[u8]) -> (String, &'static str) {
    let document = serde_json::from_slice::<serde_json::Value>(output).ok();
    let document = document.and_then(|document| serde_json::to_string_pretty(&document).ok());
    let mut text = document.unwrap_or_else(|| String::from_utf8_lossy(output).into_owned());
    if text.len() <= SHOWN {
        return (text, "");
    }
    let mut ends = (0..=SHOWN).rev();
    text.truncate(ends.find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    (text + "…", ", the beginning")
}
