//! A row of the table: one fault, every operation.

use std::time::Duration;

use super::{Arena, Keeps, Operation, cells};
use crate::report::Section;

/// Runs every operation under the arena's fault and writes the row.
///
/// # Panics
/// If an answer is not allowed or something that must hold does not.
pub async fn row(section: &Section, place: &str, arena: &dyn Arena) {
    let mut row = vec![arena.fault().to_owned()];
    let mut longest = Duration::ZERO;
    for operation in Operation::ALL {
        let (answer, stall) = cells::run(arena, operation).await;
        let allowed = arena.allowed().of(operation);
        assert!(
            allowed.contains(&answer),
            "{}, {}: answered `{answer}`, allowed are {allowed:?}",
            arena.fault(),
            operation.name()
        );
        longest = longest.max(stall);
        row.push(format!("{answer} {}", shown(stall)));
    }
    row.push(
        match arena.keeps() {
            Keeps::All => "all kept",
            Keeps::Nothing => "emptied, told; put back by its owner",
        }
        .to_owned(),
    );
    row.push(shown(longest));
    section.row(place, &row);
}

/// Milliseconds say enough.
fn shown(time: Duration) -> String {
    match time.as_millis() {
        0 => "<1 ms".to_owned(),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
