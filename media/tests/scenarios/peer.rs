//! The other end of the line: a socket that sends and counts RTP by hand, knowing nothing of the crate's own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use milo_media::{Codec, Control, Ears, Frame, Heard, Leg, LegOptions, LegStats, PortPool, Session};
use tokio::{
    net::UdpSocket,
    runtime::Handle,
    time::{Instant, sleep, sleep_until, timeout},
};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The payload type of telephone-event in all scenarios.
pub(crate) const EVENT: u8 = 101;
/// What decodes to the loudest tone a packet of bytes can be read for: anything but µ-law's silence.
const SILENCE: [u8; 2] = [0xff, 0x7f];

/// A packet that arrived at the peer.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) voiced: bool,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    /// Where the leg listens.
    pub(crate) leg: SocketAddr,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

impl Peer {
    /// A peer and a leg that know each other.
    pub(crate) async fn with_leg(options: LegOptions) -> (Self, Leg) {
        let socket = UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback");
        let rtp = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
        let leg = rtp.local_addr().expect("bound");
        let session = session(socket.local_addr().expect("bound"));
        let started = Leg::start(rtp, Some(session), options, &Handle::current());
        (Self { socket, leg, ssrc: 1, sequence: 65_500, timestamp: 4_294_960_000 }, started)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// The next packet of the stream, carrying this.
    pub(crate) fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }

    /// The next 20 ms of a tone of 1000 Hz.
    pub(crate) fn tone(&mut self) -> Vec<u8> {
        let packet = self.packet(0, &tone_payload());
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }

    pub(crate) async fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.leg).await.expect("loopback");
    }

    /// Sends one of these packets each 20 ms; an empty one is lost on the way.
    pub(crate) async fn send_clocked(&self, packets: Vec<Vec<u8>>) {
        let start = Instant::now();
        for (index, packet) in packets.into_iter().enumerate() {
            sleep_until(start + Duration::from_millis(20) * index as u32).await;
            if !packet.is_empty() {
                self.send(&packet).await;
            }
        }
    }

    /// What arrives within this time.
    pub(crate) async fn collect(&self, long: Duration) -> Vec<Arrived> {
        let end = Instant::now() + long;
        let mut arrived = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = timeout(end - Instant::now().min(end), self.socket.recv(&mut buffer)).await {
            let packet = &buffer[..length.expect("loopback")];
            arrived.push(Arrived {
                sequence: u16::from_be_bytes([packet[2], packet[3]]),
                timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
                marker: packet[1] & 0x80 != 0,
                voiced: packet[12..].iter().any(|byte| !SILENCE.contains(byte)),
                payload: packet[12..].to_vec(),
            });
        }
        arrived
    }
}

/// PCMU to this address, both ways.
pub(crate) fn session(remote: SocketAddr) -> Session {
    Session { telephone_event: Some(EVENT), ..Session::new(remote, Codec::named("PCMU").expect("in the table")) }
}

/// 20 ms of 1000 Hz as PCMU; a whole number of periods.
pub(crate) fn tone_payload() -> Vec<u8> {
    let step = std::f32::consts::TAU * 1000.0 / 8000.0;
    let samples: Vec<i16> = (0..160).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect();
    let mut payload = Vec::new();
    (Codec::named("PCMU").expect("in the table").encoder)().encode(&samples, &mut payload);
    payload
}

/// A frame that is not silence.
pub(crate) fn loud() -> Frame {
    milo_media::tone::Tone::new(400.0, 0.5).next().expect("endless")
}

/// The next `count` frames heard; events are passed over.
pub(crate) async fn hear(ears: &mut Ears, count: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    while samples.len() < count * 320 {
        match within(ears.next()).await {
            Heard::Frame(heard) => samples.extend(heard.frame.samples()),
            Heard::Closed(closed) => panic!("closed: {closed:?}"),
            Heard::Digit(_) | Heard::Held | Heard::Resumed => {}
        }
    }
    samples
}

/// The next thing heard that is no frame.
pub(crate) async fn event(ears: &mut Ears) -> Heard {
    loop {
        match within(ears.next()).await {
            Heard::Frame(_) => {}
            event => return event,
        }
    }
}

/// The figures once they are so, or after five seconds as they are then; and a little later, in case they went on.
pub(crate) async fn settled(control: &Control, is_so: impl Fn(&LegStats) -> bool) -> LegStats {
    for _ in 0..100 {
        if is_so(&control.stats()) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(60)).await;
    control.stats()
}

/// No step of a scenario takes longer.
pub(crate) async fn within<T>(step: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(5), step).await.expect("within five seconds")
}

pub(crate) fn rms(samples: &[i16]) -> f32 {
    (samples.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
}

/// The frequency in Hz, by counting rises through zero.
pub(crate) fn hertz(samples: &[i16]) -> f32 {
    let rises = |part: &[i16]| part.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count() as f32;
    usual(samples, |part| rises(part) * 16_000.0 / part.len() as f32)
}

/// The level in dB over that of the peer's tone.
pub(crate) fn level_db(samples: &[i16]) -> f32 {
    usual(samples, |part| 20.0 * (rms(part) * 2f32.sqrt() / 8000.0).log10())
}

/// The median over pieces of 100 ms: a busy machine may hold up the test for a moment.
fn usual(samples: &[i16], measure: impl Fn(&[i16]) -> f32) -> f32 {
    let mut parts: Vec<f32> = samples.chunks_exact(1600).map(measure).collect();
    parts.sort_by(f32::total_cmp);
    parts[parts.len() / 2]
}
