//! What an agent may cost.

use std::time::Duration;

use fusebox_policy::Limits;

use super::diagnostic::{FileError, Source};
use super::raw::RawAgent;

const HELP: &str = "such as budget = { window = \"1m\", tokens = 50000, total_dollars = 20 }";

/// Dollars as millionths of one; `None` if it is no number from 0 to a million.
pub(super) fn micro_dollars(dollars: f64) -> Option<u64> {
    const MILLION: f64 = 1e6;
    let is_amount = (0.0..=MILLION).contains(&dollars);
    is_amount.then(|| (dollars * MILLION).round() as u64)
}

pub(super) fn limits(source: &Source, raw: &RawAgent) -> Result<Option<Limits>, FileError> {
    let Some(given) = &raw.budget else {
        return Ok(None);
    };
    let budget = given.get_ref();
    let wrong = |message: &str| Err(source.error(given.span(), message, HELP));
    let money = [budget.dollars, budget.total_dollars].map(|amount| amount.map(micro_dollars));
    if money.contains(&Some(None)) {
        return wrong("an amount of money is a number of dollars from 0 to a million");
    }
    let [dollars, total_dollars] = money.map(Option::flatten);
    let is_windowed = budget.tokens.is_some() || dollars.is_some();
    if budget.window.is_some() && !is_windowed {
        return wrong("the window of the budget limits nothing");
    }
    if !is_windowed && budget.total_tokens.is_none() && total_dollars.is_none() {
        return wrong("the budget limits nothing");
    }
    let mut limits = Limits::new();
    if let Some(window) = budget.window {
        if window.0 == Duration::ZERO {
            return wrong("the window of the budget has no length");
        }
        limits = limits.with_window(window.0);
    }
    if let Some(tokens) = budget.tokens {
        limits = limits.with_tokens_per_window(tokens);
    }
    if let Some(dollars) = dollars {
        limits = limits.with_micro_dollars_per_window(dollars);
    }
    if let Some(tokens) = budget.total_tokens {
        limits = limits.with_total_tokens(tokens);
    }
    if let Some(dollars) = total_dollars {
        limits = limits.with_total_micro_dollars(dollars);
    }
    Ok(Some(limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::WorkflowFile;

    fn read(budget: &str) -> Result<Option<Limits>, String> {
        let text = format!(
            "[workflow]\nname = \"w\"\n[agents.a]\nkind = \"command\"\ncommand = [\"true\"]\nbudget = {budget}\n[[step]]\nname = \"a\"\n"
        );
        let file = WorkflowFile::parse("f.toml", &text);
        file.map(|file| file.agents["a"].resilience.budget)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn amounts_and_their_window_are_read() {
        let all =
            "{ window = \"1h\", tokens = 7, dollars = 0.5, total_tokens = 8, total_dollars = 2 }";
        let expected = Limits::new()
            .with_window(Duration::from_secs(3600))
            .with_tokens_per_window(7)
            .with_micro_dollars_per_window(500_000)
            .with_total_tokens(8)
            .with_total_micro_dollars(2_000_000);
        assert_eq!(read(all), Ok(Some(expected)));
    }

    #[test]
    fn a_budget_that_makes_no_sense_is_pointed_at() {
        for (budget, says) in [
            ("{}", "limits nothing"),
            (
                "{ window = \"1m\", total_tokens = 1 }",
                "the window of the budget limits nothing",
            ),
            ("{ window = \"0s\", tokens = 1 }", "no length"),
            ("{ dollars = -1.0 }", "from 0 to a million"),
            ("{ total_dollars = nan }", "from 0 to a million"),
        ] {
            let error = read(budget).expect_err(says);
            assert!(
                error.starts_with("f.toml:6:10: ") && error.contains(says),
                "{error}"
            );
        }
    }
}
