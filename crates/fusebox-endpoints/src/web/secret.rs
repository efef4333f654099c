//! What must not be seen.

use std::fmt;
use std::sync::Arc;

use super::SetupError;

const REDACTED: &str = "[redacted]";

/// A key, a token, a password. It prints and serializes as `[redacted]`, whatever the format.
///
/// ```
/// use fusebox_endpoints::Secret;
///
/// let key = Secret::new("sk-123");
/// assert_eq!(format!("{key} {key:?}"), "[redacted] [redacted]");
/// assert_eq!(serde_json::to_string(&key)?, r#""[redacted]""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text` from being seen.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Takes the secret from an environment variable, without the white space around it.
    ///
    /// # Errors
    /// If the variable is not set, empty or not UTF-8; the error names the variable alone.
    pub fn from_env(variable: &str) -> Result<Self, SetupError> {
        let text = std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => SetupError::new(format!(
                "environment variable `{variable}` is not set, and a secret is to come from it"
            )),
            std::env::VarError::NotUnicode(_) => {
                SetupError::new(format!("environment variable `{variable}` is not utf-8"))
            }
        })?;
        match text.trim() {
            "" => Err(SetupError::new(format!(
                "environment variable `{variable}` is empty, and a secret is to come from it"
            ))),
            text => Ok(Self::new(text)),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Takes secrets out of text from the other side, which may send back what it was sent.
#[derive(Clone, Default)]
pub(crate) struct Scrubber(Vec<String>);

/// Shorter ones are found in innocent words, and guard nothing.
const SHORTEST: usize = 4;

impl Scrubber {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter();
        let mut secrets: Vec<String> = secrets
            .filter(|secret| secret.len() >= SHORTEST)
            .map(str::to_owned)
            .collect();
        // The longest first: one may be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    pub(crate) fn scrub(&self, text: &str) -> String {
        let all = self.0.iter();
        all.fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), REDACTED)
        })
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_other_side_loses_every_secret_in_it() {
        let scrubber = Scrubber::new(["sk-123", "Bearer sk-123", "a"]);
        assert_eq!(
            scrubber.scrub("bad key sk-123 in `Bearer sk-123`"),
            "bad key [redacted] in `[redacted]`"
        );
        assert!(!format!("{scrubber:?}").contains("sk-"));
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = Secret::from_env("FUSEBOX_TEST_NO_SUCH_KEY").expect_err("not set");
        assert!(error.to_string().contains("`FUSEBOX_TEST_NO_SUCH_KEY`"));
    }
}
