//! A wire that is no socket of ours: somebody else brings the packets and takes them away, a WebSocket or the stack of WebRTC.
//!
//! ```text
//!  WebRTC: RTP ──────────────────► Pipe ──► leg          the leg is the same: its clock, its jitter buffer, its codecs
//!  WebSocket: bytes ─► Payloads ─► Pipe ──► leg
//! ```

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use tokio::sync::mpsc::{self, error::TryRecvError};

use crate::{
    codec::{Codec, Decoder},
    rtp::Packet,
};

/// Packets that wait each way: more than a second. Full, the newest is lost.
const PACKETS: usize = 64;
/// Where the far end of a pipe is taken to be. Nothing is ever sent there: it is the port where everything is discarded (RFC 863).
pub const PIPED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// Comfort noise (RFC 3389), static payload type, and the level of nothing at all.
const COMFORT_NOISE: u8 = 13;
const NOTHING: u8 = 127;

/// The far end of a leg's pipe: whole packets of RTP, in the clear.
#[derive(Debug)]
pub struct Pipe {
    to_leg: mpsc::Sender<(Vec<u8>, Instant)>,
    from_leg: mpsc::Receiver<Vec<u8>>,
}

/// The half of a pipe by which packets come to the leg.
#[derive(Debug)]
pub struct PipeIn {
    to_leg: mpsc::Sender<(Vec<u8>, Instant)>,
}

/// The half by which the leg's packets leave.
#[derive(Debug)]
pub struct PipeOut {
    from_leg: mpsc::Receiver<Vec<u8>>,
}

/// The leg's end.
#[derive(Debug)]
pub(crate) struct PipeEnd {
    came: RefCell<mpsc::Receiver<(Vec<u8>, Instant)>>,
    leaves: mpsc::Sender<Vec<u8>>,
}

pub(crate) fn pipe() -> (PipeEnd, Pipe) {
    let ((to_leg, came), (leaves, from_leg)) = (mpsc::channel(PACKETS), mpsc::channel(PACKETS));
    (PipeEnd { came: RefCell::new(came), leaves }, Pipe { to_leg, from_leg })
}

impl Pipe {
    /// A packet came, at that moment. Says whether the leg takes it: not when it has ended, nor when a second of them waits.
    pub fn bring(&self, packet: Vec<u8>, at: Instant) -> bool {
        self.to_leg.try_send((packet, at)).is_ok()
    }

    /// The next packet that the leg sends; `None` once it has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.from_leg.recv().await
    }

    /// Both halves, where one part of the program brings and another takes away.
    pub fn split(self) -> (PipeIn, PipeOut) {
        (PipeIn { to_leg: self.to_leg }, PipeOut { from_leg: self.from_leg })
    }
}

impl PipeIn {
    /// As [`Pipe::bring`].
    pub fn bring(&self, packet: Vec<u8>, at: Instant) -> bool {
        self.to_leg.try_send((packet, at)).is_ok()
    }
}

impl PipeOut {
    /// As [`Pipe::next`].
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.from_leg.recv().await
    }
}

impl PipeEnd {
    /// Takes what waits, at most `most`.
    pub(crate) fn take(&self, most: usize, mut each: impl FnMut(&mut [u8], SocketAddr, Instant)) {
        let mut came = self.came.borrow_mut();
        for _ in 0..most {
            match came.try_recv() {
                Ok((mut packet, at)) => each(&mut packet, PIPED, at),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Sends one; never waits.
    pub(crate) fn send(&self, packet: &[u8]) -> io::Result<usize> {
        let sent = self.leaves.try_send(packet.to_vec());
        sent.map(|()| packet.len()).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

/// A pipe for whoever has no RTP: what the packets hold, both ways, in one codec.
#[derive(Debug)]
pub struct Payloads {
    pipe: Pipe,
    codec: &'static Codec,
    decoder: Box<dyn Decoder>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    begins: bool,
}

impl Payloads {
    /// Of this codec.
    pub fn new(pipe: Pipe, codec: &'static Codec) -> Self {
        let (ssrc, sequence, timestamp) = (rand::random(), rand::random::<u16>() >> 1, rand::random());
        Self { pipe, codec, decoder: (codec.decoder)(), ssrc, sequence, timestamp, begins: true }
    }

    /// A payload came, after so many milliseconds in which nothing was sent.
    pub fn bring(&mut self, payload: &[u8], after_ms: u32, at: Instant) -> bool {
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate / 1000 * after_ms);
        let brought = self.put((self.codec.payload_type, self.begins || after_ms > 0), payload, at);
        let samples = self.decoder.samples(payload).unwrap_or(0);
        self.timestamp = self.timestamp.wrapping_add(self.codec.ticks_of(samples));
        self.begins = false;
        brought
    }

    /// Nothing comes for a while, on purpose.
    pub fn rest(&mut self, at: Instant) -> bool {
        self.put((COMFORT_NOISE, false), &[NOTHING], at)
    }

    fn put(&mut self, (payload_type, marker): (u8, bool), payload: &[u8], at: Instant) -> bool {
        let &mut Self { ssrc, sequence, timestamp, .. } = self;
        let mut packet = Vec::new();
        Packet { marker, payload_type, sequence, timestamp, ssrc, payload: &[] }.write_header(&mut packet);
        packet.extend_from_slice(payload);
        self.sequence = sequence.wrapping_add(1);
        self.pipe.bring(packet, at)
    }

    /// What the next packet of sound holds that the leg sends; `None` once it has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let packet = self.pipe.next().await?;
            if let Some(packet) = Packet::parse(&packet).filter(|sent| sent.payload_type == self.codec.payload_type) {
                return Some(packet.payload.to_vec());
            }
        }
    }
}
