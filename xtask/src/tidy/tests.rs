//! Each rule has something it lets pass and something it refuses.

use super::*;

fn tree() -> BTreeSet<String> {
    [
        "README.md",
        "crates/fusebox-state/src/redis.rs",
        "examples/review/workflow.toml",
    ]
    .map(str::to_owned)
    .into()
}

fn complaints(text: &str) -> Vec<String> {
    in_document(
        "README.md",
        text,
        &BTreeSet::from(["fusebox", "fusebox-state"]),
        &tree(),
    )
}

#[test]
fn files_and_crates_that_exist_may_be_named() {
    let text = "See `examples/review/`, `README.md`, `src/redis.rs` and `fusebox-state`.\n\
         Also `redis://localhost`, `crates/*/src/lib.rs`, `target/debug/x.json`, `a/b`.\n\
         ```\n`no/such.rs`\n```\n";
    assert_eq!(complaints(text), Vec::<String>::new());
}

#[test]
fn files_and_crates_that_do_not_exist_are_named_with_their_line() {
    assert_eq!(
        complaints("one\nsee `docs/missing.md` or `fusebox-gone`"),
        [
            "README.md:2: there is no file `docs/missing.md`",
            "README.md:2: there is no crate `fusebox-gone`",
        ]
    );
}

#[test]
fn a_crate_is_not_named_by_a_longer_name() {
    assert!(names("| `fusebox-state` | stores |", "fusebox-state"));
    assert!(!names("fusebox-statement", "fusebox-state"));
    assert!(!names("only fusebox-state here", "fusebox"));
}

#[test]
fn leftovers_are_found() {
    let path = format!("let p = \"{}me\";", MACHINE_PATHS[1]);
    for line in [
        path,
        format!("{})", UNFINISHED[0]),
        format!("// {OPEN_TASK}: later"),
    ] {
        let text = format!("//! Doc.\n{line}\n");
        assert_eq!(in_file("a.rs", &text).len(), 1, "{line}");
    }
    assert_eq!(in_file("a.rs", "use std::fs;\n").len(), 1);
}

#[test]
fn ordinary_lines_pass() {
    let text = format!("//! Doc.\n// {OPEN_TASK}(loom): until it can\nlet x = \"network/\";\n");
    assert_eq!(in_file("a.rs", &text), Vec::<String>::new());
    assert_eq!(
        in_file("a.md", "no doc comment here\n"),
        Vec::<String>::new()
    );
}
