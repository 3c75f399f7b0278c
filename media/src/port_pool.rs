//! RTP ports: the one used longest ago comes first, and none within two seconds of its release, so that a new call never
//! hears the tail of an old one.
//!
//! Ports of a range are even (RFC 3550 section 11), so that a peer's RTCP to the odd neighbour never meets another call.
//! The neighbour is bound with it where it is free, and given up as soon as RTCP takes the same port (RFC 5761). It is lent to
//! no other call then either: whether the next one agrees to that is not known when its port is bound. So a range carries half
//! as many legs as it has ports.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    MediaError,
    datagrams::Wire,
    pipe::{PIPED, Pipe, pipe},
};

/// How long a port rests after its release.
const REST: Duration = Duration::from_secs(2);

/// How often the system is asked again when the other port of a pair is another program's.
const TRIES: usize = 8;

/// The free RTP ports of one address.
#[derive(Clone, Debug)]
pub struct PortPool {
    address: IpAddr,
    range: RangeInclusive<u16>,
    /// `None` when the system chooses. The lock is taken once as a call begins and once as it ends, never in between.
    free: Option<Arc<Mutex<FreePorts>>>,
}

impl PortPool {
    /// A pool on this address: the even ports of `range`, or `0..=0` to let the system choose.
    pub fn new(address: IpAddr, range: RangeInclusive<u16>) -> Self {
        let free = (range != (0..=0)).then(|| Arc::new(Mutex::new(FreePorts::new(&range))));
        Self { address, range, free }
    }

    /// The address whose ports these are.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Ports of the range that calls hold; those that rest are nobody's. 0 when the system chooses.
    pub fn leased(&self) -> usize {
        self.free.as_ref().map_or(0, |free| {
            let free = lock(free);
            free.total - free.resting.len()
        })
    }

    /// Binds the port that was used longest ago. Ports that another program holds are passed over.
    ///
    /// # Errors
    /// [`MediaError::PortsExhausted`] when every port is in use or rests; [`MediaError::Bind`] when the system refuses for
    /// another reason.
    pub fn bind(&self) -> Result<RtpSocket, MediaError> {
        let Some(free) = &self.free else {
            return self.bind_any();
        };
        let tries = lock(free).resting.len();
        for _ in 0..tries {
            let Some(port) = lock(free).take(now()) else { break };
            let lease = Lease { port, free: free.clone() };
            match bind(SocketAddr::new(self.address, port)) {
                Ok(socket) => {
                    let socket = Wire::Socket(socket);
                    return Ok(RtpSocket { socket, rtcp: self.neighbour(port), lease: Some(lease) });
                }
                Err(MediaError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => drop(lease),
                Err(error) => return Err(error),
            }
        }
        let free = lock(free);
        Err(MediaError::PortsExhausted {
            first: *self.range.start(),
            last: *self.range.end(),
            total: free.total,
            in_use: free.total - free.resting.len(),
        })
    }

    /// A port of the system's choice, an even one with its neighbour wherever a few tries find such a pair.
    fn bind_any(&self) -> Result<RtpSocket, MediaError> {
        // Held meanwhile, so that the system chooses others.
        let mut tried = Vec::new();
        loop {
            let socket = bind(SocketAddr::new(self.address, 0))?;
            let port = socket.local_addr().map_or(0, |at| at.port());
            if port % 2 == 0 {
                if let Some(rtcp) = self.neighbour(port) {
                    return Ok(RtpSocket { socket: Wire::Socket(socket), rtcp: Some(rtcp), lease: None });
                }
            } else if let Ok(first) = bind(SocketAddr::new(self.address, port - 1)) {
                // The second of a pair: every other choice is one, and none of them is a try lost.
                return Ok(RtpSocket { socket: Wire::Socket(first), rtcp: Some(socket), lease: None });
            }
            if tried.len() == TRIES {
                return Ok(RtpSocket { socket: Wire::Socket(socket), rtcp: None, lease: None });
            }
            tried.push(socket);
        }
    }

    /// The port behind this one, for RTCP.
    fn neighbour(&self, port: u16) -> Option<UdpSocket> {
        bind(SocketAddr::new(self.address, port.checked_add(1)?)).ok()
    }
}

/// A bound RTP socket, and one for RTCP on the next port; dropping it gives the port back. Or a pipe in its place.
#[derive(Debug)]
pub struct RtpSocket {
    pub(crate) socket: Wire,
    /// `None` when another program holds the next port.
    pub(crate) rtcp: Option<UdpSocket>,
    pub(crate) lease: Option<Lease>,
}

impl RtpSocket {
    /// One of this machine's own, for two legs that speak with each other; no port of a pool.
    pub(crate) fn on_loopback() -> Result<Self, MediaError> {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { socket: Wire::Socket(socket), rtcp: None, lease: None })
    }

