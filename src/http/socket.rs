//! Opening and closing a WebSocket (RFC 6455): the handshake over HTTP/1.1, which pages may have one, and an end that the other side
//! hears of.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, sync::Notify, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::Problem;

/// The largest message that is taken, in bytes.
pub(super) const LARGEST: usize = 64 << 10;
/// Messages that wait for a client to read them: five seconds of sound. One more, and it is let go.
const WAITING: usize = 256;
/// How long a write may wait for room at the client.
pub(super) const WRITE: Duration = Duration::from_secs(10);
/// How long the client has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// The reason in a close frame has as many bytes at most (RFC 6455 section 5.5).
const REASON: usize = 123;

/// An open one.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An extractor: the request opens a WebSocket.
#[derive(Debug)]
pub(super) struct Opening {
    on: OnUpgrade,
    accept: HeaderValue,
}

impl<S: Send + Sync> FromRequestParts<S> for Opening {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if !names(headers, header::CONNECTION, "upgrade") || !names(headers, header::UPGRADE, "websocket") {
            return Err(Problem::upgrade_required("this address is for a WebSocket: open it with one (wss://…)"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let says = "only version 13 of the WebSocket protocol is spoken (Sec-WebSocket-Version)";
            return Err(Problem::upgrade_required(says));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
            return Err(Problem::bad_request("Sec-WebSocket-Key is not the base64 of 16 bytes"));
        }
        let accept = HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is plain text");
        // HTTP/2 has none.
        let on = parts.extensions.remove::<OnUpgrade>();
        let on = on.ok_or_else(|| Problem::upgrade_required("a WebSocket is opened over HTTP/1.1 here"))?;
        Ok(Self { on, accept })
    }
}

impl Opening {
    /// Answers 101, and gives the socket to `carry`, which is dropped should the client be gone.
    pub(super) fn open<F: Future<Output = ()> + Send + 'static>(
        self,
        carry: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response {
        let on = self.on;
        tokio::spawn(async move {
            let Ok(upgraded) = on.await else { return };
            let config = WebSocketConfig::default()
                .read_buffer_size(8 << 10)
                .write_buffer_size(0)
                .max_write_buffer_size(64 << 20)
                .max_message_size(Some(LARGEST))
                .max_frame_size(Some(LARGEST));
            carry(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await).await;
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().extend([
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ]);
        response
    }
}

/// Whether a list of tokens has this one.
fn names(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// Whether the page that asks may (RFC 6455 section 10.2): one of this very host, or of `[http] cors_origins`. Who sends no Origin is
/// no browser.
fn is_welcome(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if origins.iter().any(|known| known == "*" || known == origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let page = origin.split_once("://").map(|(_, host)| host);
    page.zip(host).is_some_and(|(page, host)| !page.is_empty() && page.eq_ignore_ascii_case(host))
}

/// The same, or why not.
pub(super) fn welcome(headers: &HeaderMap, origins: &[String]) -> Result<(), Problem> {
    if is_welcome(headers, origins) {
        return Ok(());
    }
    let says =
        "pages of this origin may not call: add it to [http] cors_origins, or open the page from Milo's own host";
    Err(Problem::forbidden(says).coded("origin_refused"))
}

/// Why a socket is closed (RFC 6455 section 7.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    code: CloseCode,
    reason: String,
}

impl Close {
    fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// 1000: all is done.
    pub(super) fn done(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Normal, reason)
    }

    /// 1001: Milo ends.
    pub(super) fn away(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Away, reason)
    }

    /// 1003: what came is of a kind that is not taken.
    pub(super) fn unsupported(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Unsupported, reason)
    }

    /// 1007: what came is not what its kind should be.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Invalid, reason)
    }

