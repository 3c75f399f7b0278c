//! SRTP between two legs, with somebody on the wire who reads, repeats and forges.

use std::{sync::Arc, time::Duration};

use milo_media::{
    Closed, Heard, Leg, LegOptions, PortPool, Session,
    srtp::{Identity, MasterKey, Role, Security, Suite},
    tone::Tone,
};
use tokio::{
    net::UdpSocket,
    runtime::Handle,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::peer::{LOOPBACK, Peer, event, hear, hertz, level_db, rms, session, settled, within};

/// Two legs that know each other only through a socket between them.
struct Wire {
    near: Leg,
    far: Leg,
    /// What went from near to far, in order.
    tapped: mpsc::Receiver<Vec<u8>>,
    socket: Arc<UdpSocket>,
    far_at: std::net::SocketAddr,
    relay: JoinHandle<()>,
}

impl Wire {
    async fn new(near: Security, far: Security) -> Self {
        let pool = PortPool::new(LOOPBACK, 0..=0);
        let (near_port, far_port) = (pool.bind().expect("a port"), pool.bind().expect("a port"));
        let (near_at, far_at) = (near_port.local_addr().expect("bound"), far_port.local_addr().expect("bound"));
        let socket = Arc::new(UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback"));
        let between = socket.local_addr().expect("bound");
        let (tap, tapped) = mpsc::channel(1000);
        let wire = socket.clone();
        let relay = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = wire.recv_from(&mut buffer).await {
                let datagram = &buffer[..length];
                let to = if from == near_at { far_at } else { near_at };
                if from == near_at {
                    tap.try_send(datagram.to_vec()).ok();
                }
                wire.send_to(datagram, to).await.ok();
            }
        });
        let start = |port, security| {
            let session = Session { security, ..session(between) };
            Leg::start(port, Some(session), LegOptions::default(), &Handle::current())
        };
        Self { near: start(near_port, near), far: start(far_port, far), tapped, socket, far_at, relay }
    }

    /// The near side speaks a tone of 1000 Hz for so many frames.
    async fn speak(&mut self, frames: usize) {
        for frame in Tone::new(1000.0, 8000.0 / 32_767.0).take(frames) {
            within(self.near.voice.play(frame)).await;
        }
    }

    fn tapped(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.tapped.try_recv().ok()).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

fn sdes(suite: Suite) -> (Security, Security) {
    let (one, other) = (MasterKey::random(suite), MasterKey::random(suite));
    let near = Security::Sdes { ours: one.clone(), theirs: other.clone() };
    (near, Security::Sdes { ours: other, theirs: one })
}

fn dtls() -> (Security, Security) {
    let [one, other] = [(); 2].map(|()| Identity::generate().expect("a certificate"));
    let side = |ours: &Arc<Identity>, theirs: &Arc<Identity>, role| Security::Dtls {
        identity: ours.clone(),
        role,
        fingerprints: vec![theirs.fingerprint().clone()],
    };
    (side(&one, &other, Role::Active), side(&other, &one, Role::Passive))
}

async fn a_tone_is_heard((near, far): (Security, Security), is_handshaken: bool) {
    let mut wire = Wire::new(near, far).await;
    let speaking = async {
        for frame in Tone::new(1000.0, 8000.0 / 32_767.0).take(70) {
            within(wire.near.voice.play(frame)).await;
        }
    };
    let (heard, ()) = tokio::join!(hear(&mut wire.far.ears, 65), speaking);
    let heard = &heard[35 * 320..];
    assert!((hertz(heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(heard));
    assert!(level_db(heard).abs() < 0.5, "{} dB", level_db(heard));
    let stats = wire.far.control.stats();
    assert_eq!((stats.unauthentic, stats.replayed, stats.lost), (0, 0, 0), "{stats:?}");
    // Nobody between them finds a µ-law packet of a fixed length, nor the bytes of silence.
    let tapped = wire.tapped();
    let media: Vec<_> = tapped.iter().filter(|datagram| datagram[0] >> 6 == 2).collect();
    assert!(media.len() > 50 && media.iter().all(|packet| packet.len() > 172), "{}", media.len());
    assert!(media.iter().all(|packet| !packet[12..].windows(8).any(|bytes| bytes == [0xff; 8])));
    assert_eq!(is_handshaken, media.len() < tapped.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_is_heard_through_every_suite_and_a_handshake() {
    tokio::join!(
        a_tone_is_heard(sdes(Suite::AeadAes128Gcm), false),
        a_tone_is_heard(sdes(Suite::AesCm128HmacSha1_80), false),
        a_tone_is_heard(sdes(Suite::AesCm128HmacSha1_32), false),
        a_tone_is_heard(dtls(), true),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_silence_and_counted() {
    let (near, _) = sdes(Suite::AesCm128HmacSha1_80);
    let (_, far) = sdes(Suite::AesCm128HmacSha1_80);
    let mut wire = Wire::new(near, far).await;
    wire.speak(30).await;
    let heard = hear(&mut wire.far.ears, 30).await;
    assert_eq!(rms(&heard), 0.0);
    let stats = wire.far.control.stats();
    assert!(stats.unauthentic >= 20 && stats.received == 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_packets_sent_again_are_not_heard() {
    let (near, far) = sdes(Suite::AeadAes128Gcm);
    let mut wire = Wire::new(near, far).await;
    wire.speak(25).await;
    wire.near.voice.drained().await;
    let recorded = wire.tapped();
    // The near side is put away, so that nothing else comes.
    wire.near.control.end();
    assert!(matches!(event(&mut wire.near.ears).await, Heard::Closed(Closed::HungUp)));
    sleep(Duration::from_millis(300)).await;
    let before = wire.far.control.stats();
    // What waits to be heard is what was said the first time.
    hear(&mut wire.far.ears, 70).await;
    for packet in &recorded {
        wire.socket.send_to(packet, wire.far_at).await.expect("loopback");
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(100)).await;
    let heard = hear(&mut wire.far.ears, 10).await;
    let after = wire.far.control.stats();
    assert_eq!(after.replayed - before.replayed, recorded.len() as u64, "{after:?}");
    assert_eq!((after.received, rms(&heard)), (before.received, 0.0));
}

/// 500 datagrams a second for two seconds, from the peer's address and from elsewhere, while the peer speaks.
async fn a_flood_is_not_heard((near, far): (Security, Security)) {
    let mut wire = Wire::new(near, far).await;
    // The handshake, where there is one, is over and the tone is there before the flood begins.
    wire.speak(50).await;
    hear(&mut wire.far.ears, 40).await;
    let stranger = UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback");
    let forged = [&[0x80, 0, 0x77, 0x77][..], &[9; 8], &[0x80; 160], &[3; 10]].concat();
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let record = [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40][..], &[5; 40]].concat();
    let (between, at) = (wire.socket.clone(), wire.far_at);
    let start = Instant::now();
    let flood = tokio::spawn(async move {
        for index in 0..1000usize {
            let noise = vec![index as u8; 99];
            let datagram = [&forged, &stun, &record, &noise][index % 4];
            let from = if index % 8 < 4 { &*between } else { &stranger };
            from.send_to(datagram, at).await.expect("loopback");
            sleep_until(start + Duration::from_millis(2) * index as u32).await;
        }
        let mut answer = [0; 2048];
        assert!(stranger.try_recv(&mut answer).is_err(), "the stranger was answered");
    });
    let speaking = async {
        for frame in Tone::new(1000.0, 8000.0 / 32_767.0).take(110) {
            within(wire.near.voice.play(frame)).await;
        }
    };
    let (heard, ()) = tokio::join!(hear(&mut wire.far.ears, 100), speaking);
    within(flood).await.expect("sent");
    let heard = &heard[15 * 320..95 * 320];
    assert!((hertz(heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(heard));
    assert!(level_db(heard).abs() < 0.5, "{} dB", level_db(heard));
    let stats = wire.far.control.stats();
    assert!(stats.unauthentic >= 240 && stats.lost == 0, "{stats:?}");
    // All 1,000 but for what looks like DTLS of the peer's own, on a leg that has its keys from there.
    assert!(stats.unauthentic + stats.ignored >= 830, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_against_a_secured_leg_is_counted_and_not_heard() {
    a_flood_is_not_heard(sdes(Suite::AesCm128HmacSha1_80)).await;
    a_flood_is_not_heard(dtls()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_ends_the_leg_with_its_reason() {
    let (near, Security::Dtls { identity, role, .. }) = dtls() else { panic!("DTLS") };
    let other = Identity::generate().expect("a certificate");
    let far = Security::Dtls { identity, role, fingerprints: vec![other.fingerprint().clone()] };
    let mut wire = Wire::new(near, far).await;
    let Heard::Closed(Closed::Failed(why)) = event(&mut wire.far.ears).await else { panic!("it went on") };
    assert!(why.contains("fingerprint"), "{why}");
    assert_eq!(wire.far.control.stats().sent, 0, "nothing was said in clear");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sprayed_stun_dtls_and_srtp_do_not_disturb_a_plain_call() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let stranger = UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback");
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let hello = [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1][..], &[0; 59]].concat();
    let packets: Vec<_> = (0..60).map(|_| peer.tone()).collect();
    let at = peer.leg;
    let sending = tokio::spawn(async move {
        peer.send(&packets[0]).await;
        let spray = async {
            for index in 0..100 {
                let datagram = if index % 2 == 0 { &stun } else { &hello };
                stranger.send_to(datagram, at).await.expect("loopback");
                peer.send(datagram).await;
                sleep(Duration::from_millis(10)).await;
            }
            let mut answer = [0; 2048];
            assert!(stranger.try_recv(&mut answer).is_err(), "the stranger was answered");
        };
        tokio::join!(spray, peer.send_clocked(packets[1..].to_vec()));
    });
    let heard = hear(&mut leg.ears, 50).await.split_off(10 * 320);
    within(sending).await.expect("sent");
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
    let stats = settled(&leg.control, |stats| stats.ignored >= 200).await;
    assert_eq!((stats.ignored, stats.lost), (200, 0), "{stats:?}");
}