    /// None of this machine's: what somebody else brings and takes away at the pipe's far end. Its peer is [`crate::PIPED`].
    pub fn piped() -> (Self, Pipe) {
        let (end, pipe) = pipe();
        (Self { socket: Wire::Pipe(end), rtcp: None, lease: None }, pipe)
    }

    /// The address and port bound.
    ///
    /// # Errors
    /// [`MediaError::Bind`] when the system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, MediaError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let socket = match &self.socket {
            Wire::Socket(socket) => socket,
            Wire::Pipe(_) => return Ok(PIPED),
        };
        socket.local_addr().map_err(|source| MediaError::Bind { address: unknown, source })
    }
}

/// A port taken from the pool; dropping it starts the port's rest.
#[derive(Debug)]
pub(crate) struct Lease {
    port: u16,
    free: Arc<Mutex<FreePorts>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.free).give_back(self.port, now());
    }
}

/// The ports nobody holds, the one released longest ago first.
#[derive(Debug)]
pub(crate) struct FreePorts {
    resting: VecDeque<(u16, Option<Instant>)>,
    total: usize,
}

impl FreePorts {
    fn new(range: &RangeInclusive<u16>) -> Self {
        let resting: VecDeque<_> = range.clone().filter(|port| port % 2 == 0 && *port > 0).map(|p| (p, None)).collect();
        Self { total: resting.len(), resting }
    }

    fn take(&mut self, now: Instant) -> Option<u16> {
        let (_, released) = *self.resting.front()?;
        if released.is_some_and(|released| now.saturating_duration_since(released) < REST) {
            return None;
        }
        self.resting.pop_front().map(|(port, _)| port)
    }

    fn give_back(&mut self, port: u16, now: Instant) {
        self.resting.push_back((port, Some(now)));
    }
}

fn bind(address: SocketAddr) -> Result<UdpSocket, MediaError> {
    let bound = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // Every address is those of IPv4 too, whatever the system's default is.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    bound().map_err(|source| MediaError::Bind { address, source })
}

fn lock(free: &Mutex<FreePorts>) -> MutexGuard<'_, FreePorts> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the edge: a port's rest is measured in real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_port_used_longest_ago_comes_first_and_rests_two_seconds() {
        let start = now();
        let mut free = FreePorts::new(&(10_000..=10_003));
        assert_eq!(free.take(start), Some(10_000));
        assert_eq!(free.take(start), Some(10_002));
        assert_eq!(free.take(start), None);
        free.give_back(10_002, start);
        free.give_back(10_000, start + Duration::from_millis(500));
        assert_eq!(free.take(start + Duration::from_millis(1999)), None);
        assert_eq!(free.take(start + REST), Some(10_002));
        assert_eq!(free.take(start + REST), None);
        assert_eq!(free.take(start + Duration::from_millis(2500)), Some(10_000));
    }

    #[test]
    fn an_exhausted_range_says_so() {
        let holder = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
        let port = holder.local_addr().expect("bound").port() & !1;
        let pool = PortPool::new(LOOPBACK, port..=port);
        let held = pool.bind();
        let error = pool.bind().expect_err("one port only").to_string();
        assert!(error.contains("no RTP port is free"), "{error}");
        drop(held);
        assert!(matches!(pool.bind(), Err(MediaError::PortsExhausted { in_use: 0, .. })));
    }

    #[test]
    fn the_next_port_is_bound_for_rtcp_and_no_reason_to_fail() {
        let bound = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
        let port = bound.local_addr().expect("bound").port();
        let rtcp = bound.rtcp.as_ref().expect("a pair").local_addr().expect("bound").port();
        assert_eq!((port % 2, rtcp), (0, port + 1));
        let RtpSocket { socket, rtcp: _taken, .. } = bound;
        drop(socket);
        let pool = PortPool::new(LOOPBACK, port..=port);
        let alone = pool.bind().expect("free a moment ago");
        assert!(alone.rtcp.is_none());
        assert_eq!(pool.leased(), 1);
        drop(alone);
        assert_eq!(pool.leased(), 0);
    }

    #[test]
    fn whatever_the_system_chooses_is_made_a_pair() {
        let pool = PortPool::new(LOOPBACK, 0..=0);
        let bound: Vec<_> = (0..512).map(|_| pool.bind().expect("a port")).collect();
        for socket in &bound {
            let port = socket.local_addr().expect("bound").port();
            let rtcp = socket.rtcp.as_ref().map(|rtcp| rtcp.local_addr().expect("bound").port());
            assert_eq!((port % 2, rtcp), (0, Some(port + 1)));
        }
    }

    #[test]
    fn works_on_ipv6() {
        let pool = PortPool::new(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 0..=0);
        assert!(pool.bind().expect("loopback").local_addr().expect("bound").is_ipv6());
    }

    #[test]
    fn an_address_that_is_not_ours_names_itself() {
        let pool = PortPool::new(IpAddr::from([203, 0, 113, 9]), 0..=0);
        assert!(pool.bind().expect_err("TEST-NET-3").to_string().contains("203.0.113.9"));
    }
}
