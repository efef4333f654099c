//! A proxy that does harm on purpose: a fault injector between a client and its server.

mod control;
mod link;
mod requests;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;

use crate::port::Reserved;
use control::{Board, Control, Mode};

pub(crate) use control::Reach;

/// A fault injector: listens on a free port of 127.0.0.1 and forwards to a server, until told
/// to do worse.
///
/// It starts passing. Each fault holds until the next one or [`pass`](Self::pass); whatever a
/// client writes after a fault's method has returned meets that fault. Bytes go through as they
/// are, TLS included. While the server is down, connections are taken and reset. Dropping the proxy
/// closes its listener and all connections.
///
/// | method | new connections | open connections |
/// |---|---|---|
/// | [`pass`](Self::pass) | forwarded | forwarded |
/// | [`refuse`](Self::refuse) | connection refused | forwarded |
/// | [`reset`](Self::reset) | as before | reset (RST) |
/// | [`drop_replies`](Self::drop_replies) | requests arrive, replies vanish | the same |
/// | [`drop_next_reply`](Self::drop_next_reply) | the first reply vanishes, then reset | the same |
/// | [`hold`](Self::hold) | taken, nothing moves | nothing moves, nothing is lost |
/// | [`delay`](Self::delay) | replies arrive late | the same |
/// | [`slice`](Self::slice) | replies arrive byte by byte | the same |
/// | [`cut`](Self::cut) | a black hole | as packets lost: silence, the rest after [`heal`](Self::heal) |
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    control: Arc<watch::Sender<Control>>,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of `server`, an address or `("127.0.0.1", port)` of this machine.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn start(server: impl Into<SocketAddr>) -> io::Result<Self> {
        let proxy = Self::start_without_server()?;
        proxy.lead_to(server);
        Ok(proxy)
    }

    /// A proxy in front of a port of 127.0.0.1.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn to_port(port: u16) -> io::Result<Self> {
        Self::start((Ipv4Addr::LOCALHOST, port))
    }

    /// A proxy that has its port before its server has one; connections wait for
    /// [`lead_to`](Self::lead_to).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_without_server() -> io::Result<Self> {
        let reserved = Reserved::free()?;
        let port = reserved.port();
        let listener = reserved.listen()?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let control = Arc::new(watch::Sender::new(Control::default()));
        let board = Arc::new(Board::default());
        let (ours, pinned) = (Arc::clone(&control), Arc::clone(&board));
        let thread = thread::Builder::new()
            .name(format!("fault proxy {port}"))
            .spawn(move || runtime.block_on(serve(reserved, listener, ours, pinned)))?;
        Ok(Self {
            port,
            control,
            board,
            thread: Some(thread),
        })
    }

    /// Leads connections made from now on to `server`.
    pub fn lead_to(&self, server: impl Into<SocketAddr>) {
        let server = server.into();
        self.change(|control| control.server = Some(server));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Forwards everything, as at the start. What was held moves on; a connection that lost a
    /// reply is reset, since later replies would answer the wrong requests.
    ///
    /// # Panics
    /// If the port cannot be listened on again after [`refuse`](Self::refuse).
    pub fn pass(&self) {
        self.set(Mode::Pass);
        self.board.wait("listen again", |state| state.listening);
    }

    /// Closes the listener: new connections are refused, open ones go on.
    pub fn refuse(&self) {
        self.set(Mode::Refuse);
        self.board.wait("stop listening", |state| !state.listening);
    }

    /// Resets every open connection on both sides (RST, not an orderly end), and returns when
    /// they are gone. The mode stays.
    pub fn reset(&self) {
        let mut epoch = 0;
        self.change(|control| {
            control.epoch += 1;
            epoch = control.epoch;
        });
        self.board.wait("reset connections", |state| {
            state.open.values().all(|opened_in| *opened_in >= epoch)
        });
    }

    /// Forwards requests and swallows replies: the server does what it is told, and the client
    /// hears nothing.
    pub fn drop_replies(&self) {
        self.set(Mode::DropReplies);
    }

    /// Swallows the next reply, resets its connection and passes from then on: one write whose
    /// outcome is unknown to its client.
    pub fn drop_next_reply(&self) {
        self.set(Mode::DropNextReply);
    }

    /// Stalls both directions with connections open; [`pass`](Self::pass) releases what came in
    /// meanwhile, in order.
    pub fn hold(&self) {
        self.set(Mode::Hold);
    }

    /// Replies arrive this much later than they were given.
    pub fn delay(&self, by: Duration) {
        self.set(Mode::Delay(by));
    }

    /// Replies are written one byte at a time.
    pub fn slice(&self) {
        self.set(Mode::Slice);
    }

    /// A network that loses every packet: nothing is forwarded and nobody is told.
    ///
    /// New connections are made (a kernel completes them for us) and are never answered; they are
    /// reset by [`heal`](Self::heal), and nothing written to them reaches the server. On open ones
    /// what was written arrives after healing, as TCP would send it again. The mode stays.
    pub fn cut(&self) {
        self.reach(Reach::Only(BTreeSet::new()));
    }

    /// Ends [`cut`](Self::cut).
    pub fn heal(&self) {
        self.reach(Reach::All);
    }

    /// How many connections were taken so far, those into a black hole left out.
    pub fn connections(&self) -> u64 {
        self.board.read(|state| state.connections)
    }

    /// How many are open now.
    pub fn open_connections(&self) -> usize {
        self.board.read(|state| state.open.len())
    }

    /// How many whole requests were forwarded to the server so far. Of connections that speak
    /// something else, TLS for instance, none is counted.
    pub fn requests(&self) -> u64 {
        self.board.read(|state| state.requests)
    }

    /// How many reads from the server were swallowed so far; each held one reply or more.
    pub fn dropped_replies(&self) -> u64 {
        self.board.read(|state| state.dropped)
    }

    /// How many bytes were written alone so far.
    pub fn slices(&self) -> u64 {
        self.board.read(|state| state.slices)
    }

    /// Returns when [`dropped_replies`](Self::dropped_replies) is `count` or more.
    ///
    /// # Panics
    /// If that takes more than 10 s.
    pub fn wait_for_dropped_replies(&self, count: u64) {
        self.board
            .wait("swallow replies", |state| state.dropped >= count);
    }

    /// Returns when [`requests`](Self::requests) is `count` or more.
    ///
    /// # Panics
    /// If that takes more than 10 s.
    pub fn wait_for_requests(&self, count: u64) {
        self.board
            .wait("forward requests", |state| state.requests >= count);
    }

    /// Whose packets get through.
    pub(crate) fn reach(&self, reach: Reach) {
        self.change(|control| control.reach = reach);
    }

    fn set(&self, mode: Mode) {
        self.change(|control| control.mode = mode);
    }

    fn change(&self, change: impl FnOnce(&mut Control)) {
        self.control.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|control| control.closed = true);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed; a drop must not add another.
            let _ = thread.join();
        }
    }
}

