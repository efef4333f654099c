//! What an agent, a run or a tenant may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use fusebox_policy::Limits;

use super::diagnostic::{FileError, Source};
use super::raw::{RawAgent, RawAllowance, RawFile};
use crate::spending::Allowance;
use crate::tenant::TenantBudget;

const HELP: &str = "such as budget = { window = \"1m\", tokens = 50000, total_dollars = 20 }";

const ALLOWANCE_HELP: &str = "such as budget = { tokens = 50000, dollars = 2.5 }";

/// What a run may cost, as the file or `--budget` says it.
///
/// # Errors
/// What is wrong with the amounts.
pub(super) fn allowance(
    tokens: Option<u64>,
    dollars: Option<f64>,
) -> Result<Allowance, &'static str> {
    if tokens.is_none() && dollars.is_none() {
        return Err("the budget limits nothing");
    }
    let mut allowance = Allowance::new();
    allowance.tokens = tokens;
    if let Some(dollars) = dollars {
        let amount = micro_dollars(dollars);
        let wrong = "an amount of money is a number of dollars from 0 to a million";
        allowance.micro_dollars = Some(amount.ok_or(wrong)?);
    }
    Ok(allowance)
}

pub(super) fn of_run(
    source: &Source,
    raw: &RawFile,
    errors: &mut Vec<FileError>,
) -> Option<Allowance> {
    let given = raw.workflow.budget.as_ref()?;
    let RawAllowance { tokens, dollars } = *given.get_ref();
    let allowance = allowance(tokens, dollars);
    allowance
        .map_err(|message| errors.push(source.error(given.span(), message, ALLOWANCE_HELP)))
        .ok()
}

pub(super) fn of_tenants(
    source: &Source,
    raw: &RawFile,
    errors: &mut Vec<FileError>,
) -> BTreeMap<String, TenantBudget> {
    let mut budgets = BTreeMap::new();
    for (tenant, given) in &raw.tenants {
        let budget = given.budget.get_ref();
        match allowance(budget.tokens, budget.dollars) {
            Ok(allowance) => {
                let budget = TenantBudget::new(allowance).per(budget.per);
                budgets.insert(tenant.clone(), budget);
            }
            Err(message) => {
                let help = "such as budget = { dollars = 50.0, per = \"month\" }";
                errors.push(source.error(given.budget.span(), message, help));
            }
        }
    }
    budgets
}

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
    use crate::tenant::Period;

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

    fn read_whole(head: &str, tail: &str) -> Result<WorkflowFile, String> {
        let text = format!(
            "[workflow]\nname = \"w\"\n{head}\n[agents.a]\nkind = \"command\"\ncommand = [\"true\"]\n{tail}\n[[step]]\nname = \"a\"\n"
        );
        WorkflowFile::parse("f.toml", &text).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_budgets_of_a_run_and_of_tenants_are_read() {
        let file = read_whole(
            "budget = { tokens = 7, dollars = 0.5 }",
            "[tenants.acme]\nbudget = { dollars = 2, per = \"month\" }\n[tenants.\"a b\"]\nbudget = { tokens = 3 }",
        );
        let file = file.expect("it is good");
        let allowance = Allowance::new();
        let run = allowance.with_tokens(7).with_micro_dollars(500_000);
        assert_eq!(file.budget, Some(run));
        let acme = TenantBudget::new(allowance.with_micro_dollars(2_000_000));
        assert_eq!(file.tenants["acme"], acme.per(Period::Month));
        let other = TenantBudget::new(allowance.with_tokens(3));
        assert_eq!(file.tenants["a b"], other);
        assert_eq!(read_whole("", "").expect("it is good").budget, None);
    }

    #[test]
    fn a_budget_of_a_run_or_tenant_that_makes_no_sense_is_pointed_at() {
        for (head, tail, place, says) in [
            ("budget = {}", "", "f.toml:3:10: ", "limits nothing"),
            (
                "budget = { dollars = -1.0 }",
                "",
                "f.toml:3:10: ",
                "from 0 to a million",
            ),
            (
                "budget = { cents = 1 }",
                "",
                "f.toml:3:12: ",
                "unknown field",
            ),
            (
                "",
                "[tenants.t]\nbudget = { per = \"day\" }",
                "f.toml:8:10: ",
                "limits nothing",
            ),
            (
                "",
                "[tenants.t]\nbudget = { tokens = 1, per = \"week\" }",
                "f.toml:8:",
                "week",
            ),
        ] {
            let error = read_whole(head, tail).expect_err(says);
            assert!(error.starts_with(place) && error.contains(says), "{error}");
        }
    }
}
