//! A comparison for a person at a terminal.

use comfy_table::CellAlignment;
use fusebox::lab::{Comparison, Protection};

use super::rows::{self, RECOVERY};
use crate::output;
use crate::progress::time;
use crate::summary::table;

pub(super) fn print(comparison: &Comparison) {
    let plan = &comparison.plan;
    output::say(&format!(
        "{}: {} ({})",
        plan.file,
        plan.workflow,
        rows::answered(plan)
    ));
    let objective = time(plan.objective_ms);
    let arrivals = rows::arrivals(plan);
    output::say(&format!("runs: {arrivals}; objective {objective}"));
    for fault in rows::faults(plan) {
        output::say(&format!("fault: {fault}"));
    }
    output::say("");
    output::say(&sides(comparison));
    for side in &comparison.sides {
        let away = rows::recoveries(side, false);
        if side.protection == Protection::On && !away.is_empty() {
            let mut recoveries = table(&RECOVERY);
            for cells in away {
                recoveries.add_row(cells);
            }
            output::say("");
            output::say(&recoveries.to_string());
        }
    }
    if comparison.is_interrupted {
        output::say("stopped before its end: figures are of what was measured until then");
    }
    if !comparison.targets.is_empty() {
        output::say("");
    }
    for target in &comparison.targets {
        output::say(&rows::target(target));
    }
}

fn sides(comparison: &Comparison) -> String {
    let headings = rows::headings(comparison);
    let mut header = vec![""];
    header.extend(headings.iter().map(String::as_str));
    let two = headings.len() == 2;
    if two {
        header.push("difference");
    }
    let mut sides = table(&header);
    for row in rows::rows(comparison) {
        let difference = two.then_some(row.difference);
        let cells = [row.name.to_owned()].into_iter().chain(row.cells);
        sides.add_row(cells.chain(difference));
    }
    for column in sides.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    sides.to_string()
}
