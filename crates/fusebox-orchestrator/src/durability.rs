//! Levels of durability as text: on command lines, in journals, in reports.

use fusebox_state::Durability;

/// Reads a level as [`Durability`] prints it (`primary_fsync`, `replicated(2)`) and as a command line
/// writes it (`primary-fsync`, `replicated:2`). `None` for anything else, zero replicas included.
pub fn parse_durability(text: &str) -> Option<Durability> {
    match text.replace('-', "_").as_str() {
        "volatile" => Some(Durability::Volatile),
        "local_fsync" => Some(Durability::LocalFsync),
        "primary" => Some(Durability::Primary),
        "primary_fsync" => Some(Durability::PrimaryFsync),
        level => {
            let replicas = level.strip_prefix("replicated")?;
            let replicas = replicas.strip_prefix(':').or_else(|| {
                let inner = replicas.strip_prefix('(')?;
                inner.strip_suffix(')')
            })?;
            let replicas = replicas.parse().ok()?;
            (replicas > 0).then_some(Durability::Replicated(replicas))
        }
    }
}

/// The weaker of what is known.
pub(crate) fn weakest(one: Option<Durability>, other: Option<Durability>) -> Option<Durability> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_reads_as_it_is_printed_and_as_a_command_line_has_it() {
        let levels = [
            (Durability::Volatile, "volatile"),
            (Durability::LocalFsync, "local-fsync"),
            (Durability::Primary, "primary"),
            (Durability::PrimaryFsync, "primary-fsync"),
            (Durability::Replicated(2), "replicated:2"),
        ];
        for (level, text) in levels {
            assert_eq!(parse_durability(text), Some(level));
            assert_eq!(parse_durability(&level.to_string()), Some(level));
        }
    }

    #[test]
    fn what_is_no_level_is_none() {
        for text in [
            "",
            "fsync",
            "replicated",
            "replicated:",
            "replicated:0",
            "replicated(2",
            "replicated:256",
        ] {
            assert_eq!(parse_durability(text), None, "{text}");
        }
    }
}
