//! An image of its own: no other program is needed to draw it.

use std::fmt::Write as _;

use super::layout::{Item, Layout, place};
use super::state::Mark;
use super::{Node, Picture, Shape};

const FONT: f64 = 12.0;
const LINE: f64 = 16.0;
const PADDING: f64 = 10.0;
/// Around a workflow inside, and around all.
const MARGIN: f64 = 20.0;
/// Of the points where a workflow inside begins and ends.
const POINT: f64 = 12.0;
/// The most a line may take, in widths of a letter.
const LONGEST: f64 = 36.0;

// Colours stand twice instead of in variables, which not every viewer of images knows.
const STYLE: &str = "\
.ground{fill:#f7f9fb}\
.box{fill:#ffffff;stroke:#9aa5b1}\
.ask{fill:#fff6e0;stroke:#c99a2e}\
.inside{fill:#eef2f6;stroke:#9aa5b1;stroke-dasharray:5 4}\
.point,.head{fill:#7b8794}\
.arrow{fill:none;stroke:#7b8794;stroke-width:1.3}\
.optional{stroke-dasharray:5 4}\
text{font-size:12px;font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#52606d}\
text.name{fill:#1f2933;font-weight:bold}\
.busy .box{stroke:#2b6cb0;stroke-width:2}\
.good .box{stroke:#2f855a;stroke-width:2}\
.worse .box,.worse .ask{stroke:#b7791f;stroke-width:2}\
.bad .box,.bad .ask{stroke:#c53030;stroke-width:2.5}\
.away .box,.away .ask{stroke:#6b46c1;stroke-width:2;stroke-dasharray:4 3}\
@media(prefers-color-scheme:dark){\
.ground{fill:#161b22}\
.box{fill:#27313d;stroke:#52606d}\
.ask{fill:#3a3220;stroke:#8a6d2f}\
.inside{fill:#1d242d;stroke:#52606d}\
text{fill:#9aa5b1}\
text.name{fill:#e4e7eb}\
.busy .box{stroke:#63b3ed}\
.good .box{stroke:#68d391}\
.worse .box,.worse .ask{stroke:#f6ad55}\
.bad .box,.bad .ask{stroke:#fc8181}\
.away .box,.away .ask{stroke:#b794f4}\
}";

pub(super) fn draw(picture: &Picture<'_>) -> String {
    let level = Level::of(picture, None);
    let (width, height) = (
        level.layout.width + 2.0 * MARGIN,
        level.layout.height + 2.0 * MARGIN,
    );
    let (width, height) = (width.ceil(), height.ceil());
    let mut text = String::new();
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
        escaped(picture.name)
    );
    text += "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n";
    let _ = writeln!(
        text,
        "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>"
    );
    level.draw((MARGIN, MARGIN), &mut text);
    text += "</svg>\n";
    text
}

/// A workflow, or one inside of another, with all its places.
struct Level<'a> {
    picture: &'a Picture<'a>,
    /// Nodes first, then workflows inside.
    nodes: Vec<usize>,
    inside: Vec<(usize, Level<'a>)>,
    items: Vec<Item>,
    layout: Layout,
    /// The edges of the picture that the routes are.
    edges: Vec<usize>,
}

impl<'a> Level<'a> {
    fn of(picture: &'a Picture<'a>, cluster: Option<usize>) -> Self {
        let nodes: Vec<usize> = picture.nodes_in(cluster).map(|(index, _)| index).collect();
        let inside: Vec<(usize, Self)> = picture
            .clusters_in(cluster)
            .map(|(index, _)| (index, Self::of(picture, Some(index))))
            .collect();
        let mut items: Vec<Item> = nodes
            .iter()
            .map(|node| size(&picture.nodes[*node]))
            .collect();
        items.extend(inside.iter().map(|(index, level)| level.outside(*index)));
        let place_of = |node: usize| {
            let own = nodes.iter().position(|own| *own == node);
            let within = || {
                let mut levels = inside.iter();
                let at = levels.position(|(_, level)| level.nodes.contains(&node))?;
                // Only what begins or ends a workflow inside has edges to the outside.
                (picture.nodes[node].shape == Shape::Point).then_some(nodes.len() + at)
            };
            own.or_else(within)
        };
        let mut edges = Vec::new();
        let mut ends = Vec::new();
        for (index, edge) in picture.edges.iter().enumerate() {
            if let (Some(from), Some(to)) = (place_of(edge.from), place_of(edge.to))
                && from != to
            {
                edges.push(index);
                ends.push((from, to));
            }
        }
        // What ends a workflow inside is its last node.
        let last = cluster.and_then(|_| nodes.len().checked_sub(1));
        let layout = place(&items, &ends, last);
        Self {
            picture,
            nodes,
            inside,
            items,
            layout,
            edges,
        }
    }

