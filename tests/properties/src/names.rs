//! Names and URLs as they stand on a command line.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use fusebox_orchestrator::RunId;
use fusebox_state::{Key, Partition, RedisConfig};

use crate::text;

const SECRET: &str = "hunter2-hunter2";

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    check_name::<RunId>(text);
    check_name::<Partition>(text);
    check_name::<Key>(text);
    check_generated(text);
    check_url(text);
    check_url(&format!("redis://u:{SECRET}@{text}"));
    // These begin another part of the URL, where the secret would be none.
    if !text.contains(['/', '\\', '?', '#', '@']) {
        check_url(&format!("redis://{text}:{SECRET}@host"));
    }
}

/// What is taken is kept as it is, and can stand in a path and on a line.
fn check_name<N>(text: &str)
where
    N: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<N>() {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            assert!(!text.is_empty() && text.is_ascii() && !text::has_control(text));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The name made up for a run is one, whatever its workflow is called.
fn check_generated(workflow: &str) {
    let id = RunId::generate(workflow);
    assert_eq!(id.as_str().parse(), Ok(id.clone()));
    assert!(!id.as_str().contains(['/', '\\']));
}

/// Neither a refusal nor an accepted URL shows a password.
fn check_url(url: &str) {
    let shown = match RedisConfig::from_url(url) {
        Ok(config) => format!("{config:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{shown}");
}
