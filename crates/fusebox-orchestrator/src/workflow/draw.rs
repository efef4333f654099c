//! The graph as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Join, Step, Work, Workflow};

impl Workflow {
    /// The graph as a Mermaid flow chart. Dashed arrows are optional edges; an arrow says what must
    /// hold for the step at its end to run, and a step says how many of its arrows it needs where that
    /// is not all.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        let mut index_of = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            index_of.insert(step.name(), index);
            let _ = writeln!(text, "    s{index}{}", shape(step));
        }
        for (index, step) in self.steps.iter().enumerate() {
            for (from, arrow) in edges(step) {
                let from_index = index_of[from.as_str()];
                let condition = condition(step, from);
                let _ = writeln!(text, "    s{from_index} {arrow}{condition} s{index}");
            }
        }
        text
    }
}

fn edges(step: &Step) -> impl Iterator<Item = (&String, &'static str)> {
    let required = step.required().iter().map(|from| (from, "-->"));
    required.chain(step.optionals().iter().map(|from| (from, "-.->")))
}

/// A box; a rhombus where a person decides.
fn shape(step: &Step) -> String {
    let label = label(step);
    match step.work() {
        Work::Approval(_) => format!("{{\"{label}\"}}"),
        _ => format!("[\"{label}\"]"),
    }
}

fn label(step: &Step) -> String {
    let mut label = escaped(step.name());
    if let Some(agent) = step.agent().filter(|agent| *agent != step.name()) {
        let _ = write!(label, " ({})", escaped(agent));
    }
    if step.join_rule() != Join::All {
        let _ = write!(label, "<br/>{}", step.join_rule());
    }
    match step.work() {
        Work::Call => {}
        Work::Approval(approval) => {
            let _ = write!(label, "<br/>a person: {}", escaped(approval.prompt()));
        }
        Work::Map(map) => {
            let place = escaped(&format!("{}{}", map.step(), map.at()));
            let _ = write!(label, "<br/>each of {place}, {} at once", map.concurrency());
        }
        Work::Repeat(repeat) => {
            let until = escaped(repeat.predicate().to_string().trim());
            let _ = write!(
                label,
                "<br/>until {until}, at most {} times",
                repeat.at_most()
            );
        }
    }
    label
}

/// What `step` asks of `from`, as the text on their arrow.
fn condition(step: &Step, from: &str) -> String {
    let asked = step
        .conditions()
        .iter()
        .filter(|asked| asked.step() == from);
    let asked: Vec<String> = asked.map(|asked| asked.predicate().to_string()).collect();
    if asked.is_empty() {
        return String::new();
    }
    format!("|\"{}\"|", escaped(asked.join(" and ").trim()))
}

/// What would end or change a quoted text stands as an entity.
fn escaped(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    let entities = [('"', "#quot;"), ('|', "#124;"), ('<', "#lt;")];
    entities
        .into_iter()
        .fold(text, |text, (plain, entity)| text.replace(plain, entity))
}
