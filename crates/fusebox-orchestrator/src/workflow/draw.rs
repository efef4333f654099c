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
    for line in join(step).into_iter().chain(work(step)) {
        let _ = write!(label, "<br/>{}", escaped(&line));
    }
    label
}

/// How many of its arrows a step needs, where that is not all.
fn join(step: &Step) -> Option<String> {
    let join = step.join_rule();
    (join != Join::All).then(|| join.to_string())
}

/// What a step does, where that is not one call.
fn work(step: &Step) -> Option<String> {
    Some(match step.work() {
        Work::Call | Work::Enter(_) | Work::Leave => return None,
        Work::Map(map) => {
            let (from, at, calls) = (map.step(), map.at(), map.concurrency());
            format!("each of {from}{at}, {calls} at once")
        }
        Work::Repeat(repeat) => {
            let until = repeat.predicate().to_string();
            format!("until {}, at most {} times", until.trim(), repeat.at_most())
        }
        Work::Approval(approval) => format!("a person: {}", approval.prompt()),
    })
}

impl Step {
    /// What sets the step apart from one that needs all it requires and calls its agent once, in
    /// words: its join, its conditions, what it does. Empty for most.
    pub fn particulars(&self) -> Vec<String> {
        let conditions = self.conditions().iter();
        let conditions = conditions.map(|condition| format!("when {condition}"));
        let join = join(self).map(|join| format!("needs {join}"));
        join.into_iter()
            .chain(conditions)
            .chain(work(self))
            .collect()
    }
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
