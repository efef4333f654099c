//! A comparison as a page of its own, with plots.

mod axis;
mod grouped;
mod lanes;
mod plot;

use std::fmt::Write as _;

use fusebox::lab::{Comparison, Protection};

use super::rows::{self, RECOVERY, Row};
use crate::page::{self, escaped, row};
use crate::progress::time;

const STYLE: &str = include_str!("page/style.css");

pub(super) fn of(comparison: &Comparison) -> String {
    let plan = &comparison.plan;
    let title = format!("{}: {}", plan.file, plan.workflow);
    let mut page = page::begin(&title, STYLE);
    head(comparison, &mut page);
    figures(comparison, &mut page);
    plot::draw(comparison, &mut page);
    lanes::draw(comparison, &mut page);
    recoveries(comparison, &mut page);
    agents(comparison, &mut page);
    page.push_str(COUNTED);
    page + page::END
}

const COUNTED: &str = "<h2>How it is counted</h2>\n<ul class=\"legend\">\n\
    <li>Both sides have the same runs at the same times and the same faults. The side without breakers keeps attempts, time-outs and limits of calls at once as the file has them.</li>\n\
    <li>Availability: the share of runs that were delivered within their objective. Failed runs could not be any more and said so before it was over; late ones ran into it.</li>\n\
    <li>In vain: calls made while a fault was on at the agent that brought no good answer, probes included.</li>\n\
    <li>Drawn in: agents without a fault in the plan at which a call failed, or found no slot until its run was over.</li>\n\
    <li>An outage is from the opening of a breaker to the success that closes it. Detect: from the first failure to the opening. Isolate, resume, verified: from the opening until no call was in flight, until the first success, until the breaker closed. Of several outages the median, and the most.</li>\n\
    </ul>\n";

fn head(comparison: &Comparison, page: &mut String) {
    let plan = &comparison.plan;
    let _ = write!(
        page,
        "<header>\n<h1>Lab: {} <small>{}</small></h1>\n",
        escaped(&plan.workflow),
        escaped(&plan.file)
    );
    if comparison.is_interrupted {
        page.push_str("<p class=\"why\">Stopped before its end: figures are of what was measured until then.</p>\n");
    }
    for target in &comparison.targets {
        let class = if target.is_met { "met" } else { "missed" };
        let text = escaped(&rows::target(target));
        let _ = writeln!(page, "<p class=\"target {class}\">{text}</p>");
    }
    let mut facts = vec![
        ("runs", rows::arrivals(plan)),
        ("objective of a run", time(plan.objective_ms)),
        ("time and agents", rows::answered(plan).to_owned()),
        (
            "compared with",
            format!("the same without {}", plan.without),
        ),
    ];
    facts.extend(rows::faults(plan).into_iter().map(|fault| ("fault", fault)));
    page.push_str("<dl>\n");
    for (name, fact) in facts {
        let fact = escaped(&fact);
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{fact}</dd></div>");
    }
    page.push_str("</dl>\n</header>\n");
}

fn figures(comparison: &Comparison, page: &mut String) {
    let mut headings = rows::headings(comparison);
    if headings.len() == 2 {
        headings.push("difference".to_owned());
    }
    page.push_str(
        "<h2>What came out</h2>\n<div class=\"wide\"><table class=\"figures\"><thead><tr><th></th>",
    );
    for heading in &headings {
        let _ = write!(page, "<th>{}</th>", escaped(heading));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows::rows(comparison) {
        figure(&row, headings.len() == 3, page);
    }
    page.push_str("</tbody></table></div>\n");
}

fn figure(row: &Row, is_compared: bool, page: &mut String) {
    let class = if row.name.starts_with(' ') {
        " class=\"part\""
    } else {
        ""
    };
    let _ = write!(
        page,
        "<tr><th scope=\"row\"{class}>{}</th>",
        row.name.trim()
    );
    for cell in &row.cells {
        let _ = write!(page, "<td>{}</td>", escaped(cell));
    }
    if is_compared {
        let class = match row.difference.rsplit_once(", ") {
            Some((_, "better")) => " class=\"gain\"",
            Some((_, "worse")) => " class=\"loss\"",
            _ => "",
        };
        let _ = write!(page, "<td{class}>{}</td>", escaped(&row.difference));
    }
    page.push_str("</tr>\n");
}

fn recoveries(comparison: &Comparison, page: &mut String) {
    page.push_str("<h2>Recovery objectives</h2>\n");
    let protected = comparison
        .sides
        .iter()
        .find(|side| side.protection == Protection::On);
    let away = protected.map(|side| rows::recoveries(side, true));
    let away = away.unwrap_or_default();
    if away.is_empty() {
        page.push_str("<p>No breaker opened.</p>\n");
        return;
    }
    table(&RECOVERY, &away, page);
}

fn agents(comparison: &Comparison, page: &mut String) {
    page.push_str("<h2>Calls by agent</h2>\n");
    let mut header = vec!["agent"];
    let mut cells: Vec<Vec<String>> = Vec::new();
    for side in &comparison.sides {
        header.extend(match side.protection {
            Protection::On => ["calls, protected", "in vain", "failed otherwise"],
            _ => ["calls, without", "in vain", "failed otherwise"],
        });
        for agent in &side.agents {
            let known = cells.iter_mut().find(|row| row[0] == agent.agent);
            let row = match known {
                Some(row) => row,
                None => {
                    let mut row = vec![agent.agent.clone()];
                    row.resize(header.len() - 3, "0".to_owned());
                    cells.push(row);
                    cells.last_mut().expect("just pushed")
                }
            };
            let counts = [
                agent.calls,
                agent.calls_in_vain,
                agent.calls_failed_otherwise,
            ];
            row.extend(counts.map(|count| count.to_string()));
        }
        for row in &mut cells {
            row.resize(header.len(), "0".to_owned());
        }
    }
    table(&header, &cells, page);
}

fn table(header: &[&str], rows: &[Vec<String>], page: &mut String) {
    page.push_str("<div class=\"wide\"><table><thead><tr>");
    for name in header {
        let _ = write!(page, "<th>{name}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for cells in rows {
        row(cells, page);
    }
    page.push_str("</tbody></table></div>\n");
}
