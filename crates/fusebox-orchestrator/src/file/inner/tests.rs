//! Files in files: what is refused, and in which file the error points.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{FileErrors, WorkflowFile};
use super::*;

const OUTER: &str = r#"[workflow]
name = "month"

[input.day]

[agents.orders]
kind = "command"
command = ["true"]

[[step]]
name = "orders"

[[step]]
name = "billing"
workflow = "parts/billing.toml"
requires = ["orders"]
input.orders = { step = "orders", at = "/open" }
input.day = { input = "day" }

[[step]]
name = "mail"
agent = "orders"
requires = ["billing"]
"#;

const BILLING: &str = r#"[workflow]
name = "billing"
reports = ["bill.md"]

[input.orders]

[input.day]

[input.mode]
default = "fast"

[agents.rate]
kind = "command"
command = ["rate", "{input.day}"]
fallback = "flat"

[agents.flat]
kind = "command"
command = ["flat"]

[[step]]
name = "rate"

[[step]]
name = "ask"
requires = ["rate"]
approval = { prompt = "charge it?", expires = "1h", fallback = "flat" }
"#;

fn parse(outer: &str, files: &[(&str, &str)]) -> Result<WorkflowFile, FileErrors> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    WorkflowFile::parse_with("flows/month.toml", outer, &|path| {
        let text = files.get(path.to_str().unwrap_or_default());
        let text = text.ok_or_else(|| "no such file".to_owned())?;
        Ok((*text).to_owned())
    })
}

fn good() -> WorkflowFile {
    parse(OUTER, &[("parts/billing.toml", BILLING)]).unwrap()
}

/// The one error: file, line, message, help.
fn fault(outer: &str, files: &[(&str, &str)]) -> (String, usize, String, String) {
    let errors = parse(outer, files).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    let error = errors.errors()[0].clone();
    let help = error.help.unwrap_or_default();
    (error.file, error.line, error.message, help)
}

/// The error once `from` is `to` in the outer file.
fn outer_with(from: &str, to: &str) -> (String, usize, String, String) {
    assert!(OUTER.contains(from), "{from}");
    fault(
        &OUTER.replacen(from, to, 1),
        &[("parts/billing.toml", BILLING)],
    )
}

#[test]
fn its_steps_and_agents_are_the_outer_ones_under_the_name_of_its_step() {
    let file = good();
    let names: Vec<&str> = file
        .workflow
        .steps()
        .iter()
        .map(|step| step.name())
        .collect();
    assert_eq!(
        names,
        [
            "orders",
            "billing/",
            "billing/rate",
            "billing/ask",
            "billing",
            "mail"
        ]
    );
    let agents: Vec<&str> = file.agents.keys().map(String::as_str).collect();
    assert_eq!(agents, ["billing/flat", "billing/rate", "orders"]);
    let rate = &file.agents["billing/rate"];
    assert_eq!(rate.fallback.as_deref(), Some("billing/flat"));
    assert_eq!(rate.within.as_deref(), Some("billing"));
    assert_eq!(file.directory_of(rate), Path::new("parts"));
    assert_eq!(file.directory_of(&file.agents["orders"]), Path::new(""));
    let ask = file.workflow.step("billing/ask").unwrap();
    assert_eq!(ask.agent(), Some("billing/flat"));
    assert_eq!(file.reports, ["billing/bill.md"]);
}

#[test]
fn what_comes_from_no_step_is_known_before_the_run() {
    let file = good();
    let input = json!({ "day": "monday" });
    let known = file.known_input(&file.agents["billing/rate"], &input);
    assert_eq!(known, json!({ "day": "monday", "mode": "fast" }));
    assert_eq!(file.known_input(&file.agents["orders"], &input), input);
}

#[test]
fn an_inner_file_may_have_inner_files_of_its_own_with_paths_from_its_directory() {
    let quarter = r#"[workflow]
name = "quarter"
[input.day]
[[step]]
name = "month"
workflow = "../month.toml"
input = { day = { input = "day" } }
"#;
    let files = [("month.toml", OUTER), ("parts/billing.toml", BILLING)];
    let year = r#"[workflow]
name = "year"
[[step]]
name = "q"
workflow = "./deep/../deep/quarter.toml"
input.day = { value = "sunday" }
"#;
    let mut files = files.to_vec();
    files.push(("deep/quarter.toml", quarter));
    let outer = WorkflowFile::parse_with("year.toml", year, &|path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| path.display().to_string())
    });
    let file = outer.unwrap();
    let rate = &file.agents["q/month/billing/rate"];
    assert_eq!(file.directory_of(rate), Path::new("parts"));
    let known = file.known_input(rate, &json!({}));
    assert_eq!(known, json!({ "day": "sunday", "mode": "fast" }));
    assert!(file.workflow.step("q/month/billing/ask").is_some());
}

