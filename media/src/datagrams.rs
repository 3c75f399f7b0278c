//! A leg's socket. All that waits is taken in one system call, each datagram with the moment at which the kernel took it in.
//!
//! Nobody waits for a datagram to come: the leg looks when its clock ticks, which it does anyway, and learns then when
//! each one came. A leg so costs one wake-up and two system calls each 20 ms (this one and the sending), not two and four.
//!
//! Linux: `recvmmsg(2)`, and `SO_TIMESTAMPNS` of `socket(7)`. Or a pipe (pipe.rs), whose far end says when each one came.

use std::{
    cell::{Cell, RefCell},
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd,
    ptr,
    time::{Duration, Instant, SystemTime},
};

use socket2::SockRef;

use crate::pipe::PipeEnd;

/// Datagrams a system call takes at most.
const BATCH: usize = 8;
/// Bytes of the longest datagram looked at; RTP audio is far shorter.
const LONGEST: usize = 2048;
/// Two clocks that were read within this time were read together.
const MOMENT: Duration = Duration::from_micros(50);
/// Bytes of the control messages of one datagram: the time takes 32.
const CONTROL: usize = 64;

/// A bound socket that is looked into from time to time.
#[derive(Debug)]
pub struct Datagrams {
    way: Way,
    /// Before this, all that had come was taken.
    looked: Cell<Instant>,
}

/// How they come and go.
#[derive(Debug)]
enum Way {
    Socket {
        socket: UdpSocket,
        /// An IPv6 socket, which takes and sends IPv4 as well where it is bound to every address.
        is_ipv6: bool,
    },
    Pipe(PipeEnd),
}

/// What a leg's packets travel on.
#[derive(Debug)]
pub(crate) enum Wire {
    /// A socket of ours.
    Socket(UdpSocket),
    /// Somebody else's.
    Pipe(PipeEnd),
}

impl Datagrams {
    /// From now on the kernel notes when datagrams come.
    ///
    /// # Errors
    /// The system's, when it refuses one of the two options this needs.
    pub fn new(socket: UdpSocket, now: Instant) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let on: libc::c_int = 1;
        // SAFETY: the descriptor is open as long as `socket`, and the option is an int of the length given.
        let refused = unsafe {
            let length = mem::size_of_val(&on) as libc::socklen_t;
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                ptr::from_ref(&on).cast(),
                length,
            )
        };
        if refused != 0 {
            return Err(io::Error::last_os_error());
        }
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        Ok(Self { way: Way::Socket { socket, is_ipv6 }, looked: Cell::new(now) })
    }

    /// The same over whatever wire.
    pub(crate) fn over(wire: Wire, now: Instant) -> io::Result<Self> {
        match wire {
            Wire::Socket(socket) => Self::new(socket, now),
            Wire::Pipe(end) => Ok(Self { way: Way::Pipe(end), looked: Cell::new(now) }),
        }
    }

    /// Takes what waits, at most `most`, the oldest first: each with where it comes from and when it came. What is longer
    /// than any RTP packet is cut. Inside `each`, no other socket may be looked into.
    pub fn take(&self, now: Instant, most: usize, mut each: impl FnMut(&mut [u8], SocketAddr, Instant)) {
        let looked = self.looked.replace(now).min(now);
        let socket = match &self.way {
            Way::Socket { socket, .. } => socket,
            Way::Pipe(end) => return end.take(most, |packet, from, at| each(packet, from, at.clamp(looked, now))),
        };
        let (at, real) = both_clocks();
        BASKET.with_borrow_mut(|basket| {
            let mut taken = 0;
            while taken < most {
                let count = basket.fill(socket, BATCH.min(most - taken));
                for (message, bytes) in basket.messages.iter().zip(&mut basket.bytes).take(count) {
                    let Some(from) = source(message) else { continue };
                    let age = stamp(message).map_or(Duration::ZERO, |came| real.saturating_sub(came));
                    // A wall clock that was set meanwhile must not move an arrival to before the last look.
                    let arrived = at.checked_sub(age).map_or(looked, |arrived| arrived.clamp(looked, now));
                    each(&mut bytes[..message.msg_len as usize], from, arrived);
                }
                taken += count;
                if count < BATCH {
                    break;
                }
            }
        });
    }

    /// Marks what is sent from now on with this DSCP (RFC 2474), 0 to 63.
    pub(crate) fn mark(&self, dscp: u8) -> io::Result<()> {
        let Way::Socket { socket, is_ipv6 } = &self.way else { return Ok(()) };
        let socket = SockRef::from(socket);
        let octet = u32::from(dscp & 0x3f) << 2;
        if *is_ipv6 {
            // One for both versions sends IPv4 too.
            socket.set_tos_v4(octet).ok();
            socket.set_tclass_v6(octet)
        } else {
            socket.set_tos_v4(octet)
        }
    }

    /// Sends one; never waits.
    ///
    /// # Errors
    /// The system's, `WouldBlock` when it has no room.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        let (socket, is_ipv6) = match &self.way {
            Way::Socket { socket, is_ipv6 } => (socket, *is_ipv6),
            Way::Pipe(end) => return end.send(datagram),
        };
        let to = match to {
            SocketAddr::V4(to) if is_ipv6 => SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port()),
            to => to,
        };
        socket.send_to(datagram, to)
    }
}

