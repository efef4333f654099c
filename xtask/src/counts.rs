//! Counts tests from the summaries that the test runners print.

use std::ops::Add;

/// How many tests went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// Finds summary lines in a stream of bytes.
#[derive(Default)]
pub(crate) struct Counter {
    line: Vec<u8>,
    counts: Counts,
}

impl Counter {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte => self.line.push(*byte),
            }
        }
    }

    pub(crate) fn finish(mut self) -> Counts {
        self.end_line();
        self.counts
    }

    fn end_line(&mut self) {
        let line = plain(&String::from_utf8_lossy(&self.line));
        self.counts = self.counts + read(&line).unwrap_or_default();
        self.line.clear();
    }
}

/// The counts of one summary line, of cargo's own runner or of nextest; `None` for other lines.
fn read(line: &str) -> Option<Counts> {
    // The runners quote the output of a failed test indented, summaries of its own included.
    let figures = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => {
            let summary = line.trim_start().strip_prefix("Summary [")?;
            summary.split_once(" run: ")?.1
        }
    };
    let mut counts = Counts::default();
    for figure in without_brackets(figures).split([',', ';']) {
        let Some((number, word)) = figure.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match word.trim() {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" => counts.failed += number,
            "skipped" | "ignored" | "filtered out" => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

/// Without colour sequences.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            depth += i32::from(*c == '(');
            let keep = depth == 0;
            depth -= i32::from(*c == ')');
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> (u64, u64, u64) {
        let mut counter = Counter::default();
        counter.push(text.as_bytes());
        let counts = counter.finish();
        (counts.passed, counts.failed, counts.skipped)
    }

    #[test]
    fn cargo_test_summaries_add_up() {
        let text = "running 2 tests\n\
             test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n\
             noise\n\
             test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(count(text), (7, 2, 4));
    }

    #[test]
    fn nextest_summaries_are_read_with_their_remarks_and_colours() {
        let text = "     Summary [   0.363s] 20 tests run: 15 passed (1 slow, 2 leaky), 3 failed, 2 timed out, 4 skipped\n";
        assert_eq!(count(text), (15, 5, 4));
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped";
        assert_eq!(count(coloured), (1, 0, 0));
    }

    #[test]
    fn a_summary_quoted_by_a_runner_is_not_counted_twice() {
        let text = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured\n\
             \u{20}    Summary [ 0.1s] 1 test run: 0 passed, 1 failed, 0 skipped\n";
        assert_eq!(count(text), (0, 1, 0));
    }

    #[test]
    fn a_summary_in_two_pieces_is_one() {
        let mut counter = Counter::default();
        counter.push(b"test result: ok. 7 pas");
        counter.push(b"sed; 0 failed\n");
        assert_eq!(counter.finish().passed, 7);
    }
}
