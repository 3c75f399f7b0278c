//! SIP over WebSocket (RFC 7118) over real sockets: a browser's call, plain and inside TLS, and who is not let in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use milo_media::PortPool;
use milo_signaling::{
    CertificateFiles, Endpoint, EndpointConfig, Invitations, Transport,
    sip::{Message, Method, Name, parse},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, client::IntoClientRequest, http::header},
};

const SOON: Duration = Duration::from_secs(10);
const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("within ten seconds")
}

fn bind(certificate: Option<CertificateFiles>, idle: Duration) -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let wss = certificate.iter().map(|_| at).collect();
    let config = EndpointConfig { ws: vec![at], wss, certificate, idle, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

fn at(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

/// Opens a WebSocket with these header fields.
async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    to: SocketAddr,
    fields: &[(header::HeaderName, &str)],
) -> Result<WebSocketStream<S>, tungstenite::Error> {
    let mut request = format!("ws://{to}/").into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    soon(client_async(request, stream)).await.map(|(socket, _)| socket)
}

const AS_SIP: (header::HeaderName, &str) = (header::SEC_WEBSOCKET_PROTOCOL, "sip");

async fn heard<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            tungstenite::Message::Text(text) => return parse(text.as_bytes()).unwrap(),
            tungstenite::Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn request(method: &str, via: &str, tag: &str, body: &str) -> String {
    let (kind, to_tag) = (if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" }, tag);
    let branch = method.to_ascii_lowercase();
    format!(
        "{method} sip:milo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{via} df7jal23ls0d.invalid;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:rasoa@example.com>;tag=rasoa\r\nTo: <sip:milo@127.0.0.1>{to_tag}\r\n\
         Call-ID: 1@df7jal23ls0d.invalid\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:rasoa@df7jal23ls0d.invalid;transport=ws>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A browser calls, is answered, and is hung up on: all on its one connection.
async fn browser_calls(
    socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
    door: &mut Invitations,
    via: &str,
) {
    socket.send(request("INVITE", via, "", SDP).into()).await.unwrap();
    let invitation = soon(door.next()).await.unwrap();
    let answering = tokio::spawn(invitation.answer());
    let mut answer = heard(socket).await;
    while answer.status() == Some(100) {
        answer = heard(socket).await;
    }
    assert_eq!(answer.status(), Some(200), "{answer:?}");
    let contact = answer.contact().unwrap().unwrap().uri;
    assert_eq!(contact.param("transport"), Some("ws"), "{contact}");
    let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
    socket.send(request("ACK", via, &tag, "").into()).await.unwrap();
    let (dialog, _leg) = soon(answering).await.unwrap().unwrap();
    // A frame of bytes is as good as one of text.
    let options = request("OPTIONS", via, "", "").replace("CSeq: 1 ", "CSeq: 2 ").replace("1@df", "2@df");
    socket.send(options.into_bytes().into()).await.unwrap();
    assert_eq!(heard(socket).await.status(), Some(200));
    let leaving = tokio::spawn(async move {
        dialog.hang_up().await.unwrap();
    });
    let bye = heard(socket).await;
    assert_eq!(bye.method(), Some(&Method::Bye));
    assert_eq!(bye.uri().unwrap().to_string(), "sip:rasoa@df7jal23ls0d.invalid;transport=ws");
    let ours = bye.headers.get(Name::VIA).unwrap();
    assert!(ours.starts_with(&format!("SIP/2.0/{via} ")), "{ours}");
    let ok = Message::response_to(&bye, 200, "").to_bytes();
    socket.send(String::from_utf8(ok).unwrap().into()).await.unwrap();
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn a_browser_calls_by_websocket() {
    let (endpoint, mut door) = bind(None, HOUR);
    let to = at(&endpoint, Transport::Ws);
    let mut socket = open(TcpStream::connect(to).await.unwrap(), to, &[AS_SIP]).await.unwrap();
    browser_calls(&mut socket, &mut door, "WS").await;
    socket.send("\r\n\r\n".into()).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), "\r\n".into(), "the keep-alive of RFC 5626");
}

#[tokio::test]
async fn a_browser_calls_by_secure_websocket() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir().join(format!("milo-wss-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let files = CertificateFiles { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&files.chain, made.cert.pem()).unwrap();
    let (endpoint, mut door) = bind(Some(files), HOUR);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let to = at(&endpoint, Transport::Wss);
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap();
    let mut socket = open(stream, to, &[AS_SIP]).await.unwrap();
    browser_calls(&mut socket, &mut door, "WSS").await;
    fs::remove_dir_all(folder).ok();
}

#[tokio::test]
async fn a_browser_that_leaves_ends_its_call_when_it_cannot_be_reached() {
    let (endpoint, mut door) = bind(None, HOUR);
    let to = at(&endpoint, Transport::Ws);
    let mut socket = open(TcpStream::connect(to).await.unwrap(), to, &[AS_SIP]).await.unwrap();
    socket.send(request("INVITE", "WS", "", SDP).into()).await.unwrap();
    let answering = tokio::spawn(soon(door.next()).await.unwrap().answer());
    let answer = heard(&mut socket).await;
    let tag = format!(";tag={}", answer.to().unwrap().tag().unwrap());
    socket.send(request("ACK", "WS", &tag, "").into()).await.unwrap();
    let (dialog, _leg) = soon(answering).await.unwrap().unwrap();
    drop(socket);
    soon(async {
        while endpoint.counters().connections > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // There is no way to its sent-by: no connection is tried, and nothing is left.
    drop(dialog);
    soon(async {
        while endpoint.counters().calls > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(endpoint.counters().connections, 0);
}

#[tokio::test]
async fn who_speaks_no_sip_comes_from_elsewhere_or_sends_too_much_is_not_let_in() {
    let (endpoint, _door) = bind(None, HOUR);
    let to = at(&endpoint, Transport::Ws);
    let refused =
        async |fields: &[(header::HeaderName, &str)]| match open(TcpStream::connect(to).await.unwrap(), to, fields)
            .await
        {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("{:?}", other.map(drop)),
        };
    assert_eq!(refused(&[]).await, 400);
    assert_eq!(refused(&[(header::SEC_WEBSOCKET_PROTOCOL, "chat, superchat")]).await, 400);
    assert_eq!(refused(&[AS_SIP, (header::ORIGIN, "https://evil.example")]).await, 403);
    let ours = format!("http://{}:8000", to.ip());
    for fields in [vec![AS_SIP, (header::ORIGIN, ours.as_str())], vec![(header::SEC_WEBSOCKET_PROTOCOL, "chat, sip")]] {
        open(TcpStream::connect(to).await.unwrap(), to, &fields).await.unwrap();
    }
    let mut socket = open(TcpStream::connect(to).await.unwrap(), to, &[AS_SIP]).await.unwrap();
    socket.send("x".repeat(200_000).into()).await.ok();
    let ended = soon(socket.next()).await;
    assert!(matches!(ended, None | Some(Err(_) | Ok(tungstenite::Message::Close(_)))), "{ended:?}");
}