/// Takes connections until the proxy is closed.
async fn serve(
    reserved: Reserved,
    listener: std::net::TcpListener,
    control: Arc<watch::Sender<Control>>,
    board: Arc<Board>,
) {
    let mut changes = control.subscribe();
    let mut listener = TcpListener::from_std(listener).ok();
    loop {
        let (closed, refuse) = {
            let now = changes.borrow_and_update();
            (now.closed, now.mode == Mode::Refuse)
        };
        if closed {
            return;
        }
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = listen_again(&reserved);
        }
        board.update(|state| state.listening = listener.is_some());
        tokio::select! {
            biased;
            _ = changes.changed() => {}
            Some((client, source)) = accept(listener.as_ref()) => {
                link::spawn(client, source, &control, &board);
            }
            // The port is ours where ports can be held; elsewhere we wait for it.
            () = tokio::time::sleep(Duration::from_millis(5)), if listener.is_none() && !refuse => {}
        }
    }
}

fn listen_again(reserved: &Reserved) -> Option<TcpListener> {
    let listener = reserved.listen().ok()?;
    listener.set_nonblocking(true).ok()?;
    TcpListener::from_std(listener).ok()
}

/// Never ready without a listener. A connection that was given up before it was taken is none.
async fn accept(listener: Option<&TcpListener>) -> Option<(tokio::net::TcpStream, IpAddr)> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((client, address)) = listener.accept().await {
            return Some((client, address.ip()));
        }
        tokio::task::yield_now().await;
    }
}
