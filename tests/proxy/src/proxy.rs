//! The proxy itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::exchange;
use crate::fault::Fault;
use crate::plan::Plan;

/// A proxy on a free port of the loopback. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<Mutex<String>>,
    plan: Arc<Plan>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, `host:port`.
    ///
    /// # Errors
    /// If no port can be bound.
    ///
    /// # Panics
    /// Outside a Tokio runtime with its I/O and time drivers on.
    pub async fn start(upstream: impl Into<String>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Mutex::new(upstream.into()));
        let plan = Arc::new(Plan::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&upstream), Arc::clone(&plan)));
        Ok(Self {
            address,
            upstream,
            plan,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as the beginning of a URL: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets what requests to come are passed on to.
    pub fn set_upstream(&self, upstream: impl Into<String>) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream.into();
    }

    /// Does this to all requests to come, after the faults injected before it have had theirs.
    pub fn inject(&self, fault: Fault) {
        self.plan.add(fault, None);
    }

    /// Does this to the next so many requests, after the faults injected before it have had theirs.
    pub fn inject_times(&self, fault: Fault, times: u32) {
        self.plan.add(fault, Some(times));
    }

    /// Does nothing more to requests to come. One that is being harmed stays so.
    pub fn clear(&self) {
        self.plan.clear();
    }

    /// Requests that came.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.plan.requests()
    }

    /// Requests that were passed on.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.plan.forwarded()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: Arc<Mutex<String>>, plan: Arc<Plan>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let upstream = upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    connections.spawn(exchange::serve(client, upstream, Arc::clone(&plan)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
