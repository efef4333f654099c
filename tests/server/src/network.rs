//! A network that can be cut without root: every member is reached through its proxies only, and
//! its own connections come from an address of its own, so that the proxies of the others know it.
//!
//! The whole of 127.0.0.0/8 belongs to a Linux machine, so the addresses need no setting up.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use crate::error::SetError;
use crate::proxy::{Proxy, Reach};

/// The members and who can reach whom.
#[derive(Debug)]
pub(crate) struct Network {
    members: Vec<Place>,
    /// The side each member is on. Everybody who is no member, clients above all, is on the side
    /// [`MAIN`]; sides do not reach each other.
    sides: Mutex<Vec<usize>>,
}

#[derive(Debug)]
struct Place {
    /// Lead to the member, in the order of its ports.
    proxies: Vec<Proxy>,
    /// Where its own connections come from.
    source: Ipv4Addr,
}

const MAIN: usize = 0;

impl Network {
    /// Places for `members`, each with `ports` proxies.
    pub(crate) fn start(members: usize, ports: usize) -> Result<Self, SetError> {
        if !cfg!(target_os = "linux") {
            return Err(SetError::Unsupported {
                reason: "a network to cut needs the addresses 127.0.0.0/8, which only Linux has"
                    .to_owned(),
            });
        }
        let places = (1..=members).map(|n| {
            let last = u8::try_from(n).map_err(io::Error::other)?;
            Ok(Place {
                proxies: (0..ports)
                    .map(|_| Proxy::start_without_server())
                    .collect::<io::Result<_>>()?,
                source: Ipv4Addr::new(127, 0, 1, last),
            })
        });
        let members = places
            .collect::<io::Result<_>>()
            .map_err(|source| SetError::Refused {
                command: "start proxies".to_owned(),
                source,
            })?;
        let network = Self {
            sides: Mutex::new(Vec::new()),
            members,
        };
        network.move_to(&[], MAIN);
        Ok(network)
    }

    /// The proxy in front of a member's port.
    pub(crate) fn proxy(&self, member: usize, port: usize) -> &Proxy {
        &self.members[member].proxies[port]
    }

    pub(crate) fn source(&self, member: usize) -> Ipv4Addr {
        self.members[member].source
    }

    /// Puts these members on a side of their own, together.
    pub(crate) fn cut(&self, members: &[usize]) {
        let new = {
            let sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
            1 + sides.iter().max().copied().unwrap_or(MAIN)
        };
        self.move_to(members, new);
    }

    /// Puts these members back on the side of everybody else.
    pub(crate) fn heal(&self, members: &[usize]) {
        self.move_to(members, MAIN);
    }

    pub(crate) fn heal_all(&self) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.move_to(&all, MAIN);
    }

    fn move_to(&self, members: &[usize], side: usize) {
        let mut sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        sides.resize(self.members.len(), MAIN);
        for member in members {
            sides[*member] = side;
        }
        for (place, side) in self.members.iter().zip(sides.iter()) {
            let on = |same: bool| -> BTreeSet<IpAddr> {
                let others = self.members.iter().zip(sides.iter());
                others
                    .filter(|(_, other)| (*other == side) == same)
                    .map(|(other, _)| other.source.into())
                    .collect()
            };
            let reach = match *side {
                MAIN => Reach::Except(on(false)),
                _ => Reach::Only(on(true)),
            };
            for proxy in &place.proxies {
                proxy.reach(reach.clone());
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::Network;

    /// Whether a connection from `source` through the member's proxy gets to the end of it.
    fn arrives(network: &Network, source: Ipv4Addr, member: usize) -> bool {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        server.set_nonblocking(true).unwrap();
        let proxy = network.proxy(member, 0);
        proxy.lead_to(server.local_addr().unwrap());
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let at = |ip: Ipv4Addr, port: u16| std::net::SocketAddr::from((ip, port)).into();
        socket.bind(&at(source, 0)).unwrap();
        socket
            .connect(&at(Ipv4Addr::LOCALHOST, proxy.port()))
            .unwrap();
        let until = std::time::Instant::now() + Duration::from_millis(200);
        while std::time::Instant::now() < until {
            match server.accept() {
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        false
    }

    #[test]
    fn sides_reach_their_own_members_only() {
        let network = Network::start(3, 1).unwrap();
        let client = Ipv4Addr::LOCALHOST;
        let [a, b, c] = [0, 1, 2].map(|member| network.source(member));
        assert!(arrives(&network, a, 1) && arrives(&network, client, 0));
        network.cut(&[0, 1]);
        assert!(arrives(&network, a, 1) && arrives(&network, b, 0));
        assert!(arrives(&network, client, 2));
        assert!(!arrives(&network, client, 0));
        assert!(!arrives(&network, c, 0) && !arrives(&network, a, 2));
        network.heal(&[0]);
        assert!(arrives(&network, client, 0) && !arrives(&network, a, 1));
        network.heal_all();
        assert!(arrives(&network, a, 1) && arrives(&network, c, 1));
    }
}
