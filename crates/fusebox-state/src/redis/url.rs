//! Reads a URL. What it says in its parameters is applied by [`RedisConfig`](super::RedisConfig).

use std::path::PathBuf;

use super::credentials::Credentials;
use super::layout::{Address, Layout};
use crate::StoreError;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const FORMS: &str = "write redis://[user:password@]host[:port][/db], \
    redis+sentinel://[user:password@]host[:port],…/SERVICE[/db], \
    redis+cluster://[user:password@]host[:port],… or redis+unix:///path (`rediss` for TLS), \
    special characters percent-encoded";

/// What a URL says, its parameters not yet looked at.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) tls: bool,
    pub(crate) layout: Layout,
    pub(crate) db: i64,
    pub(crate) login: Credentials,
    pub(crate) parameters: Vec<(String, String)>,
}

/// Whether this is for a Redis store to read.
pub(crate) fn is_scheme(scheme: &str) -> bool {
    kind(scheme).is_some()
}

enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

fn kind(scheme: &str) -> Option<(bool, Kind)> {
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return None,
    };
    let kind = match kind {
        "" => Kind::Single,
        "unix" if !tls => Kind::Unix,
        "sentinel" => Kind::Sentinel,
        "cluster" => Kind::Cluster,
        _ => return None,
    };
    Some((tls, kind))
}

/// No message repeats a part of the URL in which a badly written password could lie.
pub(crate) fn parse(url: &str) -> Result<Parsed, StoreError> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| wrong("it has no `://`"))?;
    let (tls, kind) = kind(scheme).ok_or_else(|| wrong("its scheme is unknown"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if query.contains(['@', '?']) || url.contains('#') {
        return Err(wrong(
            "`@`, `?` and `#` within a name or password are %40, %3F and %23",
        ));
    }
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.push((name.to_owned(), decoded(value)?));
    }
    if let Kind::Unix = kind {
        return unix(rest, parameters);
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (credentials(login)?, hosts),
        None => (Credentials::default(), authority),
    };
    let hosts = |port| addresses(hosts, port);
    let (layout, db) = match kind {
        Kind::Sentinel => {
            let (service, db) = path.split_once('/').unwrap_or((path, ""));
            let service = decoded(service)?;
            if service.is_empty() {
                return Err(wrong("the service's name is missing after the sentinels"));
            }
            let sentinels = hosts(SENTINEL_PORT)?;
            (Layout::Sentinel { sentinels, service }, db)
        }
        Kind::Cluster => {
            let seeds = hosts(PORT)?;
            (Layout::Cluster { seeds }, path)
        }
        Kind::Single | Kind::Unix => match <[Address; 1]>::try_from(hosts(PORT)?) {
            Ok([address]) => (Layout::Single(address), path),
            Err(_) => {
                return Err(wrong(
                    "several hosts are Sentinels (`redis+sentinel://`) or a cluster \
                     (`redis+cluster://`)",
                ));
            }
        },
    };
    Ok(Parsed {
        tls,
        layout,
        db: database(db)?,
        login,
        parameters,
    })
}

/// `db`, `user` and `pass` are parameters here, since there is no other place for them.
fn unix(path: &str, mut parameters: Vec<(String, String)>) -> Result<Parsed, StoreError> {
    let path = decoded(path)?;
    if !path.starts_with('/') {
        return Err(wrong("the socket's path begins with `/`"));
    }
    let mut take = |name| {
        let found = parameters.iter().position(|(found, _)| found == name)?;
        Some(parameters.remove(found).1)
    };
    let login = Credentials::new(take("user").as_deref(), take("pass").as_deref());
    let db = database(&take("db").unwrap_or_default())?;
    Ok(Parsed {
        tls: false,
        layout: Layout::Single(Address::Unix(PathBuf::from(path))),
        db,
        login,
        parameters,
    })
}

fn credentials(login: &str) -> Result<Credentials, StoreError> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password)?)),
        None => (login, None),
    };
    let user = decoded(user)?;
    let user = (!user.is_empty()).then_some(user);
    Ok(Credentials::new(user.as_deref(), password.as_deref()))
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, StoreError> {
    hosts
        .split(',')
        .map(|host| address(host, default_port))
        .collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, StoreError> {
    let bad_port = || wrong("a port is a number from 1 to 65535");
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| wrong("a `[` has no `]`"))?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or_else(bad_port)?),
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(wrong("a host is missing"));
    }
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(bad_port)?,
        None => default_port,
    };
    Ok(Address::tcp(decoded(host)?, port))
}

fn database(text: &str) -> Result<i64, StoreError> {
    match text.trim_end_matches('/') {
        "" => Ok(0),
        number => {
            let db: Result<u32, _> = number.parse();
            db.map(i64::from)
                .map_err(|_| wrong("a database is a number"))
        }
    }
}

fn decoded(text: &str) -> Result<String, StoreError> {
    let bad = || wrong("a `%` is not followed by two hexadecimal digits of a text");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit(), digit());
        let value = high.zip(low).ok_or_else(bad)?;
        bytes.push(u8::try_from(value.0 * 16 + value.1).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

fn wrong(what: &str) -> StoreError {
    StoreError::misconfigured(format!("not a Redis URL: {what}; {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> String {
        let parsed = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        parsed.layout.location(parsed.tls, parsed.db)
    }

    #[test]
    fn every_form_is_read() {
        for (url, read) in [
            ("redis://h", "redis://h:6379/0"),
            ("valkey://u:p@h:7/3", "redis://h:7/3"),
            ("rediss://[fd00::1]:7", "rediss://[fd00::1]:7/0"),
            ("redis+unix:///run/a%20b?db=2", "redis+unix:///run/a b?db=2"),
            (
                "redis+sentinel://:p@a,b:1/main/4",
                "redis+sentinel://a:26379,b:1/main/4",
            ),
            ("valkeys+cluster://a,b:1", "rediss+cluster://a:6379,b:1"),
        ] {
            assert_eq!(location(url), read);
        }
        let parsed = parse("redis://us%40er:p%2Fw@h?prefix=a%3Ab&fsync").unwrap();
        assert_eq!(parsed.login, Credentials::new(Some("us@er"), Some("p/w")));
        let expected = [("prefix", "a:b"), ("fsync", "")].map(|(n, v)| (n.into(), v.into()));
        assert_eq!(parsed.parameters, expected);
    }

    #[test]
    fn a_url_that_cannot_be_read_says_why_and_keeps_its_secret() {
        for (url, why) in [
            ("redis:h", "://"),
            ("http://:hunter2@h", "scheme"),
            ("rediss+unix:///x", "scheme"),
            ("redis://:hunter2@", "host is missing"),
            ("redis://:hun/hunter2@h", "port"),
            ("redis://:hun?hunter2=@h", "%3F"),
            ("redis://:hun#ter2@h", "%23"),
            ("redis://:hunter2@h:port", "port"),
            ("redis://:hunter2@h:0", "port"),
            ("redis://:hunter2%g@h", "hexadecimal"),
            ("redis://h/x", "database"),
            ("redis://a,b", "redis+cluster://"),
            ("redis+sentinel://a,b", "service"),
            ("redis+unix://tmp", "begins with `/`"),
        ] {
            let error = parse(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(why), "{url}: {text}");
            assert!(
                !text.contains("hunter2") && !text.contains("ter2@"),
                "{text}"
            );
        }
    }
}
