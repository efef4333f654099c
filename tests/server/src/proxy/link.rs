//! One connection through the proxy.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::control::{Board, Control, Mode};
use super::requests::Requests;

const CHUNK: usize = 16 * 1024;
/// How many chunks wait for their time before no more are read.
const QUEUE: usize = 256;

/// What both directions of a connection share.
struct Link {
    source: IpAddr,
    epoch: u64,
    control: Arc<watch::Sender<Control>>,
    board: Arc<Board>,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Requests,
    Replies,
}

/// Takes charge of a connection that was just made.
pub(super) fn spawn(
    client: TcpStream,
    source: IpAddr,
    control: &Arc<watch::Sender<Control>>,
    board: &Arc<Board>,
) {
    let (epoch, reached) = {
        let now = control.borrow();
        (now.epoch, now.reach.includes(source))
    };
    let link = Link {
        source,
        epoch,
        control: Arc::clone(control),
        board: Arc::clone(board),
    };
    if !reached {
        tokio::spawn(link.swallow(client));
        return;
    }
    let id = board.update(|state| {
        state.connections += 1;
        state.open.insert(state.connections, epoch);
        state.connections
    });
    tokio::spawn(async move {
        let board = Arc::clone(&link.board);
        link.forward(client).await;
        board.update(|state| state.open.remove(&id));
    });
}

impl Link {
    /// A connection made while the network is cut: silence, and a reset once it has healed.
    async fn swallow(self, client: TcpStream) {
        let mut changes = self.control.subscribe();
        let healed = changes.wait_for(|now| now.reach.includes(self.source));
        // Its borrow of the control must end before the next await.
        drop(healed.await);
        reset(&client);
    }

    async fn forward(self, mut client: TcpStream) {
        let mut changes = self.control.subscribe();
        let Some(mut server) = self.reach_server(&mut changes).await else {
            reset(&client);
            return;
        };
        // Fails only for a connection that is gone; reading will tell.
        let _ = client
            .set_nodelay(true)
            .and_then(|()| server.set_nodelay(true));
        let orderly = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let requests = self.pump(Direction::Requests, from_client, to_server);
            let replies = self.pump(Direction::Replies, from_server, to_client);
            let both = async {
                tokio::pin!(replies);
                tokio::select! {
                    ended = &mut replies => ended,
                    // A client that has said all may still wait for replies.
                    ended = requests => match ended {
                        Ok(()) => replies.await,
                        Err(error) => Err(error),
                    },
                }
            };
            let epoch = self.epoch;
            tokio::select! {
                biased;
                _ = changes.wait_for(|now| now.epoch > epoch) => false,
                ended = both => ended.is_ok(),
            }
        };
        if !orderly {
            reset(&client);
            reset(&server);
        }
    }

    /// Waits until there is a server and bytes may move, and connects.
    async fn reach_server(&self, changes: &mut watch::Receiver<Control>) -> Option<TcpStream> {
        let ready = changes.wait_for(|now| {
            now.epoch > self.epoch || (now.server.is_some() && now.moves(self.source))
        });
        let server: SocketAddr = match ready.await {
            Ok(now) if now.epoch == self.epoch => now.server?,
            _ => return None,
        };
        TcpStream::connect(server).await.ok()
    }

    /// Moves bytes one way until their source ends.
    async fn pump(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> io::Result<()> {
        let mut changes = self.control.subscribe();
        let mut buffer = vec![0; CHUNK];
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut requests = Requests::default();
        let mut lossy = false;
        let mut ended = false;
        loop {
            drop(changes.wait_for(|now| now.moves(self.source)).await);
            let mode = changes.borrow_and_update().mode;
            if lossy && !mode.drops() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if ended && waiting.is_empty() {
                return to.shutdown().await;
            }
            let due = waiting.front().map(|(due, _)| *due);
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let (due, bytes) = waiting.pop_front().expect("one is due");
                    // A fault may have come after the bytes were read.
                    if !self.now_moves() {
                        waiting.push_front((due, bytes));
                        continue;
                    }
                    self.write(direction, &mut to, &bytes).await?;
                    if direction == Direction::Requests {
                        let ended = requests.count(&bytes);
                        self.board.update(|state| state.requests += ended);
                    }
                }
                read = from.read(&mut buffer), if !ended && waiting.len() < QUEUE => match read? {
                    0 => ended = true,
                    n if direction == Direction::Replies && self.drops_reply()? => {
                        debug_assert!(n > 0, "an end is no reply");
                        lossy = true;
                    }
                    n => {
                        let due = Instant::now() + self.delay(direction);
                        waiting.push_back((due, buffer[..n].to_vec()));
                    }
                },
            }
        }
    }

    fn now_moves(&self) -> bool {
        self.control.borrow().moves(self.source)
    }

    /// Whether the reply just read is to vanish; an error when its connection is to go with it.
    fn drops_reply(&self) -> io::Result<bool> {
        let mode = self.control.borrow().mode;
        if !mode.drops() {
            return Ok(false);
        }
        if mode == Mode::DropNextReply {
            let mut taken = false;
            self.control.send_if_modified(|now| {
                taken = now.mode == Mode::DropNextReply;
                if taken {
                    now.mode = Mode::Pass;
                }
                taken
            });
            if !taken {
                return Ok(false);
            }
        }
        self.board.update(|state| state.dropped += 1);
        match mode {
            Mode::DropNextReply => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(true),
        }
    }

    fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::Requests => Duration::ZERO,
            Direction::Replies => self.control.borrow().mode.reply_delay(),
        }
    }

    async fn write(
        &self,
        direction: Direction,
        to: &mut WriteHalf<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let slice = direction == Direction::Replies && self.control.borrow().mode == Mode::Slice;
        if !slice {
            return to.write_all(bytes).await;
        }
        for byte in bytes {
            // Counted first: who has read the last byte finds all of them counted.
            self.board.update(|state| state.slices += 1);
            to.write_all(&[*byte]).await?;
            // Gives the reader a chance to see it alone.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Makes the end of the connection an RST. Fails only for one that is reset already.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