#[test]
fn a_fault_inside_points_into_the_inner_file() {
    let broken = BILLING.replace("requires = [\"rate\"]", "requires = [\"rat\"]");
    let (file, line, message, help) = fault(OUTER, &[("parts/billing.toml", &broken)]);
    assert_eq!((&*file, line), ("flows/parts/billing.toml", 26));
    assert!(message.contains("takes from `rat`"), "{message}");
    assert!(help.contains("did you mean `rate`?"), "{help}");
    let error = good().error_at_agent("billing/rate", "no", "yes");
    assert_eq!(error.errors()[0].file, "flows/parts/billing.toml");
    assert_eq!(error.errors()[0].line, 12);
}

#[test]
fn faults_of_both_files_are_told_together_the_outer_ones_first() {
    let outer = OUTER.replace("agent = \"orders\"", "agent = \"order\"");
    let broken = BILLING.replace("requires = [\"rate\"]", "requires = [\"rat\"]");
    let errors = parse(&outer, &[("parts/billing.toml", &broken)]).unwrap_err();
    let files: Vec<&str> = errors.errors().iter().map(|error| &*error.file).collect();
    assert_eq!(files, ["flows/month.toml", "flows/parts/billing.toml"]);
}

#[test]
fn a_file_that_includes_itself_is_refused_with_the_chain() {
    let (file, line, message, _) = outer_with("parts/billing.toml", "month.toml");
    assert_eq!((&*file, line), ("flows/month.toml", 15));
    let chain = "workflow files include each other: month.toml -> month.toml";
    assert_eq!(message, chain);
    let back = BILLING.replace(
        "name = \"rate\"\n\n[[step]]",
        "name = \"rate\"\nworkflow = \"../month.toml\"\n\n[[step]]",
    );
    let (file, line, message, _) = fault(OUTER, &[("parts/billing.toml", &back)]);
    assert_eq!((&*file, line), ("flows/parts/billing.toml", 23));
    assert!(
        message.ends_with("month.toml -> parts/billing.toml -> month.toml"),
        "{message}"
    );
}

#[test]
fn files_are_inside_each_other_to_a_depth_of_8() {
    let chain = |path: &Path| {
        let number: u32 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let next = number + 1;
        Ok(format!(
            "[workflow]\nname = \"w\"\n[[step]]\nname = \"s\"\nworkflow = \"{next}.toml\"\n"
        ))
    };
    let text = chain(Path::new("0.toml")).unwrap();
    let errors = WorkflowFile::parse_with("0.toml", &text, &chain).unwrap_err();
    let [error] = errors.errors() else {
        panic!("{errors}")
    };
    assert_eq!(error.file, "8.toml");
    assert!(
        error.message.contains("7.toml -> 8.toml -> 9.toml"),
        "{error}"
    );
}

#[test]
fn files_that_include_the_next_many_times_are_refused_before_they_are_too_many() {
    let many = |path: &Path| {
        let number: u32 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut text =
            "[workflow]\nname = \"w\"\n[agents.a]\nkind = \"command\"\ncommand = [\"true\"]\n"
                .to_owned();
        for step in 0..10 {
            let work = if number < 6 {
                format!("workflow = \"{}.toml\"", number + 1)
            } else {
                "agent = \"a\"".to_owned()
            };
            text += &format!("[[step]]\nname = \"s{step}\"\n{work}\n");
        }
        Ok(text)
    };
    let text = many(Path::new("0.toml")).unwrap();
    let errors = WorkflowFile::parse_with("0.toml", &text, &many).unwrap_err();
    let message = &errors.errors().last().unwrap().message;
    assert_eq!(message, "more than 256 workflow files are included");
}

#[test]
fn what_an_inner_file_is_given_is_compared_with_what_it_takes() {
    let day = "input.day = { input = \"day\" }\n";
    let (file, line, message, help) = outer_with(day, "");
    assert_eq!((&*file, line), ("flows/month.toml", 15));
    assert_eq!(
        message,
        "`parts/billing.toml` needs input `day`, which the step does not give"
    );
    assert!(help.contains("input.day ="), "{help}");
    let wrong = OUTER.replace("input.day = {", "input.dax = {");
    let errors = parse(&wrong, &[("parts/billing.toml", BILLING)]).unwrap_err();
    let unknown = &errors.errors()[1];
    assert_eq!(unknown.line, 18);
    assert_eq!(unknown.message, "`parts/billing.toml` has no input `dax`");
    let help = unknown.help.as_deref().unwrap_or_default();
    assert!(help.contains("did you mean `day`?"), "{help}");
}

