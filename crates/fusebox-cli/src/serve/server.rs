//! Connections: as many as there may be, each bounded in what it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::access::Peer;

/// Connections at once; the next ones wait. A browser holds about six.
const MAX_CONNECTIONS: usize = 256;

/// How long a request's head may take to come, and a connection be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// Answers whoever connects. Never returns; dropping it ends every connection with the process.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file handles or the like: the next one may have more luck.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
        tokio::spawn(async move {
            let mut connection = http1::Builder::new();
            connection
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD);
            // Whoever goes away in the middle of an answer has it no more.
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(slot);
        });
    }
}
