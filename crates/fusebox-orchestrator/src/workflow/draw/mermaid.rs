//! Mermaid's flow charts.

use std::fmt::Write as _;

use super::state::Tone;
use super::{Node, Picture, Shape};

pub(super) fn draw(picture: &Picture<'_>) -> String {
    let mut text = String::from("flowchart TD\n");
    draw_inside(picture, None, 1, &mut text);
    for edge in &picture.edges {
        let arrow = if edge.is_optional { "-.->" } else { "-->" };
        let condition = edge.condition.as_deref();
        let condition =
            condition.map_or_else(String::new, |text| format!("|\"{}\"|", escaped(text)));
        let _ = writeln!(text, "    s{} {arrow}{condition} s{}", edge.from, edge.to);
    }
    classes(picture, &mut text);
    text
}

/// Borders that repeat how the steps of a run stand.
fn classes(picture: &Picture<'_>, text: &mut String) {
    for tone in Tone::ALL {
        let nodes = picture.nodes.iter().enumerate();
        let own = nodes.filter(|(_, node)| node.mark.as_ref().is_some_and(|it| it.tone == tone));
        let own: Vec<String> = own.map(|(index, _)| format!("s{index}")).collect();
        if !own.is_empty() {
            let (class, colour) = (tone.class(), tone.colour());
            let _ = writeln!(
                text,
                "    classDef {class} stroke:{colour},stroke-width:2px"
            );
            let _ = writeln!(text, "    class {} {class}", own.join(","));
        }
    }
}

fn draw_inside(picture: &Picture<'_>, cluster: Option<usize>, depth: usize, text: &mut String) {
    let margin = "    ".repeat(depth);
    for (index, node) in picture.nodes_in(cluster) {
        let _ = writeln!(text, "{margin}s{index}{}", shape(node));
    }
    for (index, inside) in picture.clusters_in(cluster) {
        let _ = writeln!(
            text,
            "{margin}subgraph g{index} [\"{}\"]",
            escaped(&inside.name)
        );
        draw_inside(picture, Some(index), depth + 1, text);
        let _ = writeln!(text, "{margin}end");
    }
}

/// A box; a rhombus where a person decides, a pill where a workflow inside begins or ends.
fn shape(node: &Node) -> String {
    let mut label = escaped(&node.name);
    for line in &node.lines {
        let first = line.starts_with('(') && label == escaped(&node.name);
        let between = if first { " " } else { "<br/>" };
        let _ = write!(label, "{between}{}", escaped(line));
    }
    for line in node.mark.iter().flat_map(|mark| mark.lines()) {
        let _ = write!(label, "<br/>{}", escaped(line));
    }
    match node.shape {
        Shape::Decision => format!("{{\"{label}\"}}"),
        Shape::Point => format!("([\"{label}\"])"),
        Shape::Call | Shape::Calls => format!("[\"{label}\"]"),
    }
}

/// What would end or change a quoted text stands as an entity.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out += "#quot;",
            '<' => out += "#lt;",
            '>' => out += "#gt;",
            '&' => out += "#amp;",
            '#' | '|' | '`' | '\\' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
