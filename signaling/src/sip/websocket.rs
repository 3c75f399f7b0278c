//! SIP over WebSocket (RFC 7118), server side: one message a frame, text or binary. A peer that is silent to pings, sends
//! too much or asks for another subprotocol loses its connection.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Error, Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};
use tracing::debug;

use super::{
    connection::{HALF_OPEN, HANDSHAKE, Terms, WRITE},
    flow::{Flow, Packet},
    parse::{MAX_BODY, MAX_HEAD, parse},
    transaction::table::TransactionId,
    transport::Inbound,
};

/// The subprotocol (RFC 7118 section 4.1).
const SIP: &str = "sip";
/// How often a peer is asked whether it lives, which also keeps the NATs on the way from forgetting it.
const PING: Duration = Duration::from_secs(30);
/// The largest message, in bytes.
const MESSAGE: usize = MAX_HEAD + MAX_BODY;

/// Serves a connection until one side closes it; returns the request that was being sent when it broke.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    flow: Flow,
    terms: &Terms,
    waiting: &mut mpsc::Receiver<Packet>,
    inbox: &mpsc::Sender<Inbound>,
) -> Option<TransactionId> {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    #[expect(clippy::result_large_err, reason = "the response is tungstenite's own")]
    let welcome = |request: &Request, response: Response| welcome(request, response, &terms.origins);
    let mut socket = match timeout(HANDSHAKE, accept_hdr_async_with_config(stream, welcome, Some(config))).await {
        Ok(Ok(socket)) => socket,
        failed => {
            debug!(peer = %flow.remote, failed = ?failed.map(|opened| opened.map(drop)), "no WebSocket");
            return None;
        }
    };
    let broken = converse(&mut socket, flow, terms, waiting, inbox).await;
    // Ignored: the other side may be gone already.
    let _ = timeout(HANDSHAKE, socket.close(None)).await;
    broken
}

async fn converse(
    socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
    flow: Flow,
    terms: &Terms,
    waiting: &mut mpsc::Receiver<Packet>,
    inbox: &mpsc::Sender<Inbound>,
) -> Option<TransactionId> {
    let mut pings = interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Each ping brings a frame: a peer that lives is never silent for longer, and a frame that drips in is none.
    let mut silent = Instant::now() + PING + HALF_OPEN;
    // When the last message of SIP came.
    let (mut last, mut met) = (Instant::now(), false);
    loop {
        tokio::select! {
            frame = timeout_at(silent, socket.next()) => {
                let Ok(Some(Ok(frame))) = frame else { return None };
                silent = Instant::now() + PING + HALF_OPEN;
                let bytes: &[u8] = match &frame {
                    Message::Text(text) => text.as_bytes(),
                    Message::Binary(bytes) => bytes,
                    Message::Close(_) => return None,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                if bytes == b"\r\n\r\n" {
                    put(socket, Message::text("\r\n")).await.ok()?;
                    continue;
                }
                (last, met) = (Instant::now(), true);
                let inbound = match parse(bytes) {
                    Ok(message) => Inbound::Message(flow, message),
                    Err(error) => Inbound::Unreadable(flow, error),
                };
                inbox.send(inbound).await.ok()?;
            }
            packet = waiting.recv() => {
                let packet = packet?;
                let frame = match str::from_utf8(&packet.bytes) {
                    Ok(text) => Message::text(text),
                    Err(_) => Message::binary(packet.bytes.to_vec()),
                };
                if let Err(error) = put(socket, frame).await {
                    debug!(peer = %flow.remote, %error, "a connection failed");
                    return packet.transaction;
                }
            }
            _ = pings.tick() => {
                put(socket, Message::Ping(Vec::new().into())).await.ok()?;
                if !met && last.elapsed() >= HALF_OPEN {
                    return None;
                }
                if last.elapsed() >= terms.idle {
                    last = Instant::now();
                    inbox.send(Inbound::Idle(flow)).await.ok()?;
                }
            }
        }
    }
}

async fn put(socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>, frame: Message) -> Result<(), Error> {
    let sent = timeout(WRITE, socket.send(frame)).await;
    sent.unwrap_or_else(|_| Err(Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// Judges the request to open a WebSocket (RFC 6455 section 4.2.2).
#[expect(clippy::result_large_err, reason = "the response is tungstenite's own")]
fn welcome(request: &Request, mut response: Response, origins: &[String]) -> Result<Response, ErrorResponse> {
    let asked = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = asked.filter_map(|names| names.to_str().ok()).flat_map(|names| names.split(','));
    if !names.any(|name| name.trim().eq_ignore_ascii_case(SIP)) {
        return Err(refusal(StatusCode::BAD_REQUEST, "only the WebSocket subprotocol sip is spoken here"));
    }
    if !is_welcome(request.headers(), origins) {
        return Err(refusal(StatusCode::FORBIDDEN, "pages of this origin may not call"));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    Ok(response)
}

/// Whether the page that asks may (RFC 6455 section 10.2): one of the list, or where there is none, one of the very host
/// that it connects to. Else any page that somebody on this machine looks at could call. Who sends no Origin is no browser.
fn is_welcome(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if !origins.is_empty() {
        return origins.iter().any(|known| known.trim_end_matches('/').eq_ignore_ascii_case(origin));
    }
    let asked = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(without_port);
    let page = origin.split_once("://").map(|(_, host)| without_port(host));
    page.is_some() && page == asked
}

fn without_port(host: &str) -> String {
    let end = host.rfind(':').filter(|colon| !host.get(*colon..).unwrap_or_default().contains(']'));
    host.get(..end.unwrap_or(host.len())).unwrap_or_default().to_ascii_lowercase()
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(origin: Option<&str>, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_welcome(&headers, &origins.iter().map(|&origin| origin.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn pages_of_the_same_host_or_of_the_list_are_welcome() {
        assert!(admits(None, "127.0.0.1:8088", &[]), "no browser");
        assert!(admits(Some("http://127.0.0.1:8000"), "127.0.0.1:8088", &[]));
        assert!(admits(Some("https://Milo.example"), "milo.example:443", &[]));
        assert!(admits(Some("http://[::1]:8000"), "[::1]:8088", &[]));
        assert!(!admits(Some("https://evil.example"), "127.0.0.1:8088", &[]));
        assert!(!admits(Some("null"), "127.0.0.1:8088", &[]), "a file, or a page in a sandbox");
        assert!(admits(Some("https://app.example"), "milo.example", &["https://app.example/"]));
        assert!(!admits(Some("https://milo.example"), "milo.example", &["https://app.example"]));
    }
}
