//! One stream connection: reads and frames what comes, writes what waits.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::debug;

use super::{
    flow::{Flow, Packet, Transport},
    framing::{Item, StreamFramer},
    keep_alive::PING,
    places::Opener,
    tls::{Certificate, refusal},
    transaction::table::TransactionId,
    transport::Inbound,
    trust::{TlsPeer, Trust},
    websocket,
};

/// How long a connection attempt may take, with its TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a peer may take for each of the handshakes of TLS and WebSocket.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection is probed after so long without a packet, and then each so often, three times.
const QUIET: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(10);
/// What was sent and is not acknowledged within this ends the connection: the transaction that it belongs to has not ended yet
/// (timer F, RFC 3261 section 17.1.2.2).
#[cfg(target_os = "linux")]
const UNHEARD: Duration = Duration::from_secs(20);
/// How long one write may take.
pub(super) const WRITE: Duration = Duration::from_secs(32);
/// How long a peer may take from the first to the last byte of a message, and to its first message.
pub(super) const HALF_OPEN: Duration = Duration::from_secs(32);
/// Why what waited on a connection was not sent that was there.
const BROKEN: &str = "the connection broke";
/// Answer to a keep-alive (RFC 5626 section 4.4.1).
const PONG: &[u8] = b"\r\n";
/// How long ours may be unanswered by a peer that has answered before.
const UNANSWERED: Duration = Duration::from_secs(10);

/// What the two halves of a stream know of the keep-alives that we send on it.
#[derive(Debug, Default)]
struct Pongs {
    /// One of ours is not answered yet.
    awaited: AtomicBool,
    /// The peer has answered one: it answers the others as well, or is gone.
    known: AtomicBool,
}

/// What the endpoint's task keeps of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    pub(crate) opener: Opener,
    /// Whom we have opened it to, inside TLS.
    pub(crate) peer: Option<TlsPeer>,
    /// Dropping it closes the connection once what waits has been written.
    pub(crate) queue: mpsc::Sender<Packet>,
    pub(crate) task: AbortHandle,
}

/// What holds for every connection of an endpoint.
#[derive(Debug)]
pub(crate) struct Terms {
    /// How long a connection that no call needs may be silent.
    pub(crate) idle: Duration,
    /// The web pages that may connect by WebSocket; empty: those of the host that they connect to.
    pub(crate) origins: Vec<String>,
    /// What we show to those who connect by TLS.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Whom we believe when a connection to somebody who called us must be opened again.
    pub(crate) trust: Option<Trust>,
}

/// Opens a connection, inside TLS where there is a name to be shown, and serves it.
pub(crate) async fn open(
    peer: Option<TlsPeer>,
    flow: Flow,
    terms: Arc<Terms>,
    mut waiting: mpsc::Receiver<Packet>,
    inbox: mpsc::Sender<Inbound>,
) {
    let connected = async {
        let stream = TcpStream::connect(flow.remote).await?;
        prepare(&stream);
        match &peer {
            Some(peer) => {
                let secured = TlsConnector::from(peer.config().await).connect(peer.name.clone(), stream).await?;
                Ok::<_, io::Error>((None, Some(secured)))
            }
            None => Ok((Some(stream), None)),
        }
    };
    match timeout(CONNECT, connected).await {
        Ok(Ok((Some(plain), _))) => talk(plain, flow, &terms, waiting, inbox).await,
        Ok(Ok((_, Some(secured)))) => talk(secured, flow, &terms, waiting, inbox).await,
        failed => {
            let why = match failed {
                Ok(Err(error)) => refusal(&error),
                _ => format!("no connection came about within {} s", CONNECT.as_secs()),
            };
            debug!(peer = %flow.remote, transport = %flow.transport, why, "no connection");
            finish(flow, Vec::new(), why, &mut waiting, &inbox).await;
        }
    }
}

