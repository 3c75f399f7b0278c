//! Sockets: reading tasks that feed the endpoint's task, and sending that never waits. A peer that does not read its
//! stream loses that stream, and nobody else notices.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
};
use tracing::{debug, warn};

use super::{
    connection::{self, Connection, Terms},
    endpoint::EndpointConfig,
    flow::{ConnectionId, Flow, Packet, Path, Transport},
    host::Host,
    keep_alive::PING,
    listener::{Faces, accept, faced, follow_stun_server, open, reaches, read_datagrams, shares_port},
    message::Message,
    parse::ParseError,
    places::{Opener, has_place},
    tls::Certificate,
    transaction::table::TransactionId,
    trust::{TlsPeer, Trust},
};
use crate::SignalingError;

/// What the sockets give.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// Its flow has what the socket is bound to for our address.
    Datagram(Flow, Vec<u8>),
    Message(Flow, Message),
    Unreadable(Flow, ParseError),
    Accepted(Transport, TcpStream, SocketAddr),
    /// The place where its next message begins is lost: close it once its answers have been written.
    Lost(ConnectionId),
    Closed(ConnectionId),
    /// Its peer has left a keep-alive unanswered.
    Unheard(Flow),
    /// It has been silent for as long as one may be that nobody needs.
    Idle(Flow),
    /// Where the STUN server is: it may be asked.
    StunServer(SocketAddr),
    /// The requests of these transactions could not be sent, and why.
    Unsent(Vec<TransactionId>, String),
}

/// Whom connections were opened to is remembered past their end, for that many of them.
const PEERS: usize = 4096;
/// Messages that wait on one connection; one more and its peer is taken for dead.
const WAITING: usize = 64;

/// All sockets of an endpoint.
#[derive(Debug)]
pub(crate) struct Transports {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    streams: Vec<(Transport, SocketAddr)>,
    connections: HashMap<ConnectionId, Connection>,
    /// Whom a flow inside TLS must reach, should its connection have to be opened, or opened again.
    peers: BTreeMap<ConnectionId, TlsPeer>,
    last_connection: u64,
    faces: Faces,
    terms: Arc<Terms>,
    inbox: mpsc::Sender<Inbound>,
    /// Reading tasks; they end with this.
    tasks: JoinSet<()>,
    pub(crate) send_failures: u64,
}

impl Transports {
    /// Opens every listener and starts to read.
    ///
    /// # Errors
    /// [`SignalingError::Bind`], [`SignalingError::Certificate`].
    pub(crate) fn bind(config: &EndpointConfig, inbox: mpsc::Sender<Inbound>) -> Result<Self, SignalingError> {
        let certificate = match &config.certificate {
            Some(files) => Some(Arc::new(Certificate::open(files.clone(), "SIP listeners", &[])?)),
            None => None,
        };
        let mut transports = Self {
            udp: Vec::new(),
            streams: Vec::new(),
            connections: HashMap::new(),
            peers: BTreeMap::new(),
            last_connection: 0,
            faces: Faces::default(),
            terms: Arc::new(Terms {
                idle: config.idle,
                origins: config.origins.clone(),
                certificate,
                trust: config.trust.clone(),
            }),
            inbox,
            tasks: JoinSet::new(),
            send_failures: 0,
        };
        for &address in &config.udp {
            let wrap = |reason| SignalingError::Bind { transport: Transport::Udp, address, reason };
            let socket = open(address, Transport::Udp, shares_port(address, &config.udp)).map_err(wrap)?;
            let socket = Arc::new(UdpSocket::from_std(socket.into()).map_err(wrap)?);
            let bound = socket.local_addr().map_err(wrap)?;
            transports.udp.push((bound, Arc::clone(&socket)));
            transports.tasks.spawn(read_datagrams(socket, bound, transports.inbox.clone()));
        }
        for (transport, addresses) in [
            (Transport::Tcp, &config.tcp),
            (Transport::Tls, &config.tls),
            (Transport::Ws, &config.ws),
            (Transport::Wss, &config.wss),
        ] {
            for &address in addresses {
                transports.listen(transport, address, shares_port(address, addresses))?;
            }
        }
        if let Some(server) = &config.stun {
            transports.tasks.spawn(follow_stun_server(server.clone(), transports.inbox.clone()));
        }
        if let Some(certificate) = &transports.terms.certificate {
            transports.tasks.spawn(Arc::clone(certificate).follow());
        }
        Ok(transports)
    }

