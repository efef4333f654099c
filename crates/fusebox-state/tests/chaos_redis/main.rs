//! The Redis store on servers other than the default one, as `FUSEBOX_TEST_SERVERS` names them. A
//! test whose server is not there says so and passes.
#![cfg(all(feature = "redis", feature = "conformance"))]

mod redis_releases;
#[cfg(feature = "redis-tls")]
mod redis_tls;
#[path = "../links/support.rs"]
#[expect(
    dead_code,
    reason = "shared with another program that needs more of it"
)]
mod support;

use std::path::PathBuf;

use fusebox_test_server::{ENV_ALL, find_named, named_servers};

/// The program of that name; where it is not there, what is left untested.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
fn named(name: &str, untested: &str) -> Option<PathBuf> {
    let there = named_servers().unwrap_or_else(|error| panic!("{error}"));
    if there.iter().any(|server| server.name == name) {
        return Some(find_named(name).unwrap_or_else(|error| panic!("{error}")));
    }
    eprintln!("NOT RUN, {untested}: {ENV_ALL} names no `{name}`");
    None
}
