//! Who may look and act.
//!
//! On a loopback address without a token, whoever can connect may; that another site's page in the same browser cannot
//! is what the checks here are for. Anywhere else a token is required.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::App;
use super::page;
use super::problem::Problem;
use crate::args::ServeArgs;
use crate::failure::Failure;

/// The header that an action has to carry. A page of another site cannot send it without being asked first, and
/// nobody answers such a question here.
pub(super) const ACTION_HEADER: &str = "x-fusebox-action";

/// A shorter token could be guessed.
const MIN_TOKEN: usize = 16;

/// The rules of one server.
pub(super) struct Access {
    token: Option<Token>,
}

impl Access {
    /// Reads the token, and refuses an address that needs one without.
    pub(super) fn of(args: &ServeArgs) -> Result<Self, Failure> {
        let token = match (&args.token_env, &args.token_file) {
            (Some(name), _) => Some(Token::from_env(name)?),
            (None, Some(path)) => Some(Token::from_file(path)?),
            (None, None) => None,
        };
        if token.is_none() && !args.listen.ip().is_loopback() {
            return Err(Failure::misuse(format!(
                "{} can be reached from other machines, so a token is needed: --token-env NAME or --token-file PATH; \
                 or listen on 127.0.0.1",
                args.listen
            )));
        }
        Ok(Self { token })
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        if self.token.is_none() && !has_loopback_host(headers) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "without a token only requests to localhost or a loopback address are answered",
            ));
        }
        // The page has no data of its own: whoever loads it is asked for the token there.
        if page::is_public(request.uri().path()) && request.method() == Method::GET {
            return Ok(());
        }
        if is_cross_site(headers) {
            return Err(Problem::forbidden("requests from other sites are refused"));
        }
        if let Some(token) = &self.token
            && !token.is_in(headers)
        {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "a token is needed: send it as `Authorization: Bearer TOKEN`",
            ));
        }
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return Ok(());
        }
        if !headers.contains_key(ACTION_HEADER) {
            return Err(Problem::forbidden(format!(
                "an action needs the header `{ACTION_HEADER}: 1`"
            )));
        }
        if !is_json(headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "an action needs a JSON body: `Content-Type: application/json`",
            ));
        }
        Ok(())
    }
}

/// Lets a request through, or answers why not.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.access.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What a caller has to know. Never printed.
struct Token(String);

impl Token {
    fn from_env(name: &str) -> Result<Self, Failure> {
        let value = std::env::var(name).map_err(|_| {
            Failure::misuse(format!(
                "the variable {name} is not set; put the token there"
            ))
        })?;
        Self::checked(&value, name)
    }

    fn from_file(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::misuse(format!(
                "{} could not be read: {error}; put the token there",
                path.display()
            ))
        })?;
        Self::checked(text.trim_end(), &path.display().to_string())
    }

    fn checked(value: &str, place: &str) -> Result<Self, Failure> {
        if value.len() < MIN_TOKEN || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::misuse(format!(
                "the token in {place} must have {MIN_TOKEN} or more characters of ASCII and no spaces; \
                 `openssl rand -hex 32` makes one"
            )));
        }
        Ok(Self(value.to_owned()))
    }

    /// Takes as long for a wrong token as for the right one of the same length.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        given.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer")
                && token.as_bytes().ct_eq(self.0.as_bytes()).into()
        })
    }
}

/// Whether the browser was sent here under a name that only this machine can have. Any other may be one that another
/// site has made to point here.
fn has_loopback_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    host.is_some_and(|host| is_loopback_name(without_port(host)))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback_name(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match bare.unwrap_or(name).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a browser says that another site asks, in either of the ways it has.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|it| it.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return true;
    }
    let host = text("host").unwrap_or_default();
    let own = |origin: &str| {
        let rest = origin.strip_prefix("http://");
        rest.or_else(|| origin.strip_prefix("https://")) == Some(host)
    };
    text("origin").is_some_and(|origin| !own(origin))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = header::HeaderValue::from_static(value);
            (header::HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn only_names_of_this_machine_are_loopback_names() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:7",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(has_loopback_host(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "[::2]:1",
            "",
        ] {
            assert!(!has_loopback_host(&headers(&[("host", host)])), "{host}");
        }
        assert!(!has_loopback_host(&HeaderMap::new()));
    }

    #[test]
    fn another_origin_is_another_site_and_so_is_what_the_browser_calls_one() {
        let host = ("host", "127.0.0.1:9");
        for own in [
            &[host][..],
            &[
                host,
                ("origin", "http://127.0.0.1:9"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!is_cross_site(&headers(own)), "{own:?}");
        }
        for other in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "http://127.0.0.1:10")],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(is_cross_site(&headers(other)), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_the_whole_token() {
        let token = Token("0123456789abcdef".into());
        assert!(token.is_in(&headers(&[("authorization", "Bearer 0123456789abcdef")])));
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
        ] {
            assert!(
                !token.is_in(&headers(&[("authorization", wrong)])),
                "{wrong}"
            );
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }
}
