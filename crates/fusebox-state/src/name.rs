//! Validated names of partitions and keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest [`Partition`] or [`Key`], in bytes.
pub const MAX_NAME_BYTES: usize = 200;

/// Why a text cannot name a [`Partition`] or a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot name a {what}: {reason}; use 1 to 200 of A-Z a-z 0-9 . _ / -")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    reason: String,
}

impl InvalidName {
    /// The text that was refused, cut to 200 characters.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What is written, leased and expired as one: a run, a breaker, a queue.
///
/// 1 to 200 bytes of `A-Z a-z 0-9 . _ / -`, so that it can stand in a Redis hash tag, a file name
/// in a log line or a URL without quoting. Ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(Arc<str>);

/// One entry of a [`Partition`]. Same characters and length; a `/` groups keys for
/// [`scan`](crate::StateStore::scan). Ordered by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

macro_rules! name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Takes `name` as it is.
            ///
            /// # Errors
            /// Empty, longer than 200 bytes, or a character outside `A-Z a-z 0-9 . _ / -`.
            pub fn try_new(name: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
                check($what, name.into()).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::try_new(name)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

name!(Partition, "partition");
name!(Key, "key");

fn check(what: &'static str, name: Arc<str>) -> Result<Arc<str>, InvalidName> {
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!("it has {} bytes", name.len())
    } else if let Some(bad) = name.chars().find(|&c| !is_allowed(c)) {
        format!("it contains {bad:?}")
    } else {
        return Ok(name);
    };
    let name = name.chars().take(MAX_NAME_BYTES).collect();
    Err(InvalidName { what, name, reason })
}

pub(crate) fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_what_offended() {
        for (name, reason) in [
            ("", "it is empty"),
            ("a b", "' '"),
            ("a{b}", "'{'"),
            ("é", "'é'"),
            ("a*", "'*'"),
        ] {
            let error = Key::try_new(name).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let error = Partition::try_new("x".repeat(201)).unwrap_err();
        assert!(error.to_string().contains("201 bytes"), "{error}");
    }

    #[test]
    fn names_take_every_allowed_character_up_to_the_limit() {
        assert!(Partition::try_new("Az09._/-").is_ok());
        assert!(Key::try_new("x".repeat(200)).is_ok());
        assert_eq!("run/1".parse::<Key>().unwrap().to_string(), "run/1");
    }
}
