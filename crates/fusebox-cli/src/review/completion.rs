//! Completion: writes the report as Markdown and as one HTML page that needs nothing else.

use std::fmt::Write as _;
use std::path::Path;

use fusebox::agent::{AgentError, Context, Reply, Task};
use serde_json::json;

pub(super) async fn call(task: Task, cx: Context) -> Result<Reply, AgentError> {
    let aggregation = super::upstream(&task, "aggregation")?;
    let (Some(markdown), Some(title)) = (
        aggregation["markdown"].as_str(),
        aggregation["title"].as_str(),
    ) else {
        return Err(AgentError::invalid_input(
            "the output of step `aggregation` holds no document",
        ));
    };
    let directory = cx
        .artifacts()
        .ok_or_else(|| AgentError::invalid_input("this run has no artifacts directory"))?;
    write(directory, "report.md", markdown).await?;
    write(directory, "report.html", &page(title, markdown)).await?;
    cx.progress("report written");
    Ok(Reply::new(
        json!({ "report": "report.md", "report_html": "report.html" }),
    ))
}

/// Whole or not at all: a reader never sees half a report, and a second write is harmless.
async fn write(directory: &Path, name: &str, text: &str) -> Result<(), AgentError> {
    let failed = |error: std::io::Error| {
        AgentError::failed(format!(
            "{} could not be written",
            directory.join(name).display()
        ))
        .with_source(error)
    };
    let draft = directory.join(format!("{name}.draft"));
    tokio::fs::write(&draft, text).await.map_err(failed)?;
    tokio::fs::rename(&draft, directory.join(name))
        .await
        .map_err(failed)
}

const STYLE: &str = "
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
code { background: #8882; padding: 0 .25em; border-radius: .25em }
";

/// The Markdown that aggregation writes (headings, paragraphs, numbered lists, tables) as HTML.
fn page(title: &str, markdown: &str) -> String {
    let mut body = String::new();
    let mut open: Option<&str> = None;
    for line in markdown.lines() {
        let block = match line {
            line if line.starts_with('|') => Some("table"),
            line if line
                .split_once(". ")
                .is_some_and(|(number, _)| number.parse::<u32>().is_ok()) =>
            {
                Some("ol")
            }
            _ => None,
        };
        if open != block {
            close(&mut body, open);
            if let Some(tag) = block {
                let _ = writeln!(body, "<{tag}>");
            }
        }
        let heading = open != block;
        open = block;
        match block {
            Some("table") if line.starts_with("|---") => {}
            Some("table") => row(&mut body, line, heading),
            Some(_) => {
                let item = line.split_once(". ").map_or(line, |(_, item)| item);
                let _ = writeln!(body, "<li>{}</li>", inline(item));
            }
            None => paragraph(&mut body, line),
        }
    }
    close(&mut body, open);
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<main>\n{body}</main>\n</html>\n"
    )
}

fn close(body: &mut String, open: Option<&str>) {
    if let Some(tag) = open {
        let _ = writeln!(body, "</{tag}>");
    }
}

fn row(body: &mut String, line: &str, heading: bool) {
    let tag = if heading { "th" } else { "td" };
    body.push_str("<tr>");
    for cell in line.trim_matches('|').split('|') {
        let cell = cell.trim();
        let class = if !heading && cell.parse::<f64>().is_ok() {
            " class=\"number\""
        } else {
            ""
        };
        let _ = write!(body, "<{tag}{class}>{}</{tag}>", inline(cell));
    }
    body.push_str("</tr>\n");
}

fn paragraph(body: &mut String, line: &str) {
    let depth = line.chars().take_while(|c| *c == '#').count();
    let _ = match (depth, line.is_empty()) {
        (_, true) => Ok(()),
        (0, _) => writeln!(body, "<p>{}</p>", inline(line)),
        _ => writeln!(
            body,
            "<h{depth}>{}</h{depth}>",
            inline(line[depth..].trim())
        ),
    };
}

/// `**strong**` and code spans, everything else escaped.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
        } else {
            html.push_str(part);
        }
    }
    let mut strong = String::new();
    for (index, part) in html.split("**").enumerate() {
        strong.push_str(match (index, index % 2) {
            (0, _) => "",
            (_, 1) => "<strong>",
            _ => "</strong>",
        });
        strong.push_str(part);
    }
    strong
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_headings_lists_and_tables_and_lets_nothing_through() {
        let html = page(
            "T",
            "# A <b>\n\ntext\n\n1. **x**: `y`\n2. z\n\n| a | b |\n|---|---|\n| 1 | b |\n",
        );
        for part in [
            "<h1>A &lt;b&gt;</h1>",
            "<p>text</p>",
            "<ol>\n<li><strong>x</strong>: <code>y</code></li>\n<li>z</li>\n</ol>",
            "<tr><th>a</th><th>b</th></tr>\n<tr><td class=\"number\">1</td><td>b</td></tr>\n</table>",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
    }
}