    /// As a box of the level around it.
    fn outside(&self, cluster: usize) -> Item {
        let lines = self.title(cluster);
        let widest = lines.iter().map(|line| breadth(line)).fold(0.0, f64::max);
        let above = MARGIN + LINE * lines.len() as f64;
        let port = |node: usize| above + self.layout.corners[node].1 + POINT / 2.0;
        Item {
            width: (self.layout.width + 2.0 * MARGIN).max(widest + 2.0 * PADDING),
            height: self.layout.height + above + MARGIN,
            port: (port(0), port(self.nodes.len() - 1)),
        }
    }

    /// Its name, and what must hold for it to begin.
    fn title(&self, cluster: usize) -> Vec<String> {
        let begin = &self.picture.nodes[self.nodes[0]];
        let name = &self.picture.clusters[cluster].name;
        let lines = [name]
            .into_iter()
            .chain(&begin.lines)
            .chain(&begin.conditions);
        lines.cloned().collect()
    }

    fn draw(&self, (left, top): (f64, f64), text: &mut String) {
        let _ = writeln!(text, "<g transform=\"translate({left:.1} {top:.1})\">");
        for (place, (cluster, level)) in self.inside.iter().enumerate() {
            let place = self.nodes.len() + place;
            level.draw_inside(
                *cluster,
                self.layout.corners[place],
                self.items[place],
                text,
            );
        }
        for (edge, route) in self.edges.iter().zip(&self.layout.routes) {
            let optional = if self.picture.edges[*edge].is_optional {
                " optional"
            } else {
                ""
            };
            let path = path(route);
            let _ = writeln!(
                text,
                "<path class=\"arrow{optional}\" marker-end=\"url(#head)\" d=\"{path}\"/>"
            );
        }
        for (place, node) in self.nodes.iter().enumerate() {
            draw_node(
                &self.picture.nodes[*node],
                self.layout.corners[place],
                self.items[place],
                text,
            );
        }
        text.push_str("</g>\n");
    }