    fn listen(&mut self, transport: Transport, address: SocketAddr, only_v6: bool) -> Result<(), SignalingError> {
        let wrap = |reason| SignalingError::Bind { transport, address, reason };
        if transport.is_secure() && self.terms.certificate.is_none() {
            let reason = io::Error::other("it needs a certificate, and there is none");
            return Err(wrap(reason));
        }
        let socket = open(address, transport, only_v6).map_err(wrap)?;
        socket.listen(1024).map_err(wrap)?;
        let listener = TcpListener::from_std(socket.into()).map_err(wrap)?;
        self.streams.push((transport, listener.local_addr().map_err(wrap)?));
        self.tasks.spawn(accept(listener, transport, self.inbox.clone()));
        Ok(())
    }

    /// Every listener.
    pub(crate) fn local(&self) -> Vec<(Transport, SocketAddr)> {
        let udp = self.udp.iter().map(|(address, _)| (Transport::Udp, *address));
        udp.chain(self.streams.iter().copied()).collect()
    }

    /// What is shown to those who connect by TLS.
    pub(crate) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.terms.certificate.clone()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The flow of a datagram, with the address of ours that its sender faces.
    pub(crate) fn faced(&mut self, flow: Flow) -> Flow {
        self.faces.faced(flow)
    }

    /// The flow to a peer that we have not heard from, and for TLS whom it must reach; `None` when no socket of ours
    /// can reach it.
    pub(crate) fn flow_to(&mut self, transport: Transport, remote: SocketAddr, peer: Option<TlsPeer>) -> Option<Flow> {
        let local = match transport {
            Transport::Udp => {
                let (bound, _) = self.udp.iter().find(|(bound, _)| reaches(*bound, remote))?;
                SocketAddr::new(faced(bound.ip(), remote)?, bound.port())
            }
            Transport::Tcp | Transport::Tls => self.stream_local(transport, remote, None)?,
            // Nobody listens there.
            Transport::Ws | Transport::Wss => return None,
        };
        let connection = peer.map(|peer| {
            let id = self.new_id();
            self.remember(id, peer);
            id
        });
        Some(Flow { transport, local, remote, connection })
    }

    fn remember(&mut self, id: ConnectionId, peer: TlsPeer) {
        self.peers.insert(id, peer);
        if self.peers.len() > PEERS {
            self.peers.pop_first();
        }
    }

    /// The address that the peer of a stream reaches us at: a listener's port when there is one that it can reach.
    fn stream_local(&self, transport: Transport, remote: SocketAddr, own: Option<SocketAddr>) -> Option<SocketAddr> {
        let mut listeners = self.streams.iter().filter(|(kind, _)| *kind == transport).map(|(_, bound)| *bound);
        let listener = listeners.find(|bound| reaches(*bound, remote));
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let ip = match own {
            Some(own) => own.ip().to_canonical(),
            None => faced(listener.map_or(any, |bound| bound.ip()), remote)?,
        };
        Some(SocketAddr::new(ip, listener.or(own).map_or(0, |address| address.port())))
    }