/// Messages are small and answers are waited for; and a peer that is gone without a word (a router that lost its table, a machine
/// that was switched off) is found out, so that the next request opens a connection anew. A socket that refuses serves all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(QUIET).with_interval(PROBE).with_retries(3));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNHEARD));
}

/// Serves a connection that a peer has opened.
pub(crate) async fn accepted(
    stream: TcpStream,
    flow: Flow,
    terms: Arc<Terms>,
    mut waiting: mpsc::Receiver<Packet>,
    inbox: mpsc::Sender<Inbound>,
) {
    prepare(&stream);
    let Some(certificate) = terms.certificate.as_ref().filter(|_| flow.transport.is_secure()) else {
        return talk(stream, flow, &terms, waiting, inbox).await;
    };
    match timeout(HANDSHAKE, TlsAcceptor::from(certificate.current()).accept(stream)).await {
        Ok(Ok(secured)) => talk(secured, flow, &terms, waiting, inbox).await,
        failed => {
            debug!(peer = %flow.remote, why = ?failed.map(|accepted| accepted.map(drop)), "no TLS");
            finish(flow, Vec::new(), BROKEN.to_owned(), &mut waiting, &inbox).await;
        }
    }
}

/// Serves a connection until one side closes it.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    flow: Flow,
    terms: &Terms,
    mut waiting: mpsc::Receiver<Packet>,
    inbox: mpsc::Sender<Inbound>,
) {
    let unsent = if matches!(flow.transport, Transport::Ws | Transport::Wss) {
        websocket::serve(stream, flow, terms, &mut waiting, &inbox).await
    } else {
        serve(stream, flow, terms, &mut waiting, &inbox).await
    };
    finish(flow, unsent.into_iter().collect(), BROKEN.to_owned(), &mut waiting, &inbox).await;
}

/// A stream that is framed by Content-Length; returns the request that was being sent when it broke.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    flow: Flow,
    terms: &Terms,
    waiting: &mut mpsc::Receiver<Packet>,
    inbox: &mpsc::Sender<Inbound>,
) -> Option<TransactionId> {
    let (reader, writer) = tokio::io::split(stream);
    let (pongs, pings) = mpsc::channel(1);
    let ours = Pongs::default();
    tokio::select! {
        () = read(reader, flow, terms.idle, (pongs, &ours), inbox) => None,
        ended = write(writer, waiting, (pings, &ours)) => match ended {
            Ok(End::Closed) => None,
            Ok(End::Unheard) => {
                debug!(peer = %flow.remote, "a peer does not answer a keep-alive any more");
                // Nobody receives once the endpoint is being shut down.
                let _ = inbox.send(Inbound::Unheard(flow)).await;
                None
            }
            Err((error, transaction)) => {
                debug!(peer = %flow.remote, %error, "a connection failed");
                transaction
            }
        },
    }
}

