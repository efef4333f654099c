//! Tables that tests write row by row, for `cargo xtask chaos` to put together.

use std::path::PathBuf;
use std::{env, fs};

/// The variable that names the directory rows are written to. Without it they are only printed.
pub const ENV_DIR: &str = "FUSEBOX_CHAOS_ROWS";

/// One table.
#[derive(Debug)]
pub struct Section {
    /// Its directory, which also says where it stands among the others.
    pub name: &'static str,
    /// The line above it.
    pub title: &'static str,
    /// What to know to read it.
    pub text: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
}

impl Section {
    /// Adds a row. Rows are put together in order of `place`; one written again replaces itself.
    ///
    /// # Panics
    /// If the directory cannot be written.
    #[expect(clippy::print_stdout, reason = "a table for whoever runs the test")]
    pub fn row(&self, place: &str, cells: &[String]) {
        let row = line(cells);
        println!("{}: {row}", self.title);
        let Some(dir) = env::var_os(ENV_DIR).filter(|dir| !dir.is_empty()) else {
            return;
        };
        let dir = PathBuf::from(dir).join(self.name);
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        };
        fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        write("head", self.head());
        write(&format!("row {place}"), row + "\n");
    }

    fn head(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        let rule = "|---".repeat(columns.len()) + "|";
        let Self { title, text, .. } = self;
        format!("## {title}\n\n{text}\n\n{}\n{rule}\n", line(&columns))
    }
}

fn line(cells: &[String]) -> String {
    cells.iter().fold("|".to_owned(), |line, cell| {
        format!("{line} {} |", cell.replace('|', "/").replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_its_row() {
        assert_eq!(
            line(&["a|b".to_owned(), "c\nd".to_owned()]),
            "| a/b | c d |"
        );
    }
}
