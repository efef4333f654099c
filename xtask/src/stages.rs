//! The steps of a verb: run, timed, and summed up in a table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::counts::Counts;

struct Row {
    name: String,
    passed: bool,
    took: Duration,
    /// Tests; steps that run none have zero of each.
    counts: Counts,
}

/// What ran so far.
#[derive(Default)]
pub(crate) struct Stages {
    rows: Vec<Row>,
}

impl Stages {
    /// Runs one step without tests; true when it passed.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> bool {
        self.tests(name, || step().map(|()| (Counts::default(), true)))
    }

    /// Runs one step that counts tests; true when it passed. The step says how many tests went
    /// which way and whether its runner was content.
    pub(crate) fn tests(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<(Counts, bool)>,
    ) -> bool {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let (counts, passed) = step().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            (Counts::default(), false)
        });
        let passed = passed && counts.failed == 0;
        self.rows.push(Row {
            name: name.to_owned(),
            passed,
            took: began.elapsed(),
            counts,
        });
        passed
    }

    /// Prints the table, closed by the number of tests.
    ///
    /// # Errors
    /// A step failed, or no test ran at all.
    pub(crate) fn finish_tests(&self) -> Result<()> {
        let mut total = self
            .rows
            .iter()
            .fold(Counts::default(), |sum, row| sum + row.counts);
        // A step that broke before it ran a test is a failure too, and has to show as one.
        let broken = self
            .rows
            .iter()
            .filter(|row| !row.passed && row.counts.failed == 0);
        total.failed += u64::try_from(broken.count()).unwrap_or(u64::MAX);
        self.print(total);
        if total.passed + total.failed == 0 {
            bail!("no test ran; is the filter right?");
        }
        self.verdict()
    }

    /// Prints the table, closed by the number of steps.
    ///
    /// # Errors
    /// A step failed.
    pub(crate) fn finish_steps(&self, not_run: usize) -> Result<()> {
        let passed = self.rows.iter().filter(|row| row.passed).count();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.print(Counts {
            passed: count(passed),
            failed: count(self.rows.len() - passed),
            skipped: count(not_run),
        });
        self.verdict()
    }

    fn print(&self, total: Counts) {
        println!("\n{}", self.table());
        println!(
            "{} passed, {} failed, {} skipped",
            total.passed, total.failed, total.skipped
        );
    }

    fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0)
            .max(5);
        let mut table = format!("{:<width$}  result  {:>8}\n", "stage", "time");
        for Row {
            name,
            passed,
            took,
            counts,
        } in &self.rows
        {
            let result = if *passed { "ok" } else { "FAILED" };
            let tests = match counts {
                Counts {
                    passed: 0,
                    failed: 0,
                    skipped: 0,
                } => String::new(),
                Counts {
                    passed,
                    failed,
                    skipped,
                } => {
                    format!("  {passed} passed, {failed} failed, {skipped} skipped")
                }
            };
            let took = format!("{:.1} s", took.as_secs_f64());
            table += &format!("{name:<width$}  {result:<6}  {took:>8}{tests}\n");
        }
        table
    }

    fn verdict(&self) -> Result<()> {
        let failed: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| !row.passed)
            .map(|row| row.name.as_str())
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Counts = Counts {
        passed: 3,
        failed: 0,
        skipped: 0,
    };

    #[test]
    fn a_step_that_breaks_before_its_first_test_fails_the_whole() {
        let mut stages = Stages::default();
        assert!(stages.tests("good", || Ok((THREE, true))));
        assert!(stages.finish_tests().is_ok());
        assert!(!stages.tests("does not compile", || bail!("no")));
        assert!(
            stages
                .finish_tests()
                .unwrap_err()
                .to_string()
                .contains("does not compile")
        );
        assert!(!stages.tests("runner is not content", || Ok((THREE, false))));
    }

    #[test]
    fn no_test_at_all_is_no_success() {
        let mut stages = Stages::default();
        stages.step("build", || Ok(()));
        assert!(stages.finish_tests().is_err());
        assert!(stages.finish_steps(0).is_ok());
    }
}
