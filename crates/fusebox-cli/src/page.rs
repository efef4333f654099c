//! Pages that need nothing else, to be kept, sent and printed: what they have in common.
//!
//! They have no scripts and ask nobody for anything. Whatever an agent, a person or a file has said is escaped.

mod html;

use std::path::Path;

use anyhow::Context as _;

pub(crate) use self::html::{escaped, row};
use crate::failure::Failure;
use crate::output;

const STYLE: &str = include_str!("page/style.css");
/// Nothing is fetched, whatever the page holds.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The end of a page.
pub(crate) const END: &str = "</body>\n</html>\n";

/// The beginning of a page, up to what it shows. `style` is what this kind of page has of its own.
pub(crate) fn begin(title: &str, style: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n"
    )
}

/// Writes a page to a file.
pub(crate) fn write(page: &str, path: &Path) -> Result<(), Failure> {
    let written = std::fs::write(path, page).with_context(|| {
        let path = path.display();
        format!("{path} could not be written; give another file behind --html")
    });
    written.map_err(Failure::environment)
}

/// Says where a page was written.
pub(crate) fn tell(path: &Path) {
    output::say(&format!("page: {}", path.display()));
}