#[test]
fn each_fault_of_a_step_that_is_a_file_is_told_at_its_place() {
    let rows = [
        (
            "{ input = \"day\" }",
            "{ input = \"dya\" }",
            18,
            "this file has no input `dya`",
        ),
        (
            "{ input = \"day\" }",
            "{ }",
            18,
            "input `day` needs one place that it is from",
        ),
        (
            "step = \"orders\", at = \"/open\"",
            "step = \"mail\"",
            17,
            "gives its workflow an input from `mail`",
        ),
        (
            "at = \"/open\"",
            "at = \"open\"",
            17,
            "`open` is not a JSON Pointer",
        ),
        (
            "parts/billing.toml",
            "parts/billed.toml",
            15,
            "workflow file `parts/billed.toml` could not be read: no such file",
        ),
        (
            "requires = [\"orders\"]\n",
            "requires = [\"orders\"]\nmap = { step = \"orders\" }\n",
            15,
            "has both `map` and `workflow`",
        ),
        (
            "requires = [\"orders\"]\n",
            "requires = [\"orders\"]\nagent = \"orders\"\n",
            15,
            "has both `agent` and `workflow`",
        ),
        (
            "requires = [\"orders\"]\n",
            "requires = [\"orders\"]\non_unavailable = \"skip\"\n",
            17,
            "cannot have `on_unavailable` too",
        ),
        (
            "agent = \"orders\"",
            "agent = \"orders\"\ninput.day = { value = 1 }",
            23,
            "has `input` and no `workflow`",
        ),
        (
            "[agents.orders]",
            "[agents.\"billing/rate\"]\nkind = \"command\"\ncommand = [\"true\"]\n\n[agents.orders]",
            6,
            "has the name of one of the workflow that is step `billing`",
        ),
    ];
    for (from, to, line, message) in rows {
        let found = outer_with(from, to);
        assert_eq!(
            (&*found.0, found.1),
            ("flows/month.toml", line),
            "{found:?}"
        );
        assert!(found.2.contains(message), "{found:?}");
    }
    let alone = WorkflowFile::parse("month.toml", OUTER).unwrap_err();
    assert!(
        alone.to_string().contains("no other file can be read here"),
        "{alone}"
    );
}

#[test]
fn a_directory_is_given_only_what_is_one() {
    let directory = BILLING.replace("[input.day]", "[input.day]\ndirectory = true");
    let files: &[(&str, &str)] = &[("parts/billing.toml", &directory)];
    let (_, line, message, _) = fault(OUTER, files);
    assert_eq!(line, 18);
    assert_eq!(message, "input `day` is a directory, and this may be none");
    let outer = OUTER.replace("[input.day]", "[input.day]\ndirectory = true");
    assert!(parse(&outer, files).is_ok());
}

#[test]
fn an_inner_objective_that_is_longer_is_refused_unless_it_is_the_default() {
    let outer = OUTER.replace("name = \"month\"", "name = \"month\"\nobjective = \"60s\"");
    assert!(parse(&outer, &[("parts/billing.toml", BILLING)]).is_ok());
    let slow = BILLING.replace(
        "name = \"billing\"",
        "name = \"billing\"\nobjective = \"2m\"",
    );
    let (file, line, message, _) = fault(&outer, &[("parts/billing.toml", &slow)]);
    assert_eq!((&*file, line), ("flows/month.toml", 16));
    assert!(
        message.contains("has an objective of 2m, this one only 1m"),
        "{message}"
    );
}

#[test]
fn pools_and_targets_of_an_inner_file_are_its_own() {
    let agents = "[pools.desk]\nmax_concurrent_calls = 2\n\n\
                  [agents.either]\nkind = \"failover\"\ntargets = [\"rate\", \"flat\"]\n\n[agents.rate]\npool = \"desk\"";
    let inner = BILLING.replacen("[agents.rate]", agents, 1);
    let file = parse(OUTER, &[("parts/billing.toml", &inner)]).unwrap();
    assert_eq!(file.pools[0].name, "billing/desk");
    let rate = &file.agents["billing/rate"];
    assert_eq!(rate.resilience.pool.as_deref(), Some("billing/desk"));
    let crate::file::AgentKind::Failover(either) = &file.agents["billing/either"].kind else {
        panic!("{file:?}");
    };
    assert_eq!(either.targets, ["billing/rate", "billing/flat"]);
}

#[test]
fn what_a_feed_brings_is_compared_with_what_the_agent_inside_takes() {
    let takes = |kind: &str| {
        let schema = format!(
            "input_schema = {{ properties = {{ input = {{ properties = {{ orders = {{ type = \"{kind}\" }} }} }} }} }}"
        );
        BILLING.replacen(
            "fallback = \"flat\"",
            &format!("fallback = \"flat\"\n{schema}"),
            1,
        )
    };
    let lines = OUTER
        .replacen(
            "command = [\"true\"]",
            "command = [\"true\"]\noutput = \"lines\"",
            1,
        )
        .replace("/open", "/lines");
    assert!(parse(&lines, &[("parts/billing.toml", &takes("array"))]).is_ok());
    let (file, line, message, _) = fault(&lines, &[("parts/billing.toml", &takes("string"))]);
    assert_eq!((&*file, line), ("flows/month.toml", 15));
    let why = "step `billing/rate` cannot take what `billing/` gives: at `/orders` it is array, and must be string";
    assert_eq!(message, why);
}
