//! The language of Graphviz.

use std::fmt::Write as _;

use super::{Picture, Shape};

pub(super) fn draw(picture: &Picture<'_>) -> String {
    let mut text = format!("digraph \"{}\" {{\n", escaped(picture.name));
    text += "    node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n";
    text += "    edge [fontname=\"sans-serif\", fontsize=10];\n";
    draw_inside(picture, None, 1, &mut text);
    for edge in &picture.edges {
        let mut looks = Vec::new();
        if edge.is_optional {
            looks.push("style=dashed".to_owned());
        }
        looks.extend(
            edge.condition
                .as_deref()
                .map(|text| format!("label=\"{}\"", escaped(text))),
        );
        let looks = match looks.as_slice() {
            [] => String::new(),
            looks => format!(" [{}]", looks.join(", ")),
        };
        let _ = writeln!(text, "    s{} -> s{}{looks};", edge.from, edge.to);
    }
    text += "}\n";
    text
}

fn draw_inside(picture: &Picture<'_>, cluster: Option<usize>, depth: usize, text: &mut String) {
    let margin = "    ".repeat(depth);
    for (index, node) in picture.nodes_in(cluster) {
        let shape = match node.shape {
            Shape::Call => "",
            Shape::Calls => ", peripheries=2",
            Shape::Decision => ", shape=diamond, style=solid",
            Shape::Point => ", shape=oval",
        };
        let marked = node.mark.iter().flat_map(|mark| mark.lines());
        let lines = [&node.name].into_iter().chain(&node.lines).chain(marked);
        let border = node.mark.as_ref().map_or_else(String::new, |mark| {
            format!(", color=\"{}\", penwidth=2", mark.tone.colour())
        });
        let label: Vec<String> = lines.map(|line| escaped(line)).collect();
        let label = label.join("\\n");
        let _ = writeln!(text, "{margin}s{index} [label=\"{label}\"{shape}{border}];");
    }
    for (index, inside) in picture.clusters_in(cluster) {
        let _ = writeln!(text, "{margin}subgraph cluster_{index} {{");
        let _ = writeln!(
            text,
            "{margin}    label=\"{}\"; style=\"rounded,dashed\";",
            escaped(&inside.name)
        );
        draw_inside(picture, Some(index), depth + 1, text);
        let _ = writeln!(text, "{margin}}}");
    }
}

/// A text within quotes. Graphviz reads entities, and a backslash as the beginning of something.
fn escaped(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    let rules = [('\\', "\\\\"), ('"', "\\\""), ('&', "&amp;")];
    rules
        .into_iter()
        .fold(text, |text, (plain, safe)| text.replace(plain, safe))
}
