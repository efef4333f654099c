//! Talking to the engine of another process of this host, over a Unix socket.
//!
//! An engine that [listens](Listener::start) in a directory can be [found](find) there, asked how it is, watched, and
//! operated. Whoever may enter the directory may do all of that: it is made for its owner alone.
//!
//! An engine that counts ([`ListenerBuilder::figures`]) tells what it has counted to whoever asks, and at its end to
//! every [`Inbox`] of the directory; this crate only carries the document.
//!
//! One request per connection, one JSON document per line; [`Request::Watch`] is answered with one event per line until
//! either side goes. What does not fit is answered with an error, and a line of more than 64 KiB ends the connection.

mod client;
mod inbox;
mod listener;
mod protocol;
mod spot;

pub use self::client::{Client, ControlError, Told, Watch, find};
pub use self::inbox::Inbox;
pub use self::listener::{Listener, ListenerBuilder};
pub use self::protocol::{EngineInfo, LastFigures, LiveRunInfo, Overview, Request};
