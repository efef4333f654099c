//! Which servers there are.

use std::fmt;
use std::path::PathBuf;

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn tcp(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self::Tcp { host, port }
    }

    /// `host:port` as servers write it: the port is what follows the last colon. `None` for a
    /// host without a name, which means the one that was asked.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty()).then_some(Self::tcp(host, port.parse().ok()?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How the server to talk to is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// It is the one at this address.
    Single(Address),
    /// Sentinels know it.
    Sentinel {
        sentinels: Vec<Address>,
        service: String,
    },
    /// Each hash slot has one, and any of them knows all.
    Cluster { seeds: Vec<Address> },
}

impl Layout {
    /// As a URL without secrets.
    pub(crate) fn location(&self, tls: bool, db: i64) -> String {
        let scheme = if tls { "rediss" } else { "redis" };
        match self {
            Self::Single(Address::Unix(path)) => format!("redis+unix://{}?db={db}", path.display()),
            Self::Single(address) => format!("{scheme}://{address}/{db}"),
            Self::Sentinel { sentinels, service } => {
                format!("{scheme}+sentinel://{}/{service}/{db}", listed(sentinels))
            }
            Self::Cluster { seeds } => format!("{scheme}+cluster://{}", listed(seeds)),
        }
    }
}

/// Addresses as a URL lists them.
pub(crate) fn listed(addresses: &[Address]) -> String {
    let each: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    each.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_protocols_are_read_as_servers_write_them() {
        let v6 = Address::parse("fd00::1:7000").unwrap();
        assert_eq!(v6, Address::tcp("fd00::1", 7000));
        assert_eq!(v6.to_string(), "[fd00::1]:7000");
        assert_eq!(Address::parse("db:1").unwrap().to_string(), "db:1");
        for bad in ["", "db", ":7000", "db:70000", "db:x"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