    /// 1008: the client does what it must not.
    pub(super) fn policy(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Policy, reason)
    }

    /// 1009: it was too much.
    pub(super) fn too_big(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Size, reason)
    }

    /// 1011: an engine failed, or something else here did.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Error, reason)
    }

    /// 1013: later there may be room.
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self::new(CloseCode::Again, reason)
    }

    /// The sentence.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    fn frame(&self) -> CloseFrame {
        let end = (0..=REASON.min(self.reason.len())).rev().find(|end| self.reason.is_char_boundary(*end));
        CloseFrame { code: self.code, reason: self.reason[..end.unwrap_or(0)].into() }
    }
}

/// What waits to be sent. Bounded: whoever does not read is let go.
///
/// A lock, because what waits of a sound is taken back when it shall not be heard any more; held for one push or pop.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// And whether each is sound.
    waiting: Mutex<VecDeque<(Message, bool)>>,
    more: Notify,
}

impl Outbox {
    /// A message is to be sent. Says whether there was room.
    pub(super) fn put(&self, message: Message) -> bool {
        self.push(message, false)
    }

    /// The same of sound.
    pub(super) fn put_sound(&self, message: Message) -> bool {
        self.push(message, true)
    }

    fn push(&self, message: Message, is_sound: bool) -> bool {
        {
            let mut waiting = self.lock();
            if waiting.len() >= WAITING {
                return false;
            }
            waiting.push_back((message, is_sound));
        }
        self.more.notify_one();
        true
    }

    /// Sound that waits is not sent.
    pub(super) fn take_back_sound(&self) {
        self.lock().retain(|(_, is_sound)| !is_sound);
    }

    fn pop(&self) -> Option<Message> {
        self.lock().pop_front().map(|(message, _)| message)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Message, bool)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is put, for ever; why it cannot, at last.
    pub(super) async fn send(&self, sink: &mut (impl SinkExt<Message> + Unpin)) -> Close {
        loop {
            let Some(message) = self.pop() else {
                self.more.notified().await;
                continue;
            };
            match timeout(WRITE, sink.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Close::done("the client is gone"),
                Err(_) => return Close::policy("the client does not read what it is sent"),
            }
        }
    }
}

/// Sends what still waits, says goodbye, and waits a moment for the client to say so too. What it still sends is read by the
/// connection (linger.rs), so that it sees the goodbye.
pub(super) async fn close(mut socket: Socket, outbox: &Outbox, close: &Close) {
    let farewell = async {
        while let Some(message) = outbox.pop() {
            socket.feed(message).await.ok()?;
        }
        socket.send(Message::Close(Some(close.frame()))).await.ok()?;
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    timeout(GOODBYE, farewell).await.ok();
    timeout(GOODBYE, socket.get_mut().shutdown()).await.ok();
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
    fn pages_of_this_host_or_of_the_list_are_welcome() {
        assert!(admits(None, "127.0.0.1:8000", &[]), "no browser");
        assert!(admits(Some("http://127.0.0.1:8000"), "127.0.0.1:8000", &[]));
        assert!(admits(Some("https://Milo.example"), "milo.example", &[]));
        assert!(admits(Some("https://app.example"), "milo.example", &["https://app.example"]));
        assert!(admits(Some("https://any.example"), "milo.example", &["*"]));
        for stranger in ["https://evil.example", "http://127.0.0.1:8001", "null", "https://"] {
            assert!(!admits(Some(stranger), "127.0.0.1:8000", &["https://app.example"]), "{stranger}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let close = Close::done("é".repeat(100));
        assert_eq!(close.frame().reason.as_str(), "é".repeat(61));
        assert_eq!(Close::done("done").frame().reason.as_str(), "done");
    }

    #[tokio::test]
    async fn an_outbox_that_is_full_says_so_and_sound_can_be_taken_back() {
        let outbox = Outbox::default();
        let put = |n: usize| {
            if n.is_multiple_of(2) { outbox.put(Message::text("a")) } else { outbox.put_sound(Message::text("b")) }
        };
        assert!((0..WAITING).all(put));
        assert!(!outbox.put(Message::text("c")));
        outbox.take_back_sound();
        assert!(outbox.put(Message::text("c")));
        assert_eq!(std::iter::from_fn(|| outbox.pop()).count(), WAITING / 2 + 1);
    }
}
