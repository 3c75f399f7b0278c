//! Sockets: reading tasks that feed the endpoint's task, and sending that never waits. A peer that does not read its
//! stream loses that stream, and nobody else notices.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc::{self, error::TrySendError},
    task::{AbortHandle, JoinSet},
};
use tracing::{debug, warn};

use super::{
    connection::{self, Connection},
    flow::{ConnectionId, Flow, Packet, Transport},
    listener::{accept, faced, open, reaches, read_datagrams, shares_port},
    message::Message,
    parse::ParseError,
    transaction::table::TransactionId,
};
use crate::SignalingError;

/// What the sockets give.
#[derive(Debug)]
pub(crate) enum Inbound {
    Datagram(Flow, Vec<u8>),
    Message(Flow, Message),
    Unreadable(Flow, ParseError),
    Accepted(TcpStream, SocketAddr),
    /// The place where its next message begins is lost: close it once its answers have been written.
    Lost(ConnectionId),
    Closed(ConnectionId),
    /// The requests of these transactions could not be sent.
    Unsent(Vec<TransactionId>),
}

/// Open connections at once; more are turned away.
const CONNECTIONS: usize = 1024;
/// Messages that wait on one connection; one more and its peer is taken for dead.
const WAITING: usize = 64;

/// All sockets of an endpoint.
#[derive(Debug)]
pub(crate) struct Transports {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    tcp: Vec<SocketAddr>,
    connections: HashMap<ConnectionId, Connection>,
    last_connection: u64,
    inbox: mpsc::Sender<Inbound>,
    /// Reading tasks; they end with this.
    tasks: JoinSet<()>,
    pub(crate) send_failures: u64,
}

