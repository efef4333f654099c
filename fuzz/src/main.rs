//! The fuzzer around one property, which `FUSEBOX_PROPERTY` names: `cargo xtask fuzz`.
//!
//! One program for all of them: linking one each would take longer than a look-up per input.

#![no_main]

use std::sync::OnceLock;

use fusebox_properties::{ALL, by_name};
use libfuzzer_sys::fuzz_target;

const VARIABLE: &str = "FUSEBOX_PROPERTY";

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|input: &[u8]| CHOSEN.get_or_init(chosen)(input));

fn chosen() -> fn(&[u8]) {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    match by_name(&name) {
        Some((_, holds)) => holds,
        None => panic!(
            "{VARIABLE} is `{name}`; there are: {:?}",
            ALL.map(|(name, _)| name)
        ),
    }
}