/// Says which requests were not sent, and why, and that the connection is no more.
async fn finish(
    flow: Flow,
    mut unsent: Vec<TransactionId>,
    why: String,
    waiting: &mut mpsc::Receiver<Packet>,
    inbox: &mpsc::Sender<Inbound>,
) {
    waiting.close();
    while let Ok(packet) = waiting.try_recv() {
        unsent.extend(packet.transaction);
    }
    // Nobody receives once the endpoint is being shut down.
    if let Some(id) = flow.connection {
        let _ = inbox.send(Inbound::Closed(id)).await;
    }
    if !unsent.is_empty() {
        let _ = inbox.send(Inbound::Unsent(unsent, why)).await;
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    flow: Flow,
    idle: Duration,
    (pongs, ours): (mpsc::Sender<()>, &Pongs),
    inbox: &mpsc::Sender<Inbound>,
) {
    let mut framer = StreamFramer::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut patience = HALF_OPEN;
    // One deadline for a whole message: bytes that drip in do not extend it.
    let mut deadline = tokio::time::Instant::now() + patience;
    let (mut inside, mut met) = (false, false);
    loop {
        let length = match tokio::time::timeout_at(deadline, reader.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => length,
            // Whether anybody still needs it is not known here.
            Err(_) if met && !inside => {
                if inbox.send(Inbound::Idle(flow)).await.is_err() {
                    return;
                }
                deadline = tokio::time::Instant::now() + patience;
                continue;
            }
            _ => return,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let awaited = ours.awaited.swap(false, Ordering::Relaxed);
        let fresh = if awaited && framer.held() == 0 { without_pong(bytes, ours) } else { bytes };
        if fresh.is_empty() {
            // The answer to our keep-alive begins no message, and shows as much as one of the peer's.
            deadline = tokio::time::Instant::now() + patience;
            continue;
        }
        framer.push(fresh);
        let mut whole = false;
        loop {
            let inbound = match framer.next() {
                Ok(Some(Item::Message(message))) => Inbound::Message(flow, message),
                Ok(Some(Item::Bad(error))) => Inbound::Unreadable(flow, error),
                Ok(Some(Item::KeepAlive)) => {
                    whole = true;
                    // One answer waits at most: a peer that asks without reading gets no more.
                    let _ = pongs.try_send(());
                    continue;
                }
                Ok(None) => break,
                Err(_) => {
                    // What was answered must leave first: the endpoint's task closes.
                    if let Some(id) = flow.connection {
                        let _ = inbox.send(Inbound::Lost(id)).await;
                    }
                    return std::future::pending().await;
                }
            };
            whole = true;
            (patience, met) = (idle, true);
            if inbox.send(inbound).await.is_err() {
                return;
            }
        }
        if whole {
            // Keep-alives alone hold no place: to the first message there is one deadline.
            if met {
                deadline = tokio::time::Instant::now() + patience;
            }
            inside = false;
        } else if !inside {
            deadline = deadline.min(tokio::time::Instant::now() + HALF_OPEN);
            inside = true;
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    waiting: &mut mpsc::Receiver<Packet>,
    (mut pings, ours): (mpsc::Receiver<()>, &Pongs),
) -> Result<End, (io::Error, Option<TransactionId>)> {
    let mut due = None;
    loop {
        let unanswered = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            packet = waiting.recv() => {
                let Some(packet) = packet else {
                    // Ignored: the other side may be gone already.
                    let _ = writer.shutdown().await;
                    return Ok(End::Closed);
                };
                let is_ping = *packet.bytes == *PING;
                if is_ping && !ours.awaited.swap(true, Ordering::Relaxed) && ours.known.load(Ordering::Relaxed) {
                    due = Some(tokio::time::Instant::now() + UNANSWERED);
                }
                put(&mut writer, &packet.bytes).await.map_err(|error| (error, packet.transaction))?;
            }
            () = unanswered => {
                due = None;
                if ours.awaited.load(Ordering::Relaxed) {
                    return Ok(End::Unheard);
                }
            }
            Some(()) = pings.recv() => put(&mut writer, PONG).await.map_err(|error| (error, None))?,
        }
    }
}

/// Why nothing more is written.
enum End {
    Closed,
    /// A keep-alive of ours has no answer.
    Unheard,
}

/// What is left of these bytes, with which something new begins after a keep-alive of ours, without the answer to it: one line
/// end, where a keep-alive of the peer's is two. Whatever comes shows that the peer is there.
fn without_pong<'b>(bytes: &'b [u8], ours: &Pongs) -> &'b [u8] {
    let line_ends = bytes.chunks(PONG.len()).take_while(|pair| *pair == PONG).count();
    if line_ends % 2 == 0 {
        return bytes;
    }
    ours.known.store(true, Ordering::Relaxed);
    bytes.get(PONG.len()..).unwrap_or_default()
}

async fn put(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = async {
        writer.write_all(bytes).await?;
        // TLS may hold back what the socket did not take.
        writer.flush().await
    };
    timeout(WRITE, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::{io::DuplexStream, time::Instant};

    use super::*;
    use crate::sip::flow::{ConnectionId, Transport};

    const OPTIONS: &str = "OPTIONS sip:milo@127.0.0.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    const IDLE: Duration = Duration::from_secs(3600);

    /// How many seconds until we close on a peer that no call needs.
    async fn closed_after(talk: impl AsyncFnOnce(&mut DuplexStream)) -> u64 {
        let (mut peer, ours) = tokio::io::duplex(4096);
        let (inbox, mut inbound) = mpsc::channel(16);
        let (pongs, _pings) = mpsc::channel(1);
        let local = "127.0.0.1:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Tcp, local, remote: local, connection: Some(ConnectionId(1)) };
        let start = Instant::now();
        let reading = tokio::spawn(async move { read(ours, flow, IDLE, (pongs, &Pongs::default()), &inbox).await });
        let asked = tokio::spawn(async move {
            while let Some(inbound) = inbound.recv().await {
                if matches!(inbound, Inbound::Idle(_)) {
                    return;
                }
            }
        });
        talk(&mut peer).await;
        asked.await.unwrap();
        reading.abort();
        start.elapsed().as_secs()
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_without_a_word_is_found_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!((socket.tcp_keepalive_time().unwrap(), socket.tcp_user_timeout().unwrap()), (QUIET, Some(UNHEARD)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_answered_a_keep_alive_and_leaves_one_unanswered_is_gone() {
        for answers in [0_u64, 1, 2] {
            let (mut peer, ours) = tokio::io::duplex(4096);
            let (inbox, mut inbound) = mpsc::channel(16);
            let local = "127.0.0.1:5060".parse().unwrap();
            let flow = Flow { transport: Transport::Tcp, local, remote: local, connection: Some(ConnectionId(1)) };
            let terms = Terms { idle: IDLE, origins: Vec::new(), certificate: None, trust: None };
            let (queue, mut waiting) = mpsc::channel(16);
            let serving = tokio::spawn(async move { serve(ours, flow, &terms, &mut waiting, &inbox).await });
            peer.write_all(OPTIONS.as_bytes()).await.unwrap();
            assert!(matches!(inbound.recv().await, Some(Inbound::Message(..))));
            for number in 0..3 {
                let path = crate::sip::flow::Path { flow, or_connect: None };
                if queue.send(Packet { path, bytes: PING.into(), transaction: None }).await.is_err() {
                    break;
                }
                let mut heard = [0; 4];
                peer.read_exact(&mut heard).await.unwrap();
                assert_eq!(heard, *PING, "and no answer to an answer");
                if number < answers {
                    peer.write_all(PONG).await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(25)).await;
            }
            let unheard = matches!(inbound.try_recv(), Ok(Inbound::Unheard(_)));
            assert_eq!(unheard, answers > 0, "one that never answers does not know of it: {answers}");
            assert_eq!(serving.is_finished(), unheard);
            serving.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_or_half_a_message_is_let_go() {
        assert_eq!(closed_after(async |_| {}).await, 32);
        assert_eq!(closed_after(async |peer| peer.write_all(b"OPTIONS sip:").await.unwrap()).await, 32);
        // A byte a second does not buy time.
        let drip = async |peer: &mut DuplexStream| {
            for byte in OPTIONS.repeat(2).bytes().take(OPTIONS.len() - 1) {
                if peer.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        assert_eq!(closed_after(drip).await, 33, "noticed at the next byte");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_whole_messages_may_be_silent_for_an_hour() {
        assert_eq!(closed_after(async |peer| peer.write_all(OPTIONS.as_bytes()).await.unwrap()).await, 3600);
        let then_half = async |peer: &mut DuplexStream| {
            peer.write_all(OPTIONS.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(100)).await;
            peer.write_all(b"OPTIONS").await.unwrap();
        };
        assert_eq!(closed_after(then_half).await, 132);
    }
}