impl Transports {
    /// Opens every listener and starts to read.
    ///
    /// # Errors
    /// [`SignalingError::Bind`].
    pub(crate) fn bind(
        udp: &[SocketAddr],
        tcp: &[SocketAddr],
        inbox: mpsc::Sender<Inbound>,
    ) -> Result<Self, SignalingError> {
        let mut transports = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: HashMap::new(),
            last_connection: 0,
            inbox,
            tasks: JoinSet::new(),
            send_failures: 0,
        };
        for &address in udp {
            let wrap = |reason| SignalingError::Bind { transport: Transport::Udp, address, reason };
            let socket = open(address, Transport::Udp, shares_port(address, udp)).map_err(wrap)?;
            let socket = Arc::new(UdpSocket::from_std(socket.into()).map_err(wrap)?);
            let bound = socket.local_addr().map_err(wrap)?;
            transports.udp.push((bound, Arc::clone(&socket)));
            transports.tasks.spawn(read_datagrams(socket, bound, transports.inbox.clone()));
        }
        for &address in tcp {
            let wrap = |reason| SignalingError::Bind { transport: Transport::Tcp, address, reason };
            let socket = open(address, Transport::Tcp, shares_port(address, tcp)).map_err(wrap)?;
            socket.listen(1024).map_err(wrap)?;
            let listener = TcpListener::from_std(socket.into()).map_err(wrap)?;
            transports.tcp.push(listener.local_addr().map_err(wrap)?);
            transports.tasks.spawn(accept(listener, transports.inbox.clone()));
        }
        Ok(transports)
    }

    /// Every listener.
    pub(crate) fn local(&self) -> Vec<(Transport, SocketAddr)> {
        let udp = self.udp.iter().map(|(address, _)| (Transport::Udp, *address));
        udp.chain(self.tcp.iter().map(|address| (Transport::Tcp, *address))).collect()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The flow to a peer that we have not heard from; `None` when no socket of ours can reach it.
    pub(crate) fn flow_to(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let local = match transport {
            Transport::Udp => {
                let (bound, _) = self.udp.iter().find(|(bound, _)| reaches(*bound, remote))?;
                SocketAddr::new(faced(bound.ip(), remote)?, bound.port())
            }
            Transport::Tcp => self.tcp_local(remote, None)?,
        };
        Some(Flow { transport, local, remote, connection: None })
    }

    /// The address that a TCP peer reaches us at: a listener's port when there is one that it can reach.
    fn tcp_local(&self, remote: SocketAddr, own: Option<SocketAddr>) -> Option<SocketAddr> {
        let listener = self.tcp.iter().find(|bound| reaches(**bound, remote));
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let ip = match own {
            Some(own) => own.ip().to_canonical(),
            None => faced(listener.map_or(any, SocketAddr::ip), remote)?,
        };
        Some(SocketAddr::new(ip, listener.copied().or(own).map_or(0, |address| address.port())))
    }

    /// Sends, or lets go. Never waits. Returns the transaction whose request it could not take.
    pub(crate) fn send(&mut self, packet: Packet) -> Option<TransactionId> {
        match packet.path.flow.transport {
            Transport::Udp => self.send_datagram(&packet),
            Transport::Tcp => self.send_on_stream(packet),
        }
    }

    fn send_datagram(&mut self, packet: &Packet) -> Option<TransactionId> {
        let Flow { local, remote, .. } = packet.path.flow;
        let fits = |bound: &SocketAddr| {
            bound.port() == local.port()
                && (bound.ip() == local.ip() || (bound.ip().is_unspecified() && reaches(*bound, remote)))
        };
        let Some((bound, socket)) = self.udp.iter().find(|(bound, _)| fits(bound)) else {
            self.send_failures += 1;
            return packet.transaction;
        };
        let remote = match remote.ip() {
            IpAddr::V4(v4) if bound.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), remote.port()),
            _ => remote,
        };
        match socket.try_send_to(&packet.bytes, remote) {
            Ok(_) => None,
            Err(error) => {
                self.send_failures += 1;
                debug!(peer = %remote, %error, "a datagram was not sent");
                // Full buffers pass, and retransmissions come; anything else stays as it is.
                packet.transaction.filter(|_| error.kind() != io::ErrorKind::WouldBlock)
            }
        }
    }

    fn send_on_stream(&mut self, packet: Packet) -> Option<TransactionId> {
        let path = packet.path;
        let known = path.flow.connection.filter(|id| self.connections.contains_key(id)).or_else(|| {
            let targets = [Some(path.flow.remote), path.or_connect];
            self.connections.iter().find(|(_, open)| targets.contains(&Some(open.remote))).map(|(id, _)| *id)
        });
        let id = match known {
            Some(id) => id,
            None => {
                if self.connections.len() >= CONNECTIONS {
                    self.send_failures += 1;
                    return packet.transaction;
                }
                self.connect(path.or_connect.unwrap_or(path.flow.remote), path.flow)
            }
        };
        let open = self.connections.get(&id)?;
        match open.queue.try_send(packet) {
            Ok(()) => None,
            Err(TrySendError::Closed(packet)) => {
                // It has ended just now; the news of it are on their way.
                self.connections.remove(&id);
                if known.is_some() { self.send_on_stream(packet) } else { packet.transaction }
            }
            Err(TrySendError::Full(packet)) => {
                warn!(peer = %open.remote, "a SIP peer does not read its connection: closed");
                self.send_failures += 1;
                open.task.abort();
                self.connections.remove(&id);
                packet.transaction
            }
        }
    }

    fn connect(&mut self, remote: SocketAddr, flow: Flow) -> ConnectionId {
        let id = self.new_id();
        let (queue, waiting) = mpsc::channel(WAITING);
        let flow = Flow { remote, connection: Some(id), ..flow };
        let task = self.tasks.spawn(connection::open(flow, waiting, self.inbox.clone()));
        self.keep(id, remote, queue, task);
        id
    }

    /// Takes a connection that a peer has opened.
    pub(crate) fn accept(&mut self, stream: TcpStream, remote: SocketAddr) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let Some(local) = stream.local_addr().ok().and_then(|own| self.tcp_local(remote, Some(own))) else { return };
        if self.connections.len() >= CONNECTIONS {
            warn!(peer = %remote, limit = CONNECTIONS, "too many SIP connections: one more was turned away");
            return;
        }
        let id = self.new_id();
        let (queue, waiting) = mpsc::channel(WAITING);
        let flow = Flow { transport: Transport::Tcp, local, remote, connection: Some(id) };
        let task = self.tasks.spawn(connection::serve(stream, flow, waiting, self.inbox.clone()));
        self.keep(id, remote, queue, task);
    }

    fn keep(&mut self, id: ConnectionId, remote: SocketAddr, queue: mpsc::Sender<Packet>, task: AbortHandle) {
        self.connections.insert(id, Connection { remote, queue, task });
        // Finished tasks are forgotten here, so that the set grows with open connections only.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Closes a connection once what waits on it has been sent.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Closes every stream, giving those with something to write this long.
    pub(crate) async fn finish(&mut self, patience: Duration) {
        let tasks: Vec<_> = self.connections.drain().map(|(_, connection)| connection.task).collect();
        let written =
            async { while tasks.iter().any(|task| !task.is_finished()) && self.tasks.join_next().await.is_some() {} };
        // Too late: the tasks end with their set.
        let _ = tokio::time::timeout(patience, written).await;
    }

    fn new_id(&mut self) -> ConnectionId {
        self.last_connection += 1;
        ConnectionId(self.last_connection)
    }
}
