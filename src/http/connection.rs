//! One connection: TLS where there is a certificate, then HTTP/2 where the client asks for it (ALPN), else HTTP/1.1. Whoever sends
//! nothing, or takes nothing, is let go.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{
    Request, Response,
    body::Incoming,
    header,
    http::HeaderValue,
    server::conn::{
        http1::{self, UpgradeableConnection},
        http2,
    },
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use milo_signaling::Certificate;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    select,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    linger::{Lent, linger},
    rest,
    streams::Streams,
    unstalled::Unstalled,
};

/// A client that has not made its TLS handshake, or sent its request's head (or nothing at all, between requests), within this
/// time is let go.
const HEAD: Duration = Duration::from_secs(10);
/// A request's head fits in this many bytes, and in this many fields.
const HEAD_BYTES: usize = 16 * 1024;
const FIELDS: usize = 64;
/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 64;
/// How long running answers may take once a connection shall end.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
const PLAIN_TO_TLS: &str = "This port speaks TLS only: ask with https instead.\n";

/// Serves one connection until it ends, or until `ending` says so.
pub(super) async fn carry(
    (stream, peer): (TcpStream, SocketAddr),
    certificate: Option<Arc<Certificate>>,
    router: Router,
    ending: watch::Receiver<bool>,
) {
    stream.set_nodelay(true).ok();
    let mut first = [0];
    if certificate.is_some() && !matches!(timeout(HEAD, stream.peek(&mut first)).await, Ok(Ok(1))) {
        return;
    }
    let (mut stream, back) = Lent::new(stream);
    match certificate {
        None => over_http1(Unstalled::new(stream), peer, router, ending.clone()).await,
        Some(_) if first[0] != HANDSHAKE => {
            let length = PLAIN_TO_TLS.len();
            let head = format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {length}");
            let answer = format!("{head}\r\nContent-Type: text/plain\r\n\r\n{PLAIN_TO_TLS}");
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
            drop(stream);
        }
        Some(certificate) => {
            let accepted = timeout(HEAD, TlsAcceptor::from(certificate.current()).accept(stream)).await;
            let Ok(Ok(stream)) = accepted else { return };
            let is_second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Unstalled::new(stream);
            if is_second {
                over_http2(stream, peer, router, ending.clone()).await;
            } else {
                over_http1(stream, peer, router, ending.clone()).await;
            }
        }
    }
    let back = back.await;
    let is_ending = *ending.borrow();
    if let (Ok(stream), false) = (back, is_ending) {
        linger(stream).await;
    }
}

async fn over_http1<S>(stream: S, peer: SocketAddr, router: Router, mut ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        // A WebSocket goes on by itself.
        .with_upgrades();
    let over = async { drop(ending.wait_for(|ending| *ending).await) };
    until(connection, over, UpgradeableConnection::graceful_shutdown).await;
}

async fn over_http2<S>(stream: S, peer: SocketAddr, router: Router, mut ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Streams::default();
    let running = streams.clone();
    let service = service_fn(move |request| {
        let (running, router) = (running.begin(), router.clone());
        async move { answer(router, peer, request).await.map(|response| response.map(|body| running.counted(body))) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .serve_connection(TokioIo::new(stream), service);
    let over = async {
        select! {
            _ = ending.wait_for(|ending| *ending) => {}
            () = streams.over() => {}
        }
    };
    until(connection, over, GracefulConnection::graceful_shutdown).await;
}

/// Carries a connection until `over`, and then as long as its running answers may take.
async fn until<C: Future>(connection: C, over: impl Future<Output = ()>, end: impl FnOnce(Pin<&mut C>)) {
    let mut connection = pin!(connection);
    select! {
        // A broken connection is the client's affair.
        _ = connection.as_mut() => return,
        () = over => {}
    }
    end(connection.as_mut());
    timeout(GOODBYE, connection).await.ok();
}

async fn answer(router: Router, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let waits = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let (body, mut back) = rest::Lent::new(body);
    let mut request = Request::from_parts(parts, Body::new(body));
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    // HTTP/2 has it in its target (RFC 9113 section 8.3.1).
    if let Some(host) = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    if let Ok(rest) = back.try_recv() {
        rest.read(waits).await;
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body_util::Empty;
    use hyper::client::conn::http2 as client;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_http2_on_which_nobody_asks_is_let_go() {
        let (near, far) = duplex(1 << 16);
        let (_end, ending) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let carried = tokio::spawn(over_http2(near, peer, Router::new(), ending));
        let (_sender, connection) =
            client::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(far)).await.expect("h2");
        tokio::spawn(connection);
        let ended = timeout(Duration::from_secs(600), carried).await;
        ended.expect("the connection is still there").expect("no panic");
    }
}