thread_local! {
    /// What a system call fills, one a thread: a leg holds no bytes of its own for it.
    static BASKET: RefCell<Box<Basket>> = RefCell::new(Box::new(Basket::new()));
}

struct Basket {
    messages: [libc::mmsghdr; BATCH],
    pieces: [libc::iovec; BATCH],
    sources: [libc::sockaddr_storage; BATCH],
    controls: [Control; BATCH],
    bytes: [[u8; LONGEST]; BATCH],
}

/// Control messages, aligned as `cmsghdr` must be.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Control([u8; CONTROL]);

impl Basket {
    fn new() -> Self {
        // SAFETY: these are plain C structures of integers and pointers, for which all zeroes is a value.
        let (messages, pieces, sources) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self { messages, pieces, sources, controls: [Control([0; CONTROL]); BATCH], bytes: [[0; LONGEST]; BATCH] }
    }

    /// Takes at most `most` (up to [`BATCH`]) datagrams; says how many there were.
    fn fill(&mut self, socket: &UdpSocket, most: usize) -> usize {
        let most = most.min(BATCH);
        for at in 0..most {
            self.pieces[at] = libc::iovec { iov_base: self.bytes[at].as_mut_ptr().cast(), iov_len: LONGEST };
            let header = &mut self.messages[at].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.sources[at]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = ptr::from_mut(&mut self.pieces[at]);
            header.msg_iovlen = 1;
            header.msg_control = self.controls[at].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: the first `most` headers point to buffers of `self` of the lengths they say, and `self` is borrowed here;
        // without a timeout the kernel reads nothing else.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                most as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        // Nothing there, or the echo of a datagram that could not be delivered.
        usize::try_from(count).unwrap_or(0)
    }
}

/// Where a datagram comes from: an IPv4 address as such, also when it came through an IPv6 socket (RFC 4291 2.5.5.2).
fn source(message: &libc::mmsghdr) -> Option<SocketAddr> {
    let name = message.msg_hdr.msg_name;
    // SAFETY: `msg_name` points to a whole `sockaddr_storage` of the basket, which the kernel has filled and which is
    // aligned and large enough for every address family.
    unsafe {
        match libc::c_int::from((*name.cast::<libc::sockaddr_storage>()).ss_family) {
            libc::AF_INET => {
                let from = *name.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(from.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(from.sin_port)).into())
            }
            libc::AF_INET6 => {
                let from = *name.cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(from.sin6_addr.s6_addr);
                let port = u16::from_be(from.sin6_port);
                if let Some(ip) = ip.to_ipv4_mapped() {
                    return Some(SocketAddrV4::new(ip, port).into());
                }
                Some(SocketAddrV6::new(ip, port, from.sin6_flowinfo, from.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// When the kernel took a datagram in, since the epoch of the wall clock.
fn stamp(message: &libc::mmsghdr) -> Option<Duration> {
    let header = &message.msg_hdr;
    // SAFETY: the control buffer is that of the basket, aligned, and as long as the kernel has left `msg_controllen`;
    // the macros stay within it, and a message of this type carries a timespec (read unaligned).
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::timespec>());
                return Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// The clock by which the house counts and the one by which the kernel stamps, at the same moment: a thread that was
/// interrupted between the two asks again.
#[expect(clippy::disallowed_methods, reason = "the edge: the kernel stamps datagrams by the wall clock")]
fn both_clocks() -> (Instant, Duration) {
    let mut at = Instant::now();
    for _ in 0..3 {
        let real = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = mem::replace(&mut at, Instant::now());
        if at.saturating_duration_since(before) < MOMENT {
            return (at, real);
        }
    }
    (at, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::leg::now;

    fn pair(address: &str) -> (UdpSocket, SocketAddr, Datagrams) {
        let (far, near) = (UdpSocket::bind(address).expect("loopback"), UdpSocket::bind(address).expect("loopback"));
        let at = near.local_addr().expect("bound");
        (far, at, Datagrams::new(near, now()).expect("Linux"))
    }

    #[test]
    fn what_is_sent_is_marked_on_both_versions_of_ip() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (_, _, near) = pair(address);
            near.mark(46).expect("marked");
            let Way::Socket { socket, .. } = &near.way else { panic!("a socket") };
            let socket = SockRef::from(socket);
            let marked = if address.starts_with('[') { socket.tclass_v6() } else { socket.tos_v4() };
            assert_eq!(marked.expect("readable"), 46 << 2, "{address}");
        }
    }

    #[test]
    fn all_that_waits_is_taken_in_order_with_source_and_time() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (far, at, near) = pair(address);
            // The kernel begins to stamp a moment after the first socket on the machine asked for it, and not before.
            let exact = (0..50).any(|_| {
                let before = now();
                for number in 0..20u8 {
                    far.send_to(&[number; 160], at).expect("loopback");
                }
                let after = now();
                sleep(Duration::from_millis(30));
                let (mut taken, mut exact) = (Vec::new(), true);
                near.take(now(), 64, |bytes, from, came| {
                    assert_eq!((bytes.len(), from), (160, far.local_addr().expect("bound")));
                    exact &= came + Duration::from_millis(1) >= before && came <= after + Duration::from_millis(1);
                    taken.push(bytes[0]);
                });
                assert_eq!(taken, (0..20).collect::<Vec<_>>());
                near.take(now(), 64, |_, _, _| panic!("nothing waits"));
                exact
            });
            assert!(exact, "they came while they were sent, not when they were taken");
        }
    }

    #[test]
    fn no_more_is_taken_than_asked_for_and_what_is_too_long_is_cut() {
        let (far, at, near) = pair("127.0.0.1:0");
        for _ in 0..11 {
            far.send_to(&[7; 3000], at).expect("loopback");
        }
        let mut taken = 0;
        near.take(now(), 10, |bytes, _, _| taken += usize::from(bytes.len() == LONGEST));
        assert_eq!(taken, 10);
        near.take(now(), 10, |_, _, _| taken += 1);
        assert_eq!(taken, 11);
    }

    #[test]
    fn an_arrival_is_never_before_the_last_look() {
        let (far, at, near) = pair("127.0.0.1:0");
        far.send_to(b"one", at).expect("loopback");
        sleep(Duration::from_millis(20));
        // As if the wall clock had leapt: the socket says it looked just now.
        let looked = now();
        near.looked.set(looked);
        let mut came = None;
        near.take(now(), 1, |_, _, at| came = Some(at));
        assert!(came.is_some_and(|came| came >= looked));
    }

    #[test]
    fn one_socket_serves_both_versions_of_ip() {
        let pool = crate::PortPool::new(Ipv6Addr::UNSPECIFIED.into(), 0..=0);
        let bound = pool.bind().expect("every address");
        let port = bound.local_addr().expect("bound").port();
        let near = Datagrams::over(bound.socket, now()).expect("Linux");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let far = UdpSocket::bind(address).expect("loopback");
            let own = far.local_addr().expect("bound");
            far.send_to(b"salama", (own.ip(), port)).expect("loopback");
            sleep(Duration::from_millis(10));
            let mut from = None;
            near.take(now(), 1, |_, source, _| from = Some(source));
            assert_eq!(from, Some(own), "as an SDP names it");
            near.send(b"salama", own).expect("loopback");
            assert_eq!(far.recv_from(&mut [0; 9]).expect("loopback").0, 6);
        }
    }

    #[test]
    fn it_sends() {
        let (far, at, near) = pair("127.0.0.1:0");
        near.send(b"hello", far.local_addr().expect("bound")).expect("loopback");
        let mut bytes = [0; 9];
        assert_eq!(far.recv_from(&mut bytes).expect("loopback"), (5, at));
    }
}
