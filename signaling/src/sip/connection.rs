//! One stream connection: reads and frames what comes, writes what waits.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};
use tracing::debug;

use super::{
    flow::{Flow, Packet},
    framing::{Item, StreamFramer},
    transaction::table::TransactionId,
    transport::Inbound,
};

/// How long a connection attempt may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(32);
/// How long a peer may take from the first to the last byte of a message, and to its first message.
const HALF_OPEN: Duration = Duration::from_secs(32);
/// How long a peer that has sent whole messages may be silent.
const IDLE: Duration = Duration::from_secs(3600);
/// Answer to a keep-alive (RFC 5626 section 4.4.1).
const PONG: &[u8] = b"\r\n";

/// What the endpoint's task keeps of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    /// Dropping it closes the connection once what waits has been written.
    pub(crate) queue: mpsc::Sender<Packet>,
    pub(crate) task: AbortHandle,
}

/// Opens a connection and serves it.
pub(crate) async fn open(flow: Flow, mut waiting: mpsc::Receiver<Packet>, inbox: mpsc::Sender<Inbound>) {
    match timeout(CONNECT, TcpStream::connect(flow.remote)).await {
        Ok(Ok(stream)) => serve(stream, flow, waiting, inbox).await,
        failed => {
            debug!(peer = %flow.remote, ?failed, "no connection");
            finish(flow, Vec::new(), &mut waiting, &inbox).await;
        }
    }
}

/// Serves a connection until one side closes it.
pub(crate) async fn serve(
    stream: TcpStream,
    flow: Flow,
    mut waiting: mpsc::Receiver<Packet>,
    inbox: mpsc::Sender<Inbound>,
) {
    // Messages are small and answers are waited for. A socket that refuses serves all the same.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (pongs, pings) = mpsc::channel(1);
    let mut unsent = Vec::new();
    tokio::select! {
        () = read(reader, flow, pongs, &inbox) => {}
        ended = write(writer, &mut waiting, pings) => {
            if let Err((error, transaction)) = ended {
                debug!(peer = %flow.remote, %error, "a connection failed");
                unsent.extend(transaction);
            }
        }
    }
    finish(flow, unsent, &mut waiting, &inbox).await;
}

/// Says which requests were not sent, and that the connection is no more.
async fn finish(
    flow: Flow,
    mut unsent: Vec<TransactionId>,
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
        let _ = inbox.send(Inbound::Unsent(unsent)).await;
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, flow: Flow, pongs: mpsc::Sender<()>, inbox: &mpsc::Sender<Inbound>) {
    let mut framer = StreamFramer::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut patience = HALF_OPEN;
    // One deadline for a whole message: bytes that drip in do not extend it.
    let mut deadline = tokio::time::Instant::now() + patience;
    let mut inside = false;
    loop {
        let Ok(Ok(length)) = tokio::time::timeout_at(deadline, reader.read(&mut buffer)).await else { return };
        if length == 0 {
            return;
        }
        framer.push(buffer.get(..length).unwrap_or_default());
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
            patience = IDLE;
            if inbox.send(inbound).await.is_err() {
                return;
            }
        }
        if whole {
            deadline = tokio::time::Instant::now() + patience;
            inside = false;
        } else if !inside {
            deadline = deadline.min(tokio::time::Instant::now() + HALF_OPEN);
            inside = true;
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    waiting: &mut mpsc::Receiver<Packet>,
    mut pings: mpsc::Receiver<()>,
) -> Result<(), (io::Error, Option<TransactionId>)> {
    loop {
        tokio::select! {
            packet = waiting.recv() => {
                let Some(packet) = packet else {
                    // Ignored: the other side may be gone already.
                    let _ = writer.shutdown().await;
                    return Ok(());
                };
                put(&mut writer, &packet.bytes).await.map_err(|error| (error, packet.transaction))?;
            }
            Some(()) = pings.recv() => put(&mut writer, PONG).await.map_err(|error| (error, None))?,
        }
    }
}

async fn put(writer: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE, writer.write_all(bytes)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use tokio::{io::DuplexStream, time::Instant};

    use super::*;
    use crate::sip::flow::{ConnectionId, Transport};

    const OPTIONS: &str = "OPTIONS sip:milo@127.0.0.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    /// A peer, and how many seconds until we close on it.
    async fn closed_after(talk: impl AsyncFnOnce(&mut DuplexStream)) -> u64 {
        let (mut peer, ours) = tokio::io::duplex(4096);
        let (inbox, mut inbound) = mpsc::channel(16);
        let (pongs, _pings) = mpsc::channel(1);
        let local = "127.0.0.1:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Tcp, local, remote: local, connection: Some(ConnectionId(1)) };
        let start = Instant::now();
        let reading = tokio::spawn(async move { read(ours, flow, pongs, &inbox).await });
        let draining = tokio::spawn(async move { while inbound.recv().await.is_some() {} });
        talk(&mut peer).await;
        reading.await.unwrap();
        draining.await.unwrap();
        start.elapsed().as_secs()
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
