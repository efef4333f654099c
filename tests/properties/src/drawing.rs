//! Drawings: what is printed reads back as the graph that was drawn.
//!
//! The readers below know as much of each language as a real one has to: where a text ends, what stands
//! for another character, what is inside of what.

use std::collections::BTreeMap;

use fusebox_orchestrator::{Work, Workflow};

/// A graph as it was read: labels by number, edges, and how many workflows are inside.
#[derive(Debug, Default, PartialEq)]
struct Drawn {
    labels: BTreeMap<usize, String>,
    /// From, to, whether optional, what is asked.
    edges: Vec<(usize, usize, bool, String)>,
    inside: usize,
}

pub(crate) fn check(workflow: &Workflow) {
    let mermaid = read_mermaid(&workflow.to_mermaid());
    let dot = read_dot(&workflow.to_dot(), workflow.name());
    assert_eq!(
        mermaid,
        dot,
        "{}\n{}",
        workflow.to_mermaid(),
        workflow.to_dot()
    );
    check_graph(&dot, workflow);
    check_svg(&workflow.to_svg());
}

fn check_graph(drawn: &Drawn, workflow: &Workflow) {
    let steps = workflow.steps();
    let number = |name: &String| steps.iter().position(|step| step.name() == name);
    let mut edges = Vec::new();
    for (to, step) in steps.iter().enumerate() {
        let required = step.required().iter().map(|from| (from, false));
        let all = required.chain(step.optionals().iter().map(|from| (from, true)));
        edges.extend(all.map(|(from, optional)| (number(from).expect("a step"), to, optional)));
        let label = &drawn.labels[&to];
        let local = step.name().rsplit('/').next().unwrap_or_default();
        match step.work() {
            Work::Enter(_) => assert!(label.starts_with("begin"), "{label}"),
            Work::Leave => assert_eq!(label, "end"),
            _ => assert!(label.starts_with(local), "{label}"),
        }
        if let Work::Approval(approval) = step.work() {
            let words = approval
                .prompt()
                .split(|c: char| c.is_whitespace() || c.is_control());
            words.for_each(|word| assert!(label.contains(word), "{word} is not in {label}"));
        }
    }
    assert_eq!(drawn.labels.len(), steps.len());
    let found = drawn
        .edges
        .iter()
        .map(|(from, to, optional, _)| (*from, *to, *optional));
    assert!(found.eq(edges), "{drawn:?}");
    let enters = steps
        .iter()
        .filter(|step| matches!(step.work(), Work::Enter(_)));
    assert_eq!(drawn.inside, enters.count());
    for (from, to, _, asked) in &drawn.edges {
        let conditions = steps[*to].conditions().iter();
        let asks = conditions
            .filter(|c| c.step() == steps[*from].name())
            .count();
        assert_eq!(asks == 0, asked.is_empty(), "{asked}");
    }
}

/// `s1` or `g1` at the beginning of a text: the number, and what follows.
fn number(text: &str) -> (usize, &str) {
    let digits = text[1..].find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text[1..].split_at(digits.unwrap_or(text.len() - 1));
    (
        number
            .parse()
            .unwrap_or_else(|_| panic!("a number: {text}")),
        rest,
    )
}

fn read_mermaid(text: &str) -> Drawn {
    let mut drawn = Drawn::default();
    let mut depth = 0;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("flowchart TD"));
    for line in lines {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("subgraph ") {
            let (_, rest) = number(rest);
            let title = rest
                .strip_prefix(" [\"")
                .and_then(|rest| rest.strip_suffix("\"]"));
            assert!(title.is_some_and(|title| !title.contains('"')), "{line}");
            (drawn.inside, depth) = (drawn.inside + 1, depth + 1);
        } else if line == "end" {
            depth -= 1;
        } else {
            mermaid_statement(line, &mut drawn);
        }
    }
    assert_eq!(depth, 0, "{text}");
    drawn
}

