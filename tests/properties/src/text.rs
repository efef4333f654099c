//! What several properties ask of texts.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Whether `line` and `column`, both from 1, are a place in `text` or the one behind a line's last character.
pub(crate) fn has_place(text: &str, line: usize, column: usize) -> bool {
    let chars = |line: &str| line.chars().count();
    let lines = text.split('\n');
    line >= 1
        && column >= 1
        && lines
            .skip(line - 1)
            .map(chars)
            .next()
            .is_some_and(|chars| column <= chars + 1)
}

/// Whether a terminal would do something else than show it; line ends are for the caller to judge.
pub(crate) fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

/// Reads `bytes` as JSON. What was read is written and read again: the same comes out.
pub(crate) fn json<T>(bytes: &[u8]) -> Result<T, serde_json::Error>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let value: T = serde_json::from_slice(bytes)?;
    assert_same(&value);
    Ok(value)
}

/// Written as JSON and read again it is the same.
pub(crate) fn assert_same<T>(value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let written = serde_json::to_string(value).expect("what was read can be written");
    let again: T = serde_json::from_str(&written)
        .unwrap_or_else(|error| panic!("wrote what it does not read: {error}\n{written}"));
    assert_eq!(&again, value, "changed by being written: {written}");
}