    /// Sends, or lets go. Never waits. Returns the transaction whose request it could not take.
    pub(crate) fn send(&mut self, packet: Packet) -> Option<TransactionId> {
        match packet.path.flow.transport {
            Transport::Udp => self.send_datagram(&packet),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => self.send_on_stream(packet),
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
        let peer = path.flow.connection.and_then(|id| self.peers.get(&id)).cloned();
        let known = path.flow.connection.filter(|id| self.connections.contains_key(id)).or_else(|| {
            let targets = [Some(path.flow.remote), path.or_connect];
            let serves = |open: &Connection| {
                open.transport == path.flow.transport && targets.contains(&Some(open.remote)) && open.peer == peer
            };
            self.connections.iter().find(|(_, open)| serves(open)).map(|(id, _)| *id)
        });
        // An answer goes back where its request came from, or to where that said (RFC 3261 section 18.2.2), and nowhere else.
        let may_connect = path.or_connect.is_some() || !packet.bytes.starts_with(b"SIP/2.0 ");
        let Some(id) = known.or_else(|| if may_connect { self.connect(&path, peer) } else { None }) else {
            self.send_failures += 1;
            return packet.transaction;
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

    /// Lets this way be used for a moment. False: it is a stream that is no more.
    pub(crate) fn keep_alive(&mut self, path: Path) -> bool {
        let packet = |path| Packet { path, bytes: PING.into(), transaction: None };
        if path.flow.transport == Transport::Udp {
            self.send_datagram(&packet(path));
            return true;
        }
        let peer = path.flow.connection.and_then(|id| self.peers.get(&id));
        let serves = |open: &&Connection| {
            open.transport == path.flow.transport && open.remote == path.flow.remote && open.peer.as_ref() == peer
        };
        // One that is full is busy enough.
        self.connections
            .values()
            .find(serves)
            .is_some_and(|open| open.queue.try_send(packet(path)).is_ok() || !open.queue.is_closed())
    }

    /// Opens a connection; None: there are too many, or nobody listens at the other end.
    fn connect(&mut self, path: &Path, peer: Option<TlsPeer>) -> Option<ConnectionId> {
        let remote = path.or_connect.unwrap_or(path.flow.remote);
        let open = self.connections.values().map(|open| (open.opener, open.remote.ip()));
        let has_place = has_place(open, (Opener::Us, remote.ip()));
        if !has_place || matches!(path.flow.transport, Transport::Ws | Transport::Wss) {
            return None;
        }
        let peer = match path.flow.transport {
            // A peer that called us and whose connection is gone: its address is all that we know of it.
            Transport::Tls if peer.is_none() => {
                let trust = self.terms.trust.clone().or_else(|| Trust::system().ok())?;
                Some(TlsPeer::new(&Host::from(remote.ip()), trust)?)
            }
            _ => peer,
        };
        let id = self.new_id();
        if let Some(peer) = &peer {
            self.remember(id, peer.clone());
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        let flow = Flow { remote, connection: Some(id), ..path.flow };
        let task = connection::open(peer.clone(), flow, Arc::clone(&self.terms), waiting, self.inbox.clone());
        let task = self.tasks.spawn(task);
        self.keep(id, Connection { transport: flow.transport, remote, opener: Opener::Us, peer, queue, task });
        Some(id)
    }

    /// Takes a connection that a peer has opened, where there is a place for it. `is_proven`: somebody has registered by this one.
    pub(crate) fn accept(
        &mut self,
        (transport, stream, remote): (Transport, TcpStream, SocketAddr),
        opener: Opener,
        is_proven: impl Fn(ConnectionId) -> bool,
    ) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let own = stream.local_addr().ok();
        let Some(local) = own.and_then(|own| self.stream_local(transport, remote, Some(own))) else { return };
        let open = self.connections.iter().map(|(id, open)| {
            let is_known = open.opener == Opener::Stranger && is_proven(*id);
            (if is_known { Opener::Known } else { open.opener }, open.remote.ip())
        });
        if !has_place(open, (opener, remote.ip())) {
            let open = self.connections.len();
            warn!(peer = %remote, open, ?opener, "too many SIP connections: one more was turned away");
            return;
        }
        let id = self.new_id();
        let (queue, waiting) = mpsc::channel(WAITING);
        let flow = Flow { transport, local, remote, connection: Some(id) };
        let task = connection::accepted(stream, flow, Arc::clone(&self.terms), waiting, self.inbox.clone());
        let task = self.tasks.spawn(task);
        self.keep(id, Connection { transport, remote, opener, peer: None, queue, task });
    }

    fn keep(&mut self, id: ConnectionId, connection: Connection) {
        self.connections.insert(id, connection);
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
