//! Plans of the lab.

use std::path::Path;

use fusebox_lab::{MOST_RUNS, Plan};

use crate::text::{has_control, has_place};

/// What every plan asks about: an agent of each sort that plans treat apart.
const WORKFLOW: &str = r#"
[workflow]
name = "w"
[input.day]
[agents.triage]
kind = "command"
command = ["false"]
[agents.answer]
kind = "command"
command = ["false"]
output_schema = { type = "object", required = ["text"] }
[agents.either]
kind = "failover"
targets = ["triage", "answer"]
[[step]]
name = "triage"
[[step]]
name = "answer"
agent = "either"
"#;

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = |path: &Path| match path == Path::new("w.toml") {
        true => Ok(WORKFLOW.to_owned()),
        false => Err("there is no other".to_owned()),
    };
    match Plan::parse_with("p.toml", text, &read) {
        Ok(plan) => check_plan(&plan),
        Err(errors) => {
            assert!(!errors.errors().is_empty());
            for error in errors.errors() {
                assert!(has_place(text, error.line, error.column), "{error:?}");
                assert!(!error.message.trim().is_empty() && !error.message.contains('\n'));
            }
            assert!(!has_control(&errors.to_string()), "{errors:?}");
        }
    }
}

fn check_plan(plan: &Plan) {
    assert!((1..=MOST_RUNS).contains(&plan.runs()), "{}", plan.runs());
    assert!(plan.seeds > 0 && !plan.duration.is_zero());
    for fault in &plan.faults {
        assert!(plan.file.agents.contains_key(&fault.agent) && fault.agent != "either");
        assert!((0.0..=1.0).contains(&fault.rule.ratio()));
        assert!(fault.rule.from() < plan.duration);
        assert!(
            fault
                .rule
                .until()
                .is_none_or(|until| until > fault.rule.from())
        );
    }
    for agent in plan.stand_ins.keys() {
        assert!(plan.file.agents.contains_key(agent) && agent != "either");
    }
}
