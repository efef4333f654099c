//! The graph as a picture: what is to be seen, whoever draws it.

mod dot;
mod layout;
mod mermaid;
mod state;
mod svg;

use std::collections::BTreeMap;

pub use self::state::Drawing;
use self::state::Mark;
use super::{Join, Repeat, Step, Work, Workflow};

impl Workflow {
    /// The graph as a Mermaid flow chart. Dashed arrows are optional edges; an arrow says what must
    /// hold for the step at its end to run, and a step says how many of its arrows it needs where that
    /// is not all. A workflow inside is a subgraph.
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(&Picture::of(self))
    }

    /// The same in the language of Graphviz, for `dot -Tsvg` and others.
    pub fn to_dot(&self) -> String {
        dot::draw(&Picture::of(self))
    }

    /// The same as an image (SVG), from left to right, in light or dark as its viewer asks. What must
    /// hold for a step stands in its box; a text too long for that ends in `…` and is whole in its title.
    pub fn to_svg(&self) -> String {
        svg::draw(&Picture::of(self))
    }
}

/// What is to be seen.
struct Picture<'a> {
    name: &'a str,
    /// In the order of the steps.
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The workflows inside, each after the one it is in.
    clusters: Vec<Cluster>,
}

struct Node {
    name: String,
    /// What is said about it besides its name; no line has a line break.
    lines: Vec<String>,
    /// What must hold for it to run.
    conditions: Vec<String>,
    shape: Shape,
    cluster: Option<usize>,
    /// How it stands, where a run is drawn.
    mark: Option<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Call,
    /// Several calls.
    Calls,
    /// A person decides.
    Decision,
    /// A workflow inside begins or ends.
    Point,
}

struct Edge {
    from: usize,
    to: usize,
    is_optional: bool,
    /// What the step at its end asks of the one at its beginning.
    condition: Option<String>,
}

struct Cluster {
    name: String,
    within: Option<usize>,
}

impl<'a> Picture<'a> {
    fn of(workflow: &'a Workflow) -> Self {
        let mut picture = Self {
            name: workflow.name(),
            nodes: Vec::new(),
            edges: Vec::new(),
            clusters: Vec::new(),
        };
        let mut cluster_of: BTreeMap<&str, usize> = BTreeMap::new();
        // A step comes after all it takes from, and so a workflow after the beginning of the one around.
        for step in workflow.steps().iter() {
            if let (Some(own), Work::Enter(_)) = (step.name.strip_suffix('/'), step.work()) {
                let within = step.within().map(|within| cluster_of[within]);
                cluster_of.insert(own, picture.clusters.len());
                let name = local(own).to_owned();
                picture.clusters.push(Cluster { name, within });
            }
        }
        let mut index_of = BTreeMap::new();
        for (index, step) in workflow.steps().iter().enumerate() {
            index_of.insert(&*step.name, index);
            let own = match step.work() {
                Work::Enter(_) => step.name.strip_suffix('/'),
                Work::Leave => Some(&*step.name),
                _ => step.within(),
            };
            let cluster = own.map(|own| cluster_of[own]);
            picture.nodes.push(Node::of(step, cluster));
        }
        for (to, step) in workflow.steps().iter().enumerate() {
            let required = step.required().iter().map(|from| (from, false));
            let optional = step.optionals().iter().map(|from| (from, true));
            for (from, is_optional) in required.chain(optional) {
                picture.edges.push(Edge {
                    from: index_of[&**from],
                    to,
                    is_optional,
                    condition: condition(step, from),
                });
            }
        }
        picture
    }

    /// The nodes directly in a cluster, or in none.
    fn nodes_in(&self, cluster: Option<usize>) -> impl Iterator<Item = (usize, &Node)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.cluster == cluster)
    }

    /// The clusters directly in another, or in none.
    fn clusters_in(&self, cluster: Option<usize>) -> impl Iterator<Item = (usize, &Cluster)> {
        let clusters = self.clusters.iter().enumerate();
        clusters.filter(move |(_, inside)| inside.within == cluster)
    }
}

impl Node {
    fn of(step: &Step, cluster: Option<usize>) -> Self {
        let (name, shape) = match step.work() {
            Work::Enter(_) => ("begin", Shape::Point),
            Work::Leave => ("end", Shape::Point),
            Work::Approval(_) => (local(&step.name), Shape::Decision),
            Work::Map(_) | Work::Repeat(_) => (local(&step.name), Shape::Calls),
            Work::Call => (local(&step.name), Shape::Call),
        };
        let agent = step.agent().filter(|agent| local(agent) != name);
        let agent = agent.map(|agent| format!("({})", local(agent)));
        let said = agent.into_iter().chain(join(step)).chain(work(step));
        let conditions = step.conditions().iter();
        let conditions =
            conditions.map(|c| format!("when {}{}", step.calls(c.step()), c.predicate()));
        Self {
            name: name.to_owned(),
            lines: said.flat_map(|text| lines(&text)).collect(),
            conditions: conditions.flat_map(|text| lines(&text)).collect(),
            shape,
            cluster,
            mark: None,
        }
    }
}

/// A name as its own workflow has it.
fn local(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, local)| local)
}

/// The lines of a text, without what would act on whoever shows them.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.replace(char::is_control, " "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// How many of its arrows a step needs, where that is not all.
fn join(step: &Step) -> Option<String> {
    let join = step.join_rule();
    (join != Join::All && *step.work() != Work::Leave).then(|| join.to_string())
}

/// What a step does, where that is not one call.
fn work(step: &Step) -> Option<String> {
    Some(match step.work() {
        Work::Call | Work::Enter(_) | Work::Leave => return None,
        Work::Map(map) => {
            let (from, at, calls) = (step.calls(map.step()), map.at(), map.concurrency());
            let until = map
                .repeat()
                .map(|repeat| format!(", each {}", until(repeat)));
            let until = until.unwrap_or_default();
            format!("each of {from}{at}, {calls} at once{until}")
        }
        Work::Repeat(repeat) => until(repeat),
        Work::Approval(approval) => format!("a person: {}", approval.prompt()),
    })
}

fn until(repeat: &Repeat) -> String {
    let until = repeat.predicate().to_string();
    format!("until {}, at most {} times", until.trim(), repeat.at_most())
}

/// What `step` asks of `from`, on one line.
fn condition(step: &Step, from: &str) -> Option<String> {
    let conditions = step.conditions().iter();
    let asked = conditions.filter(|asked| asked.step() == from);
    let asked: Vec<String> = asked.map(|asked| asked.predicate().to_string()).collect();
    let text = asked.join(" and ").replace(char::is_control, " ");
    (!asked.is_empty()).then(|| text.trim().to_owned())
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
