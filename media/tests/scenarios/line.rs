//! What is heard through a line that is good, and through one that is not.

use std::time::Duration;

use milo_media::{BadLine, Heard, Leg, LegOptions, PortPool, tone::Tone};
use tokio::{net::UdpSocket, runtime::Handle, time::sleep};

use crate::peer::{EVENT, LOOPBACK, Peer, event, hear, hertz, level_db, loud, session, settled, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sine_comes_back_through_two_legs_with_its_level_and_frequency() {
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let (near, far) = (pool.bind().expect("a port"), pool.bind().expect("a port"));
    let (near_at, far_at) = (near.local_addr().expect("bound"), far.local_addr().expect("bound"));
    let mut echo = Leg::start(far, Some(session(near_at)), LegOptions::default(), &Handle::current());
    let echo = tokio::spawn(async move {
        while let Heard::Frame(heard) = echo.ears.next().await {
            echo.voice.play(heard.frame).await;
        }
    });
    let Leg { mut ears, mut voice, control } =
        Leg::start(near, Some(session(far_at)), LegOptions::default(), &Handle::current());
    let speaking = tokio::spawn(async move {
        for frame in Tone::new(1000.0, 8000.0 / 32_767.0).take(100) {
            voice.play(frame).await;
        }
        voice
    });
    let heard = hear(&mut ears, 90).await.split_off(30 * 320);
    assert!(level_db(&heard).abs() < 0.5, "{} dB", level_db(&heard));
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
    assert_eq!(control.stats().lost, 0);
    drop(within(speaking).await);
    echo.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_packet_in_twenty_is_concealed() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let mut packets: Vec<_> = (0..100).map(|_| peer.tone()).collect();
    packets.iter_mut().skip(10).step_by(20).for_each(Vec::clear);
    let sending = tokio::spawn(async move { peer.send_clocked(packets).await });
    let heard = hear(&mut leg.ears, 95).await.split_off(10 * 320);
    within(sending).await.expect("sent");
    sleep(Duration::from_millis(60)).await;
    let stats = leg.control.stats();
    assert_eq!((stats.received, stats.lost), (95, 5));
    assert!(stats.concealed >= 5, "{stats:?}");
    assert!(level_db(&heard).abs() < 0.5, "{} dB", level_db(&heard));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reordered_and_doubled_packets_are_heard_in_order_and_once() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let mut packets: Vec<_> = (0..75).map(|_| peer.tone()).collect();
    (10..70).step_by(6).for_each(|at| packets.swap(at, at + 1));
    packets[40] = packets[38].clone();
    let sending = tokio::spawn(async move { peer.send_clocked(packets).await });
    let heard = hear(&mut leg.ears, 72).await.split_off(40 * 320);
    within(sending).await.expect("sent");
    let stats = leg.control.stats();
    assert_eq!(stats.duplicate, 1, "{stats:?}");
    // Ten pairs were exchanged: taken as they came, each would have one that is late. A machine that halts makes a few.
    assert!(stats.late < 10, "{stats:?}");
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ssrc_is_heard_without_a_new_agreement() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let mut packets: Vec<_> = (0..20).map(|_| peer.tone()).collect();
    (peer.ssrc, peer.sequence, peer.timestamp) = (77, 3, 12);
    packets.extend((0..40).map(|_| peer.tone()));
    let sending = tokio::spawn(async move { peer.send_clocked(packets).await });
    let heard = hear(&mut leg.ears, 55).await.split_off(28 * 320);
    within(sending).await.expect("sent");
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
    sleep(Duration::from_millis(60)).await;
    assert_eq!(leg.control.stats().received, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_garbage_is_counted_and_not_heard() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let at = peer.leg;
    let packets: Vec<_> = (0..200).map(|_| peer.tone()).collect();
    let stranger = UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback");
    let loud_noise = peer.packet(0, &[0x80; 160]);
    let other_type = peer.packet(96, &[0x80; 160]);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let dtls = [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1][..], &[0; 59]].concat();
    let sending = tokio::spawn(async move {
        peer.send(&packets[0]).await;
        let flood = async {
            for index in 0..500usize {
                // Noise from elsewhere, RTP from elsewhere, and noise, RTCP, STUN, DTLS and an unknown codec from the peer itself.
                match index % 7 {
                    0 => drop(stranger.send_to(&[index as u8; 99], at).await),
                    1 => drop(stranger.send_to(&loud_noise, at).await),
                    2 => peer.send(&[0x80, 0]).await,
                    3 => peer.send(&[0x81, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0]).await,
                    4 => peer.send(&stun).await,
                    5 => peer.send(&dtls).await,
                    _ => peer.send(&other_type).await,
                }
                sleep(Duration::from_millis(if index % 2 == 0 { 1 } else { 2 })).await;
            }
        };
        tokio::select! {
            () = peer.send_clocked(packets[1..].to_vec()) => panic!("the flood took four seconds"),
            () = flood => {}
        }
    });
    let heard = hear(&mut leg.ears, 50).await.split_off(10 * 320);
    within(sending).await.expect("sent");
    let stats = settled(&leg.control, |stats| stats.ignored >= 500).await;
    assert_eq!((stats.ignored, stats.lost), (500, 0));
    assert!(stats.received >= 40, "{stats:?}");
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
    assert!(level_db(&heard).abs() < 0.5, "{} dB", level_db(&heard));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_heard_once_each() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    for event in [1u8, 1, 11] {
        for (end, duration) in [(0, 1), (0, 2), (0x80, 3), (0x80, 3), (0x80, 3)] {
            let packet = peer.packet(EVENT, &[event, end, duration, 0]);
            peer.send(&packet).await;
        }
        peer.timestamp = peer.timestamp.wrapping_add(1600);
    }
    for expected in ['1', '1', '#'] {
        assert!(matches!(event(&mut leg.ears).await, Heard::Digit(digit) if digit == expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_go_to_where_they_come_from() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let advertised = peer.address();
    let packets: Vec<_> = (0..10).map(|_| peer.tone()).collect();
    // Behind a NAT: what the SDP says is not where the packets come from.
    let real = Peer { socket: UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback"), ..peer };
    assert_ne!(real.address(), advertised);
    real.send(&packets[0]).await;
    leg.voice.play(loud()).await;
    leg.voice.drained().await;
    assert!(real.collect(Duration::from_millis(50)).await.is_empty(), "one packet is nobody's");
    real.send_clocked(packets).await;
    leg.voice.play(loud()).await;
    leg.voice.drained().await;
    assert!(real.collect(Duration::from_millis(100)).await.iter().any(|packet| packet.voiced));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_frame_says_when_its_packet_arrived() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let packets: Vec<_> = (0..50).map(|_| peer.tone()).collect();
    let sending = tokio::spawn(async move { peer.send_clocked(packets).await });
    let mut arrivals = Vec::new();
    while arrivals.len() < 40 {
        if let Heard::Frame(heard) = within(leg.ears.next()).await
            && heard.frame.rms() > 1000.0
        {
            assert!(heard.arrived.elapsed() < Duration::from_secs(1));
            arrivals.push(heard.arrived);
        }
    }
    within(sending).await.expect("sent");
    assert!(arrivals.is_sorted());
    let long = (arrivals[39] - arrivals[0]).as_millis();
    assert!((600..1100).contains(&long), "40 packets of 20 ms came within {long} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_that_is_told_to_speaks_over_a_bad_line() {
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let (near, far) = (pool.bind().expect("a port"), pool.bind().expect("a port"));
    let (near_at, far_at) = (near.local_addr().expect("bound"), far.local_addr().expect("bound"));
    let mut far = Leg::start(far, Some(session(near_at)), LegOptions::default(), &Handle::current());
    let mut near = Leg::start(near, Some(session(far_at)), LegOptions::default(), &Handle::current());
    near.control.impair(BadLine::new(0.2, 2.0, 30.0, 3));
    let speaking = tokio::spawn(async move {
        for frame in Tone::new(1000.0, 8000.0 / 32_767.0).take(300) {
            near.voice.play(frame).await;
        }
        near
    });
    hear(&mut far.ears, 290).await;
    let near = within(speaking).await.expect("said");
    let (sent, heard) = (near.control.stats(), far.control.stats());
    let share = heard.lost as f64 / (heard.received + heard.lost) as f64;
    assert!((0.08..0.35).contains(&share), "{share}: {heard:?}");
    assert_eq!(sent.send_errors, 0, "what is lost on the way has left: {sent:?}");
    assert!(heard.jitter_most_ms >= 3, "{heard:?}");
}
