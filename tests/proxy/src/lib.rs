//! A proxy in front of any HTTP/1.1 service that does harm when told to, and counts what comes.
//!
//! It listens on a free port of the loopback and passes requests on, one per connection. What it
//! is told to do to them is a [`Fault`]: refuse, stall, break off, drip. Answers pass in pieces, as
//! they come, so streams stay streams.
//!
//! ```
//! use fusebox_fault_proxy::{Fault, Proxy};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpStream;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let proxy = Proxy::start("127.0.0.1:9").await?; // nobody is there, which does not matter here
//! proxy.inject(Fault::rate_limit(7));
//!
//! let mut client = TcpStream::connect(proxy.address()).await?;
//! client.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 7\r\n"));
//! assert_eq!((proxy.requests(), proxy.forwarded()), (1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # What it leaves to others
//!
//! TLS, HTTP/2, keep-alive. `fusebox-test-server` harms connections below HTTP.

mod body;
mod exchange;
mod fault;
mod message;
mod plan;
mod proxy;

pub use fault::{At, Fault, Harm};
pub use proxy::Proxy;
