//! Ports of 127.0.0.1 that stay ours.
//!
//! Ports given out by the system lie in the range that outgoing connections and other tests draw
//! from. A server that is down for a while would lose its own, and, worse, Sentinels would take the
//! stranger that got it for their node. So a socket stays bound to each port without listening:
//! nobody connects to it, the system gives the port to nobody else, and a server that sets
//! `SO_REUSEADDR`, as all of ours do, may listen beside it. Only Linux is known to allow that;
//! elsewhere a port is merely looked up, and a lost race is answered by another try.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// The distance of a cluster's bus from the port of its clients, fixed in servers before 7.0.
pub(crate) const BUS: u16 = 10_000;

/// How many ports are looked at for a pair.
const TRIES: u32 = 64;

/// A port that nobody else gets for as long as this lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    port: u16,
    _held: Vec<Socket>,
}

impl Reserved {
    /// Any free port.
    pub(crate) fn free() -> io::Result<Self> {
        let (port, socket) = bind(0)?;
        Ok(Self {
            port,
            _held: hold(socket),
        })
    }

    /// A free port whose cluster bus is free too.
    pub(crate) fn with_bus() -> io::Result<Self> {
        let mut refused = Vec::new();
        for _ in 0..TRIES {
            let (port, socket) = bind(0)?;
            // A port that will not do is kept until the end, so that it is not offered again.
            match port.checked_add(BUS).map(bind) {
                Some(Ok((_, bus))) => {
                    let held = [socket, bus].into_iter().flat_map(hold).collect();
                    return Ok(Self { port, _held: held });
                }
                _ => refused.push(socket),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A socket that listens on the port, where the caller wants to listen itself.
    #[cfg(feature = "faults")]
    pub(crate) fn listen(&self) -> io::Result<std::net::TcpListener> {
        let (_, socket) = bind(self.port)?;
        socket.listen(128)?;
        Ok(socket.into())
    }
}

fn bind(port: u16) -> io::Result<(u16, Socket)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let bound = socket.local_addr()?.as_socket();
    let port = bound.map_or(port, |address| address.port());
    Ok((port, socket))
}

fn hold(socket: Socket) -> Vec<Socket> {
    match cfg!(target_os = "linux") {
        true => vec![socket],
        false => Vec::new(),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::{BUS, Reserved};

    #[test]
    fn a_reserved_port_refuses_connections_and_strangers() {
        let port = Reserved::free().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port.port())).is_err());
        let others: Vec<_> = (0..200).map(|_| Reserved::free().unwrap()).collect();
        assert!(others.iter().all(|other| other.port() != port.port()));
    }

    #[test]
    fn who_reuses_addresses_may_listen_on_a_reserved_port() {
        let port = Reserved::free().unwrap();
        // The standard library sets SO_REUSEADDR on Unix.
        for _ in 0..2 {
            let listener = TcpListener::bind(("127.0.0.1", port.port())).unwrap();
            assert!(TcpStream::connect(("127.0.0.1", port.port())).is_ok());
            drop(listener);
            assert!(TcpStream::connect(("127.0.0.1", port.port())).is_err());
        }
    }

    #[test]
    fn a_pair_leaves_room_for_the_bus() {
        let pair = Reserved::with_bus().unwrap();
        assert!(TcpListener::bind(("127.0.0.1", pair.port() + BUS)).is_ok());
    }
}
