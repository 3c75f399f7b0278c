//! The listener: accepts, bounds how many connections there are, and ends politely.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use milo_signaling::{Certificate, SignalingError};
use tokio::{
    net::TcpListener,
    select,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::connection::{GOODBYE, carry};
use crate::config;

/// Connections at once; the next one waits in the kernel.
const CONNECTIONS: u32 = 1_024;

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

/// The certificate, where there is one: then the listener speaks TLS, and offers HTTP/2.
///
/// # Errors
/// [`SignalingError::Certificate`] names the file that cannot be used.
pub fn certificate(http: &config::Http) -> Result<Option<Arc<Certificate>>, SignalingError> {
    let open = |files| Certificate::open(files, "HTTP listener", &[b"h2", b"http/1.1"]);
    http.certificate().map(open).transpose().map(|certificate| certificate.map(Arc::new))
}

/// Serves until `shutdown` resolves; then accepts no more, and lets the running answers end.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let (end, ending) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, stream, peer) = select! {
            () = &mut shutdown => break,
            (place, accepted) = next => match accepted {
                Ok((stream, peer)) => (place, stream, peer),
                Err(error) => {
                    // Out of file descriptors, or the peer left already: the next one may work.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let carried = carry((stream, peer), certificate.clone(), router.clone(), ending.clone());
        tokio::spawn(async move {
            carried.await;
            drop(place);
        });
    }
    drop(listener);
    end.send_replace(true);
    timeout(GOODBYE, places.acquire_many(CONNECTIONS)).await.ok();
}
