//! The same black-box questions to our breaker and to published ones: `cargo run --release --bin behaviour`.
//!
//! Each question sees a breaker only through "run this operation": it ran, or it was refused. A crate is asked in the
//! configuration that fits the question best (`peers`), and `has none` stands where it has no such thing, which does
//! not pass. Ours goes by a clock that the questions move; the waits of the others are real. A row's second column
//! says what passes, a cell what was seen. Exits with 1 if ours fails a row.

mod peer;
mod peers;
mod questions;

use std::process::ExitCode;

use peer::Candidate;

/// Of one crate, over all questions.
#[derive(Default)]
struct Score {
    passed: usize,
    absent: usize,
}

impl Score {
    /// The cell of one question.
    fn ask(&mut self, question: &questions::Question, candidate: &dyn Candidate) -> String {
        let Some(seen) = (question.ask)(candidate) else {
            self.absent += 1;
            return "has none".into();
        };
        self.passed += usize::from(seen.pass);
        format!("{} {}", if seen.pass { "ok  " } else { "FAIL" }, seen.text)
    }
}

fn print_row(title: &str, passes: &str, cells: impl IntoIterator<Item = String>) {
    print!("| {title:<66} | {passes:<20} |");
    for cell in cells {
        print!(" {cell:<24} |");
    }
    println!();
}

fn main() -> ExitCode {
    let candidates = peers::all();
    let mut scores = [(); 5].map(|()| Score::default());
    let names = candidates.iter().map(|candidate| candidate.name().into());
    print_row("", "passes", names);
    let rule = candidates.iter().map(|_| "---".into());
    print_row("---", "---", rule);
    let mut asked = 0;
    for question in questions::all() {
        asked += 1;
        let cells = candidates.iter().zip(&mut scores);
        let cells = cells.map(|(candidate, score)| score.ask(question, candidate.as_ref()));
        print_row(question.title, question.passes, cells);
    }
    let passed = scores.iter().map(|score| format!("{}", score.passed));
    print_row("rows passed", &format!("{asked}"), passed);
    let absent = scores.iter().map(|score| format!("{}", score.absent));
    print_row("rows with \"has none\"", "", absent);
    if scores[0].passed == asked {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