fn mermaid_statement(line: &str, drawn: &mut Drawn) {
    let (first, rest) = number(line);
    let Some(rest) = rest.strip_prefix(' ') else {
        let around = [("[\"", "\"]"), ("{\"", "\"}"), ("([\"", "\"])")];
        let label = around
            .iter()
            .find_map(|(begin, end)| rest.strip_prefix(begin)?.strip_suffix(end));
        let label = label.unwrap_or_else(|| panic!("a node: {line}"));
        assert!(drawn.labels.insert(first, mermaid_text(label)).is_none());
        return;
    };
    let (optional, rest) = match rest.strip_prefix("-.->") {
        Some(rest) => (true, rest),
        None => (
            false,
            rest.strip_prefix("-->")
                .unwrap_or_else(|| panic!("an arrow: {line}")),
        ),
    };
    let (asked, rest) = match rest.strip_prefix("|\"") {
        Some(rest) => rest
            .split_once("\"| ")
            .unwrap_or_else(|| panic!("a label: {line}")),
        None => ("", rest.trim_start()),
    };
    let (second, rest) = number(rest);
    assert_eq!(rest, "", "{line}");
    drawn
        .edges
        .push((first, second, optional, mermaid_text(asked)));
}

/// Entities as they are shown, and line breaks as spaces.
fn mermaid_text(text: &str) -> String {
    let text = text.replace("<br/>", " ");
    assert!(!text.contains(['"', '<', '>', '`', '|']), "{text}");
    let mut parts = text.split('#');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part
            .split_once(';')
            .unwrap_or_else(|| panic!("an entity: {text}"));
        shown.push(match entity {
            "quot" => '"',
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            code => code
                .parse()
                .ok()
                .and_then(char::from_u32)
                .unwrap_or_else(|| panic!("{entity}")),
        });
        shown += rest;
    }
    shown
}

/// Words and quoted texts of Graphviz's language; a text begins with a quote here too.
fn dot_tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut token = String::from(c);
        if c == '"' {
            loop {
                match chars
                    .next()
                    .unwrap_or_else(|| panic!("a text without end: {text}"))
                {
                    '"' => break,
                    '\\' => match chars.next() {
                        Some('n') => token.push(' '),
                        Some(c @ ('\\' | '"')) => token.push(c),
                        other => panic!("an escape: {other:?} in {text}"),
                    },
                    c => token.push(c),
                }
            }
            token = token.replace("&amp;", "&");
        } else if c.is_alphanumeric() {
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                token.push(c);
            }
        }
        tokens.push(token);
    }
    tokens
}

fn read_dot(text: &str, name: &str) -> Drawn {
    let tokens = dot_tokens(text);
    let plain: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    assert_eq!(
        tokens[..3],
        ["digraph".to_owned(), format!("\"{}", plain), "{".to_owned()]
    );
    let mut drawn = Drawn::default();
    let mut depth = 1;
    let is_step = |token: &str| token.starts_with('s') && token[1..].parse::<usize>().is_ok();
    let mut at = 3;
    while at < tokens.len() {
        match &*tokens[at] {
            "}" => depth -= 1,
            "{" => depth += 1,
            "subgraph" => drawn.inside += 1,
            step if is_step(step) => {
                let end = tokens[at..]
                    .iter()
                    .position(|token| token == ";")
                    .expect("an end");
                dot_statement(&tokens[at..at + end], &mut drawn);
                at += end;
            }
            _ => {}
        }
        at += 1;
    }
    assert_eq!(depth, 0, "{text}");
    drawn
}

fn dot_statement(tokens: &[String], drawn: &mut Drawn) {
    let (first, _) = number(&tokens[0]);
    let value = |name: &str| {
        let at = tokens.iter().position(|token| token == name)?;
        tokens
            .get(at + 2)
            .map(|text| text.trim_start_matches('"').to_owned())
    };
    let label = tokens.iter().position(|token| token == "label");
    let label = label
        .map(|at| tokens[at + 2][1..].to_owned())
        .unwrap_or_default();
    if tokens.get(1).is_some_and(|token| token == "-") {
        let (second, _) = number(&tokens[3]);
        let optional = value("style").is_some_and(|style| style == "dashed");
        drawn.edges.push((first, second, optional, label));
    } else {
        assert!(drawn.labels.insert(first, label).is_none());
    }
}

/// Every element ends, every entity is one of XML's own, and no character is forbidden.
fn check_svg(text: &str) {
    assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    let forbidden = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}');
    assert!(!text.contains(forbidden));
    assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    let mut open = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        check_entities(before);
        assert!(
            !before.contains('>') || open.last() == Some(&"style"),
            "{before}"
        );
        let (tag, after) = after.split_once('>').expect("a tag ends");
        check_entities(tag);
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{text}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap_or_default());
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
}

fn check_entities(text: &str) {
    for part in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;"];
        assert!(
            known.iter().any(|entity| part.starts_with(entity)),
            "{part}"
        );
    }
}