    fn draw_inside(&self, cluster: usize, (left, top): (f64, f64), item: Item, text: &mut String) {
        let lines = self.title(cluster);
        let _ = writeln!(text, "<g transform=\"translate({left:.1} {top:.1})\">");
        let (width, height) = (item.width, item.height);
        let _ = writeln!(
            text,
            "<rect class=\"inside\" rx=\"10\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
        draw_lines(&lines, (PADDING, PADDING + LINE * 0.5), text);
        let inner = (MARGIN, MARGIN + LINE * lines.len() as f64);
        // From the border to where it begins, and from where it ends to the border.
        let (first, last) = (
            inner.0 + self.layout.corners[0].0,
            inner.0 + self.layout.corners[self.nodes.len() - 1].0,
        );
        let (coming, going) = item.port;
        let _ = writeln!(
            text,
            "<path class=\"arrow\" d=\"M0 {coming:.1}H{first:.1}M{:.1} {going:.1}H{width:.1}\"/>",
            last + POINT
        );
        self.draw(inner, text);
        text.push_str("</g>\n");
    }
}

fn texts(node: &Node) -> Vec<String> {
    let lines = [&node.name].into_iter().chain(&node.lines);
    let marked = node.mark.iter().flat_map(|mark| mark.lines());
    lines
        .chain(&node.conditions)
        .chain(marked)
        .cloned()
        .collect()
}

fn size(node: &Node) -> Item {
    if node.shape == Shape::Point {
        let port = (POINT / 2.0, POINT / 2.0);
        return Item {
            width: POINT,
            height: POINT,
            port,
        };
    }
    let lines = texts(node);
    let widest = lines.iter().map(|line| breadth(line)).fold(0.0, f64::max);
    let height = lines.len() as f64 * LINE + 2.0 * PADDING - 4.0;
    // A person's box has a point on each side.
    let sides = if node.shape == Shape::Decision {
        24.0
    } else {
        0.0
    };
    let port = (height / 2.0, height / 2.0);
    Item {
        width: (widest + 2.0 * PADDING).max(72.0) + sides,
        height,
        port,
    }
}

fn draw_node(node: &Node, (left, top): (f64, f64), item: Item, text: &mut String) {
    let (width, height) = (item.width, item.height);
    let class = node.mark.as_ref().map_or_else(String::new, |mark| {
        format!(" class=\"{}\"", mark.tone.class())
    });
    let _ = write!(
        text,
        "<g{class} transform=\"translate({left:.1} {top:.1})\">"
    );
    let why = node.mark.as_ref().and_then(|mark| whole(node, mark));
    if let Some(why) = why.filter(|_| node.shape != Shape::Point) {
        let _ = write!(text, "<title>{}</title>", escaped(&why));
    }
    let mut indent = PADDING;
    match node.shape {
        Shape::Point => {
            let radius = POINT / 2.0;
            let name = escaped(&node.name);
            let _ = writeln!(
                text,
                "<circle class=\"point\" cx=\"{radius}\" cy=\"{radius}\" r=\"{radius}\"><title>{name}</title></circle></g>"
            );
            return;
        }
        Shape::Decision => {
            indent += 12.0;
            let (middle, right) = (height / 2.0, width - 12.0);
            let _ = write!(
                text,
                "<path class=\"ask\" d=\"M0 {middle:.1}L12 0H{right:.1}L{width:.1} {middle:.1}L{right:.1} {height:.1}H12z\"/>"
            );
        }
        Shape::Calls => {
            let _ = write!(
                text,
                "<rect class=\"box\" rx=\"6\" x=\"4\" y=\"4\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
            let _ = write!(
                text,
                "<rect class=\"box\" rx=\"6\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
        }
        Shape::Call => {
            let _ = write!(
                text,
                "<rect class=\"box\" rx=\"6\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            );
        }
    }
    draw_lines(&texts(node), (indent, PADDING - 2.0 + LINE * 0.5), text);
    text.push_str("</g>\n");
}

/// How it stands and why, where that was said.
fn whole(node: &Node, mark: &Mark) -> Option<String> {
    let why = mark.why.as_ref()?;
    Some(format!("{}: {}: {why}", node.name, mark.line))
}

/// Lines of text, the first as a name, from the middle of the first on.
fn draw_lines(lines: &[String], (left, middle): (f64, f64), text: &mut String) {
    for (place, line) in lines.iter().enumerate() {
        let class = if place == 0 { " class=\"name\"" } else { "" };
        let y = middle + LINE * place as f64;
        let shown = shortened(line);
        let whole = if shown == *line {
            String::new()
        } else {
            format!("<title>{}</title>", escaped(line))
        };
        let _ = write!(
            text,
            "<text{class} x=\"{left:.1}\" y=\"{y:.1}\" dominant-baseline=\"central\">{}{whole}</text>",
            escaped(&shown)
        );
    }
}

/// A route as a path: bent in the gaps, level at both ends of each bend.
fn path(route: &[[(f64, f64); 2]]) -> String {
    let mut path = String::new();
    for (place, [from, to]) in route.iter().enumerate() {
        if place == 0 {
            let _ = write!(path, "M{:.1} {:.1}", from.0, from.1);
        } else {
            let before = route[place - 1][1];
            let half = (before.0 + from.0) / 2.0;
            let _ = write!(
                path,
                "C{half:.1} {:.1} {half:.1} {:.1} {:.1} {:.1}",
                before.1, from.1, from.0, from.1
            );
        }
        let _ = write!(path, "L{:.1} {:.1}", to.0, to.1);
    }
    path
}

/// How much room a text takes at most. A letter of a monospaced font is 0.6 wide; of those that are not
/// Latin some are twice that, some taken from another font.
fn breadth(text: &str) -> f64 {
    letters(&shortened(text)) * FONT * 0.62
}

fn letters(text: &str) -> f64 {
    text.chars().map(letter).sum()
}

fn letter(c: char) -> f64 {
    if c.is_ascii() { 1.0 } else { 2.0 }
}

fn shortened(text: &str) -> String {
    if letters(text) <= LONGEST {
        return text.to_owned();
    }
    let mut room = LONGEST - 2.0;
    let fits = |c: &char| {
        room -= letter(*c);
        room >= 0.0
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// A text within XML, without the characters that it forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}
