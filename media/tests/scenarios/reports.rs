//! What the two ends tell each other of the line, and strangers who send to it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use milo_media::{Extended, Frame, Leg, LegOptions, LegStats, OneWay, PortPool, Rtcp, Session, tone::Tone};
use tokio::{
    net::UdpSocket,
    runtime::Handle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::peer::{LOOPBACK, Peer, hear, hertz, level_db, loud, session, settled, within};

/// Where the RTCP of this RTP port is.
fn next(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port() + 1)
}

/// Two legs that talk until the round trip is known to both.
async fn talked(rtcp: impl Fn(SocketAddr) -> Rtcp) -> [LegStats; 2] {
    let pool = PortPool::new(LOOPBACK, 0..=0);
    let sockets = [pool.bind().expect("a port"), pool.bind().expect("a port")];
    let at = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
    let agreed = [at[1], at[0]].map(|remote| Session { rtcp: rtcp(remote), ..session(remote) });
    let legs: Vec<Leg> = sockets
        .into_iter()
        .zip(agreed)
        .map(|(socket, session)| Leg::start(socket, Some(session), LegOptions::default(), &Handle::current()))
        .collect();
    let mut controls = Vec::new();
    for Leg { mut ears, mut voice, control } in legs {
        controls.push(control);
        tokio::spawn(async move {
            for (index, frame) in Tone::new(440.0, 0.2).enumerate() {
                // Half a second of speech, half a second of none.
                voice.play(if index % 50 < 25 { frame } else { Frame::SILENCE }).await;
                let _ = timeout(Duration::ZERO, ears.next()).await;
            }
        });
    }
    for _ in 0..160 {
        sleep(Duration::from_millis(100)).await;
        let stats = [controls[0].stats(), controls[1].stats()];
        if stats.iter().all(|stats| stats.round_trip_us > 0 && stats.mos_hundredths > 0) {
            return stats;
        }
    }
    panic!("no round trip after 16 s: {:?}", controls[0].stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_that_asks_learns_what_it_sounds_like_here() {
    let options = LegOptions { jitter_ceiling_ms: 300, ..LegOptions::default() };
    let (mut peer, leg) = Peer::with_leg(options).await;
    let extended = Extended { voip_metrics: true, round_trip: false };
    leg.control.change(Session { rtcp: Rtcp::Mux, extended, ..session(peer.address()) });
    let mut packets: Vec<_> = (0..400).map(|_| peer.tone()).collect();
    packets.iter_mut().skip(5).step_by(10).for_each(Vec::clear);
    let socket = &peer.socket;
    let hearing = async {
        let mut bytes = [0; 2048];
        loop {
            let length = socket.recv(&mut bytes).await.expect("loopback");
            // The block of VoIP metrics (RFC 3611 section 4.7): type 7, eight words.
            let block = bytes[..length].windows(4).position(|header| header == [7, 0, 0, 8]);
            if let Some(at) = block.filter(|_| (200..=207).contains(&bytes[1])) {
                return bytes[at..at + 36].to_vec();
            }
        }
    };
    let block = tokio::select! {
        block = hearing => block,
        () = peer.send_clocked(packets.clone()) => panic!("no report with metrics within eight seconds"),
    };
    assert!((20..=30).contains(&block[8]), "a tenth is lost, in 256ths: {}", block[8]);
    let word = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    assert!((20..=100).contains(&word(30)) && word(32) == 300 && word(34) == 300, "{block:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_learn_the_round_trip_on_one_port_and_on_two() {
    let (one, two) = tokio::join!(talked(|_| Rtcp::Mux), talked(|remote| Rtcp::At(next(remote))));
    for stats in [one, two].concat() {
        assert!(stats.rtcp_sent >= 1 && stats.rtcp_received >= 1 && stats.rtcp_ignored == 0, "{stats:?}");
        let quality = stats.quality();
        // Loopback takes no time; what a busy machine takes counts as the way's.
        assert!(quality.round_trip_ms.is_some_and(|trip| trip < 500.0), "{quality:?}");
        assert!(quality.mos.is_some_and(|mos| mos > 3.5), "{quality:?}");
        assert!(quality.level_dbfs.is_some_and(|level| (-18.5..=-15.5).contains(&level)), "{quality:?}");
        assert_eq!((quality.codec, quality.one_way), (Some("PCMU"), None));
        assert!(quality.far_loss_percent.is_some_and(|loss| loss < 5.0), "{quality:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_port_is_given_up_when_one_carries_both() {
    for (rtcp, is_free) in [(Rtcp::Mux, true), (Rtcp::At(([127, 0, 0, 1], 4001).into()), false)] {
        let socket = PortPool::new(LOOPBACK, 0..=0).bind().expect("a port");
        let at = socket.local_addr().expect("bound");
        assert!(UdpSocket::bind(next(at)).await.is_err(), "bound with the first");
        let agreed = Session { rtcp, ..session(([127, 0, 0, 1], 4000).into()) };
        let leg = Leg::start(socket, Some(agreed), LegOptions::default(), &Handle::current());
        sleep(Duration::from_millis(100)).await;
        assert_eq!(UdpSocket::bind(next(at)).await.is_ok(), is_free, "{rtcp:?}");
        drop(leg);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_reports_are_counted_and_the_end_is_said() {
    let (mut peer, leg) = Peer::with_leg(LegOptions::default()).await;
    leg.control.change(Session { rtcp: Rtcp::Mux, ..session(peer.address()) });
    sleep(Duration::from_millis(60)).await;
    for _ in 0..5 {
        let packet = peer.tone();
        peer.send(&packet).await;
    }
    let stranger = UdpSocket::bind((LOOPBACK, 0)).await.expect("loopback");
    // An empty receiver report of the peer's own SSRC, of another SSRC, from elsewhere, and one cut short.
    let report = |ssrc: u8| [0x80, 201, 0, 1, 0, 0, 0, ssrc];
    peer.send(&report(1)).await;
    peer.send(&report(9)).await;
    peer.send(&report(1)[..7]).await;
    stranger.send_to(&report(1), peer.leg).await.expect("loopback");
    let stats = settled(&leg.control, |stats| stats.rtcp_received + stats.rtcp_ignored >= 4).await;
    assert_eq!((stats.rtcp_received, stats.rtcp_ignored, stats.ignored), (1, 3, 0), "{stats:?}");
    drop(leg);
    let said = peer.collect(Duration::from_millis(100)).await;
    let compounds: Vec<_> = said.iter().filter(|packet| packet.marker && packet.payload.len() > 16).collect();
    // The last packet of the last compound is the BYE: one word of head, one of SSRC.
    let last = compounds.last().expect("RTCP");
    assert_eq!(last.payload[last.payload.len() - 8..][..4], [0x81, 203, 0, 1]);
}

/// 500 packets a second of loud noise, in perfect order, until dropped; and what comes back to it.
async fn spray(from: IpAddr, to: SocketAddr, samples: u32) {
    let socket = UdpSocket::bind((from, 0)).await.expect("loopback");
    let start = Instant::now();
    let mut buffer = [0; 2048];
    for index in 0.. {
        let mut packet = vec![0x80, 0];
        packet.extend((index as u16).to_be_bytes());
        packet.extend((index * samples).to_be_bytes());
        packet.extend([0xba, 0xad, 0, 1]);
        packet.extend([0x80; 160]);
        socket.send_to(&packet, to).await.expect("loopback");
        assert!(socket.try_recv_from(&mut buffer).is_err(), "something of ours came to {from}");
        sleep_until(start + Duration::from_millis(2) * index).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sprays_the_port_hears_nothing_and_is_not_heard() {
    let (mut peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let at = peer.leg;
    let packets: Vec<_> = (0..150).map(|_| peer.tone()).collect();
    let playing = tokio::spawn(async move {
        for _ in 0..300 {
            leg.voice.play(loud()).await;
        }
    });
    // Before the caller says a word, and all along: from its own host, and from another.
    let spraying = tokio::spawn(async move {
        tokio::join!(spray(LOOPBACK, at, 160), spray([127, 0, 0, 2].into(), at, 160));
    });
    let silence = hear(&mut leg.ears, 50).await;
    assert!(silence.iter().all(|sample| sample.unsigned_abs() < 50), "the spray is heard");
    let sending = tokio::spawn(async move {
        peer.send_clocked(packets).await;
        peer
    });
    let heard = hear(&mut leg.ears, 140).await.split_off(20 * 320);
    let peer = within(sending).await.expect("sent");
    assert!((hertz(&heard) - 1000.0).abs() < 11.0, "{} Hz", hertz(&heard));
    assert!(level_db(&heard).abs() < 0.5, "{} dB", level_db(&heard));
    // The caller falls silent: still nobody takes its place.
    let after = hear(&mut leg.ears, 150).await.split_off(50 * 320);
    assert!(after.iter().all(|sample| sample.unsigned_abs() < 50), "the spray is heard after the caller");
    assert!(!spraying.is_finished(), "something of ours came to the spray");
    let stats = leg.control.stats();
    assert_eq!((stats.received, stats.lost), (150, 0), "{stats:?}");
    assert!(stats.ignored > 2_000, "{stats:?}");
    assert!(peer.collect(Duration::from_millis(100)).await.iter().any(|packet| packet.voiced), "the caller hears us");
    spraying.abort();
    playing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_on_which_nothing_comes_is_suspected() {
    let (mut peer, leg) = Peer::with_leg(LegOptions::default()).await;
    sleep(Duration::from_millis(6_500)).await;
    assert_eq!(leg.control.stats().quality().one_way, Some(OneWay::NoPackets));
    let packets = (0..60).map(|_| peer.tone()).collect();
    peer.send_clocked(packets).await;
    assert_eq!(leg.control.stats().quality().one_way, None);
}
