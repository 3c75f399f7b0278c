//! The listener: accepts, bounds how many connections there are and how long a request's head may take, and ends politely.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::TcpListener,
    select,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{
    linger::{Lent, linger},
    unstalled::Unstalled,
};

/// Connections at once; the next one waits in the kernel.
const CONNECTIONS: usize = 1_024;
/// A client that does not send its request's head within this time (or nothing at all, between requests) is let go.
const HEAD: Duration = Duration::from_secs(10);
/// A request's head fits in this many bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How long running answers may take once the server ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Takes the address for HTTP.
///
/// # Errors
/// One sentence that names the address and the mend.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let (what, mend) = match error.kind() {
            io::ErrorKind::AddrInUse => ("another program listens there", "stop it, or choose another port"),
            io::ErrorKind::PermissionDenied => ("this user may not", "choose a port from 1024 on"),
            io::ErrorKind::AddrNotAvailable => ("this machine does not have that address", "choose one that it has"),
            _ => return format!("HTTP cannot listen on {address}: {error}; choose another address with [http] listen"),
        };
        format!("HTTP cannot listen on {address}: {what}; {mend} with [http] listen (or API_PORT)")
    })
}

/// Serves until `shutdown` resolves; then accepts no more, and lets the running answers end.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, (stream, peer)) = select! {
            () = &mut shutdown => break,
            (place, accepted) = next => match accepted {
                Ok(accepted) => (place, accepted),
                Err(error) => {
                    // Out of file descriptors, or the peer left already: the next one may work.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        stream.set_nodelay(true).ok();
        let (stream, back) = Lent::new(stream);
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = router.clone().oneshot(request);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(64)
            .serve_connection(TokioIo::new(Unstalled::new(stream)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A broken connection is the client's affair.
            connection.await.ok();
            if let Ok(stream) = back.await {
                linger(stream).await;
            }
            drop(place);
        });
    }
    drop(listener);
    timeout(GOODBYE, graceful.shutdown()).await.ok();
}
