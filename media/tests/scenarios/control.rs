//! Agreements that change, peers that fall silent, legs that end.

use std::time::Duration;

use milo_media::{Closed, Codec, Direction, Heard, Leg, LegOptions, PortPool, Rtcp, Session};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use crate::peer::{LOOPBACK, Peer, event, hear, loud, rms, session, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_hold_nothing_is_sent_and_afterwards_the_voice_goes_on() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let agreed = session(peer.address());
    assert!(!peer.collect(Duration::from_millis(60)).await.is_empty());
    leg.control.change(Session { direction: Direction::Inactive, ..agreed.clone() });
    assert!(matches!(event(&mut leg.ears).await, Heard::Held));
    leg.voice.play(loud()).await;
    peer.collect(Duration::from_millis(10)).await;
    let tone = peer.tone();
    peer.send(&tone).await;
    assert!(peer.collect(Duration::from_millis(100)).await.is_empty(), "silence on the wire");
    assert!(rms(&hear(&mut leg.ears, 5).await) < 1.0, "and in the ears, whatever comes");
    assert_eq!(leg.voice.played().samples, 0);
    leg.control.change(agreed);
    assert!(matches!(event(&mut leg.ears).await, Heard::Resumed));
    within(leg.voice.drained()).await;
    let packets = peer.collect(Duration::from_millis(400)).await;
    assert!(packets.iter().any(|packet| packet.voiced && packet.marker));
    assert_eq!(leg.voice.played().samples, 320);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_falls_silent_ends_the_leg_and_one_on_hold_does_not() {
    let options = LegOptions { rtp_timeout: Duration::from_millis(300), ..LegOptions::default() };
    let (peer, mut leg) = Peer::with_leg(options).await;
    let held = Session { direction: Direction::RecvOnly, ..session(peer.address()) };
    leg.control.change(held);
    assert!(matches!(event(&mut leg.ears).await, Heard::Held));
    assert!(timeout(Duration::from_millis(600), event(&mut leg.ears)).await.is_err(), "nothing happens on hold");
    let resumed = Instant::now();
    leg.control.change(session(peer.address()));
    assert!(matches!(event(&mut leg.ears).await, Heard::Resumed));
    assert!(matches!(event(&mut leg.ears).await, Heard::Closed(Closed::Timeout)));
    assert!((280..3000).contains(&resumed.elapsed().as_millis()), "{:?}", resumed.elapsed());
    assert!(matches!(event(&mut leg.ears).await, Heard::Closed(Closed::Timeout)), "and stays closed");
    for _ in 0..20 {
        within(leg.voice.play(loud())).await;
    }
    within(leg.voice.drained()).await;
}

/// A report of the peer of this scenario, which counts so many packets sent, and whose CNAME is "x".
fn report(peer: &Peer, packets: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    for word in [peer.ssrc, 0xe5f0_1234, 0, peer.timestamp, packets, packets * 160] {
        report.extend(word.to_be_bytes());
    }
    report.extend([0x81, 202, 0, 2]);
    report.extend(peer.ssrc.to_be_bytes());
    report.extend([1, 1, b'x', 0]);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_a_peer_that_is_silent_on_purpose_keep_the_leg_and_of_one_whose_packets_are_lost_do_not() {
    let options = LegOptions { rtp_timeout: Duration::from_millis(800), ..LegOptions::default() };
    for loses in [false, true] {
        let (mut peer, mut leg) = Peer::with_leg(options.clone()).await;
        leg.control.change(Session { rtcp: Rtcp::Mux, ..session(peer.address()) });
        for _ in 0..5 {
            let tone = peer.tone();
            peer.send(&tone).await;
        }
        let mut packets = 5;
        let reporting = async {
            for _ in 0..24 {
                peer.send(&report(&peer, packets)).await;
                packets += u32::from(loses) * 5;
                sleep(Duration::from_millis(100)).await;
            }
        };
        let ended = tokio::select! {
            closed = async { while !matches!(leg.ears.next().await, Heard::Closed(_)) {} } => { let () = closed; true }
            () = reporting => false,
        };
        assert_eq!(ended, loses, "2.4 s with reports and without packets");
        if !ended {
            assert!(matches!(event(&mut leg.ears).await, Heard::Closed(Closed::Timeout)), "but not without either");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comfort_noise_gives_more_time() {
    let options = LegOptions { rtp_timeout: Duration::from_millis(300), ..LegOptions::default() };
    let (mut peer, mut leg) = Peer::with_leg(options).await;
    let packets = [peer.tone(), peer.tone(), peer.packet(13, &[60])];
    for packet in packets {
        peer.send(&packet).await;
    }
    let silent = Instant::now();
    assert!(matches!(event(&mut leg.ears).await, Heard::Closed(Closed::Timeout)));
    assert!((1100..3000).contains(&silent.elapsed().as_millis()), "{:?}", silent.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_offer_is_learned_later() {
    let (peer, _) = Peer::with_leg(LegOptions::default()).await;
    let rtp = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
    let mut leg = Leg::start(
        rtp,
        None,
        LegOptions { rtp_timeout: Duration::from_millis(100), ..LegOptions::default() },
        &Handle::current(),
    );
    assert!(rms(&hear(&mut leg.ears, 10).await) < 1.0);
    leg.control.change(Session {
        codec: Codec::named("PCMA").expect("in the table"),
        payload_type: 8,
        ..session(peer.address())
    });
    sleep(Duration::from_millis(60)).await;
    assert!(leg.control.stats().sent >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_holds_although_its_control_was_dropped() {
    let (peer, Leg { ears: _ears, control, .. }) = Peer::with_leg(LegOptions::default()).await;
    control.change(Session { ptime_ms: 40, ..session(peer.address()) });
    drop(control);
    peer.collect(Duration::from_millis(60)).await;
    let packets = peer.collect(Duration::from_millis(100)).await;
    assert!(packets.iter().all(|packet| packet.payload.len() == 320) && !packets.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_both_halves_frees_the_port_after_its_rest() {
    let free = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port").local_addr().expect("bound").port() & !1;
    let pool = PortPool::new(LOOPBACK, free..=free);
    let rtp = pool.bind().expect("free a moment ago");
    let remote = rtp.local_addr().expect("bound");
    let Leg { ears, voice, control } =
        Leg::start(rtp, Some(session(remote)), LegOptions::default(), &Handle::current());
    drop(ears);
    sleep(Duration::from_millis(100)).await;
    let sent = control.stats().sent;
    sleep(Duration::from_millis(100)).await;
    assert!(control.stats().sent > sent, "the voice alone keeps the leg");
    drop(voice);
    let dropped = Instant::now();
    while pool.bind().is_err() {
        assert!(dropped.elapsed() < Duration::from_secs(10), "and is free again");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(dropped.elapsed() >= Duration::from_secs(2), "the port rests");
}

#[test]
fn a_runtime_that_ends_closes_the_leg() {
    let (own, media) = (runtime(), runtime());
    let rtp = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
    let remote = rtp.local_addr().expect("bound");
    let mut leg = Leg::start(rtp, Some(session(remote)), LegOptions::default(), media.handle());
    own.block_on(async {
        hear(&mut leg.ears, 2).await;
        media.shutdown_background();
        assert!(matches!(event(&mut leg.ears).await, Heard::Closed(Closed::Dropped)));
        within(leg.voice.drained()).await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}
