//! What leaves while nothing is said, and who is taken for gone.

use std::time::Duration;

use milo_media::{Codec, LegOptions, Session, Silence, bridge};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::peer::{Peer, loud, session};

/// When packets of this payload type came to a peer within this time, and how many others.
async fn came(peer: &Peer, payload_type: u8, long: Duration) -> (Vec<Instant>, usize) {
    let end = Instant::now() + long;
    let (mut of_this, mut others) = (Vec::new(), 0);
    let mut bytes = [0; 2048];
    while let Ok(length) = timeout_at(end, peer.socket.recv(&mut bytes)).await {
        length.expect("loopback");
        if bytes[1] & 0x7f == payload_type { of_this.push(Instant::now()) } else { others += 1 }
    }
    (of_this, others)
}

/// A leg with this policy whose peer takes comfort noise, a second after it has said something.
async fn silent(silence: Silence, change: impl FnOnce(Session) -> Session) -> (Peer, milo_media::Leg) {
    let (peer, mut leg) = Peer::with_leg(LegOptions { silence, ..LegOptions::default() }).await;
    leg.control.change(change(Session { comfort_noise: Some(13), ..session(peer.address()) }));
    for _ in 0..5 {
        leg.voice.play(loud()).await;
    }
    let start = Instant::now();
    peer.collect(Duration::from_millis(500)).await;
    sleep_until(start + Duration::from_secs(1)).await;
    peer.collect(Duration::from_millis(1)).await;
    (peer, leg)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_sent_announced_or_suppressed_as_configured() {
    let long = Duration::from_millis(6_500);
    let send = async {
        let (peer, _leg) = silent(Silence::Send, |session| session).await;
        let (audio, noise) = came(&peer, 0, long).await;
        assert!(audio.len() > 300 && noise == 0, "{} packets", audio.len());
    };
    let announce = async {
        let (peer, mut leg) = silent(Silence::ComfortNoise, |session| session).await;
        let (noise, audio) = came(&peer, 13, long).await;
        assert!((2..=3).contains(&noise.len()) && audio == 0, "{} of noise, {audio} others", noise.len());
        leg.voice.play(loud()).await;
        let packets = peer.collect(Duration::from_millis(400)).await;
        let first = packets.iter().find(|packet| packet.voiced).expect("sound again");
        assert!(first.marker, "a talkspurt begins");
    };
    let refuse = async {
        let (peer, _leg) = silent(Silence::ComfortNoise, |session| Session { comfort_noise: None, ..session }).await;
        assert!(came(&peer, 0, long).await.0.len() > 300, "who takes no comfort noise is sent silence");
    };
    let suppress = async {
        let (peer, _leg) = silent(Silence::Suppress, |session| session).await;
        let (audio, noise) = came(&peer, 0, long).await;
        assert!((2..=3).contains(&audio.len()) && noise == 0, "{} packets", audio.len());
    };
    let opus = async {
        let opus = Codec::named("opus").expect("in the table");
        let (peer, _leg) =
            silent(Silence::Suppress, |session| Session { codec: opus, payload_type: 111, ..session }).await;
        let packets = came(&peer, 111, long).await.0.len();
        assert!((5..60).contains(&packets), "libopus sends one now and then: {packets}");
    };
    tokio::join!(send, announce, refuse, suppress, opus);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_whose_other_pauses_on_a_bridge_is_not_left_alone() {
    let (mut a, near) = Peer::with_leg(LegOptions::default()).await;
    let (b, far) = Peer::with_leg(LegOptions::default()).await;
    let mut joined = bridge(near, far, None);
    let talk = async {
        let tones: Vec<_> = (0..20).map(|_| a.tone()).collect();
        a.send_clocked(tones).await;
        b.collect(Duration::from_millis(100)).await;
        came(&b, 0, Duration::from_millis(6_500)).await.0.len()
    };
    let packets = tokio::select! {
        packets = talk => packets,
        ended = joined.next() => panic!("{ended:?}"),
    };
    assert!((2..=3).contains(&packets), "{packets} packets in 6.5 s of a pause");
}
