//! Texts of others within a page.

/// A text within HTML or SVG, between tags or in a quoted attribute. What acts on its reader without being seen, such
/// as a turn of the direction of writing, is shown as a replacement character.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// A row of a table.
pub(crate) fn row(cells: &[String], page: &mut String) {
    page.push_str("<tr>");
    for cell in cells {
        page.push_str("<td>");
        page.push_str(&escaped(cell));
        page.push_str("</td>");
    }
    page.push_str("</tr>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_tag_or_leaves_its_attribute() {
        let hostile = "<script>alert('1')</script>\" onload=\"x&lt;\u{1b}[2J\u{202e}\0";
        let safe = escaped(hostile);
        assert!(
            !safe.contains(['<', '>', '"', '\'', '\u{1b}', '\u{202e}', '\0']),
            "{safe}"
        );
        assert!(
            safe.contains("&lt;script&gt;") && safe.contains("x&amp;lt;"),
            "{safe}"
        );
        let mut page = String::new();
        row(&[hostile.to_owned()], &mut page);
        assert_eq!(page, format!("<tr><td>{safe}</td></tr>\n"));
    }
}
