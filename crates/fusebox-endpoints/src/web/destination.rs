//! Where requests go.

use std::fmt;

use reqwest::Url;

use super::SetupError;

/// A checked URL. It shows itself without its query, which may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Destination(Url);

impl Destination {
    /// # Errors
    /// If it is not a URL with scheme `http` or `https` and a host, or if it holds a user or a
    /// password, which would show where URLs are shown.
    pub(crate) fn parse(url: &str) -> Result<Self, SetupError> {
        // Not quoted in errors: what is no URL may be a key in the wrong place.
        let parsed = Url::parse(url)
            .map_err(|error| SetupError::new(format!("the URL cannot be read: {error}")))?;
        let scheme = parsed.scheme();
        if !["http", "https"].contains(&scheme) {
            let message = format!("a URL with scheme `{scheme}` is not allowed, use http or https");
            return Err(SetupError::new(message));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(SetupError::new(
                "the URL holds a user or a password, send them as a header from a secret",
            ));
        }
        if parsed.fragment().is_some() {
            return Err(SetupError::new(
                "the URL has a fragment, which is never sent: leave out what follows `#`",
            ));
        }
        Ok(Self(parsed))
    }

    /// The URL with one more part of its path.
    #[cfg(any(test, feature = "openai"))]
    pub(crate) fn join(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        Self(url)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().expect("http and https have a host")
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn port(&self) -> u16 {
        let port = self.0.port_or_known_default();
        port.expect("http and https have a port")
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Values of the query that must not be seen either.
    pub(crate) fn query_values(&self) -> Vec<String> {
        let pairs = self.0.query_pairs();
        pairs.map(|(_, value)| value.into_owned()).collect()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}{}", url.origin().ascii_serialization(), url.path())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_goes_out() {
        for url in [
            "file:///etc/passwd",
            "ftp://host/x",
            "gopher://host",
            "unix:/run/x",
            "x",
        ] {
            assert!(Destination::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_being_shown() {
        let error = Destination::parse("https://me:hunter2@host/").expect_err("a password");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_query_is_sent_and_not_shown() {
        let there = Destination::parse("https://host/v1?key=hunter2").expect("a good URL");
        let chat = there.join("chat");
        assert_eq!(chat.url().as_str(), "https://host/v1/chat?key=hunter2");
        assert_eq!(
            format!("{chat} {chat:?}"),
            "https://host/v1/chat https://host/v1/chat"
        );
        assert_eq!(chat.query_values(), ["hunter2"]);
    }
}
