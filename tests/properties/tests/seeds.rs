//! The properties hold for every seed and for a fixed number of mutations of each.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fusebox_properties::{ALL, by_name};

/// Mutations of each seed. With the seeds of today all of it takes a few seconds.
const MUTATIONS: u64 = 200;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(name)
}

/// Every file of a folder with its name, in the order of names.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(name)).expect("a folder of seeds");
    let read = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("a readable folder").path();
        let bytes = fs::read(&path).expect("a readable seed");
        (path.display().to_string(), bytes)
    };
    let mut seeds: Vec<_> = files.map(read).collect();
    seeds.sort();
    seeds
}

fn check(name: &str) {
    let (_, holds) = by_name(name).expect("a property of this name");
    feed(name, holds);
}

/// Feeds a property the seeds of `name` and their mutations; the message says which input shows the fault.
fn feed(name: &str, holds: impl Fn(&[u8])) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty());
    for (at, (path, seed)) in seeds.iter().enumerate() {
        let (_, other) = &seeds[(at + 1) % seeds.len()];
        for draw in 0..=MUTATIONS {
            let input = match draw {
                0 => seed.clone(),
                _ => mutated(seed, other, draw),
            };
            let result = catch_unwind(AssertUnwindSafe(|| holds(&input)));
            assert!(
                result.is_ok(),
                "{path}, mutation {draw}: {:?}",
                String::from_utf8_lossy(&input)
            );
        }
    }
}

/// One to four edits of `seed`: a byte changed, a stretch left out, doubled or taken from `other`, a number grown.
fn mutated(seed: &[u8], other: &[u8], draw: u64) -> Vec<u8> {
    let mut random = Random(draw);
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let from = random.below(bytes.len());
        let to = (from + random.below(12)).min(bytes.len());
        let piece = match random.below(5) {
            0 => vec![random.below(255) as u8; to - from],
            1 => Vec::new(),
            2 => [&bytes[from..to], &bytes[from..to]].concat(),
            3 => {
                let start = random.below(other.len());
                let end = (start + random.below(40)).min(other.len());
                other[start..end].to_vec()
            }
            _ => random.number().as_bytes().to_vec(),
        };
        bytes.splice(from..to, piece);
    }
    bytes
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 to `most`.
    fn below(&mut self, most: usize) -> usize {
        (self.next() % (most as u64 + 1)) as usize
    }

    /// A number at which something may end.
    fn number(&mut self) -> &'static str {
        const NUMBERS: [&str; 8] = [
            "0",
            "-1",
            "0.1",
            "1e300",
            "4294967295",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
        ];
        NUMBERS[self.below(NUMBERS.len() - 1)]
    }
}

#[test]
fn every_property_has_seeds_and_no_seeds_are_without_one() {
    let folders = fs::read_dir(folder(".")).expect("the folder of all seeds");
    let folders: BTreeSet<String> = folders
        .map(|folder| folder.expect("a readable folder").file_name())
        .map(|name| name.into_string().expect("a plain name"))
        .collect();
    assert_eq!(folders, ALL.map(|(name, _)| name.to_owned()).into());
}

#[test]
fn a_property_that_does_not_hold_is_seen_with_the_input_that_shows_it() {
    // No seed breaks it: a mutation has to.
    let no_digits_in_a_row = |input: &[u8]| {
        let input = String::from_utf8_lossy(input);
        assert!(!input.contains("18446744073709551616"));
    };
    let fed = catch_unwind(|| feed("faults", no_digits_in_a_row));
    let message = fed.expect_err("a mutation holds that number");
    let message = message.downcast_ref::<String>().expect("a message");
    assert!(message.contains("mutation") && message.contains("18446744073709551616"));
}

#[test]
fn settings_of_a_breaker() {
    check("breaker_config");
}

#[test]
fn fault_plans() {
    check("faults");
}

#[test]
fn journals() {
    check("journal");
}

#[test]
fn plans_of_the_lab() {
    check("lab_plan");
}

#[test]
fn names_and_urls() {
    check("names");
}

#[test]
fn outputs_of_programs() {
    check("output");
}

#[test]
fn snapshots_of_breakers() {
    check("snapshot");
}

#[test]
fn workflow_files() {
    check("workflow_file");
}
