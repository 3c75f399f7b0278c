//! What crosses a bridge on which packets pass: every key once, however it was told, and nothing that the other party has no
//! use for or that is not the first party's.

use std::time::Duration;

use milo_media::{Bridged, Codec, LegOptions, Session, Side, bridge, dtmf::Detector};
use tokio::time::sleep;

use crate::{
    bridge::{Came, agreed, carried, sequence, through, timestamp},
    peer::{EVENT, Peer, session, tone_payload, within},
};

/// A second of silence, with these packets in its middle.
fn in_silence(peer: &mut Peer, middle: impl FnOnce(&mut Peer) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let silence = |peer: &mut Peer, count| {
        let packets = (0..count).map(|_| {
            peer.timestamp = peer.timestamp.wrapping_add(160);
            peer.packet(0, &[0xff; 160])
        });
        packets.collect::<Vec<_>>()
    };
    [silence(peer, 20), middle(peer), silence(peer, 30)].concat()
}

/// A key of 100 ms: five reports of it, the last three its end.
fn key(peer: &mut Peer, event: u8) -> Vec<Vec<u8>> {
    let report = |end: u8, duration: u16| [&[event, end << 7 | 10][..], &duration.to_be_bytes()].concat();
    let reports = [(0, 160), (0, 480), (1, 800), (1, 800), (1, 800)];
    let packets = reports.map(|(end, duration)| peer.packet(EVENT, &report(end, duration)));
    peer.timestamp = peer.timestamp.wrapping_add(800);
    packets.into()
}

/// The keys that sound in the packets that came.
fn sounding(came: &[Came]) -> String {
    let (mut detector, mut decoder) = (Detector::default(), (Codec::named("PCMU").expect("in the table").decoder)());
    let mut keys = String::new();
    for (_, packet) in came.iter().filter(|(_, packet)| packet[1] & 0x7f == 0) {
        let mut narrow = Vec::new();
        decoder.decode(&packet[12..], &mut narrow);
        let wide = milo_media::resample::resample(&narrow, 8_000, 16_000);
        milo_media::Frame::cut(&wide).for_each(|frame| keys.extend(detector.push(&frame)));
    }
    keys
}

/// The keys that were told as events: each event code at each timestamp once.
fn told(came: &[Came]) -> Vec<u8> {
    let mut keys: Vec<_> = came
        .iter()
        .filter(|(_, packet)| packet[1] & 0x7f == EVENT)
        .map(|(_, packet)| (timestamp(packet), packet[12]))
        .collect();
    keys.dedup();
    keys.into_iter().map(|(_, event)| event).collect()
}

/// Whether no number is missing between the first and the last that came.
fn is_unbroken(came: &[Came]) -> bool {
    let mut numbers: Vec<_> =
        came.iter().map(|(_, packet)| sequence(packet).wrapping_sub(sequence(&came[0].1))).collect();
    numbers.sort_unstable();
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_events_is_tones_for_a_party_without_them() {
    let (mut a, b, [near, far]) = agreed(|first| first, |second| Session { telephone_event: None, ..second }).await;
    let bridge = bridge(near, far, None);
    let packets = in_silence(&mut a, |peer| key(peer, 5));
    let (_carrying, mut events) = carried(bridge);
    sleep(Duration::from_millis(100)).await;
    let (_, came) = through(&a, &b, &packets).await;
    assert_eq!(within(events.recv()).await, Some(Bridged::Digit(Side::A, '5')));
    assert_eq!((sounding(&came).as_str(), told(&came)), ("5", vec![]));
    assert!(is_unbroken(&came), "what is not for this party is not missed by it");
}

/// 100 ms of the two tones of the key 5 (ITU-T Q.23).
fn tones(peer: &mut Peer) -> Vec<Vec<u8>> {
    let wave = |at: usize, hertz: f32| 6_000.0 * (std::f32::consts::TAU * hertz * at as f32 / 8_000.0).sin();
    let mut encoder = (Codec::named("PCMU").expect("in the table").encoder)();
    let packets = (0..5).map(|packet| {
        let samples: Vec<i16> =
            (160 * packet..160 * (packet + 1)).map(|at| (wave(at, 770.0) + wave(at, 1336.0)) as i16).collect();
        let mut payload = Vec::new();
        encoder.encode(&samples, &mut payload);
        peer.timestamp = peer.timestamp.wrapping_add(160);
        peer.packet(0, &payload)
    });
    packets.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_tones_is_heard_on_a_bridge_and_told_to_a_party_with_events() {
    for telephone_event in [Some(EVENT), None] {
        let party = move |second| Session { telephone_event, ..second };
        let (mut a, b, [near, far]) = agreed(|first| Session { telephone_event: None, ..first }, party).await;
        let bridge = bridge(near, far, None);
        let packets = in_silence(&mut a, tones);
        let (_carrying, mut events) = carried(bridge);
        sleep(Duration::from_millis(100)).await;
        let (_, came) = through(&a, &b, &packets).await;
        assert_eq!(within(events.recv()).await, Some(Bridged::Digit(Side::A, '5')), "{telephone_event:?}");
        assert_eq!(told(&came), if telephone_event.is_some() { vec![5] } else { vec![] });
        if telephone_event.is_none() {
            let untouched = |tone: &[u8]| came.iter().filter(|(_, packet)| packet[12..] == tone[12..]).count();
            assert!(packets[20..25].iter().all(|tone| untouched(tone) == 1), "its packets pass as they are");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_told_by_signaling_crosses_as_the_other_party_takes_it() {
    for telephone_event in [Some(EVENT), None] {
        let (mut a, b, [near, far]) = agreed(|first| first, |second| Session { telephone_event, ..second }).await;
        let signaling = near.control.clone();
        let (_carrying, _events) = carried(bridge(near, far, None));
        let packets = in_silence(&mut a, |_| vec![]);
        let tell = async {
            sleep(Duration::from_millis(300)).await;
            signaling.hear_key('7', Duration::from_millis(100));
        };
        let ((_, came), ()) = tokio::join!(through(&a, &b, &packets), tell);
        let expected = if telephone_event.is_some() { ("", vec![7]) } else { ("7", vec![]) };
        assert_eq!((sounding(&came).as_str(), told(&came)), (expected.0, expected.1));
        assert!(is_unbroken(&came));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_told_both_ways_crosses_once_whichever_is_first() {
    for signaling_first in [true, false] {
        let (mut a, b, [near, far]) = agreed(|first| first, |second| second).await;
        let signaling = near.control.clone();
        let (_carrying, _events) = carried(bridge(near, far, None));
        let packets = in_silence(&mut a, |peer| key(peer, 5));
        let tell = async {
            sleep(Duration::from_millis(if signaling_first { 300 } else { 600 })).await;
            signaling.hear_key('5', Duration::from_millis(100));
        };
        let ((_, came), ()) = tokio::join!(through(&a, &b, &packets), tell);
        assert_eq!(told(&came), [5], "signaling first: {signaling_first}");
        assert!(is_unbroken(&came));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lasts_as_long_on_the_clock_of_the_other_party() {
    let opus = Codec::named("opus").expect("in the table");
    let agreed_on =
        |clock| move |session| Session { codec: opus, payload_type: 111, telephone_event_clock: clock, ..session };
    for (ours, theirs, lasts) in [(48_000, 8_000, [26, 80, 133]), (8_000, 48_000, [960, 2_880, 4_800])] {
        let (mut a, b, [near, far]) = agreed(agreed_on(ours), agreed_on(theirs)).await;
        let (_carrying, _events) = carried(bridge(near, far, None));
        sleep(Duration::from_millis(100)).await;
        let packets = key(&mut a, 3);
        let (_, came) = through(&a, &b, &packets).await;
        let events = came.iter().filter(|(_, packet)| packet[1] & 0x7f == EVENT);
        let durations: Vec<_> = events.map(|(_, packet)| u16::from_be_bytes([packet[14], packet[15]])).collect();
        assert_eq!(durations[..3], lasts, "160, 480 and 800 at {ours} Hz");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comfort_noise_doubles_and_strangers_do_not_reach_a_party_that_has_no_use_for_them() {
    let (mut a, b, [near, far]) = agreed(|first| Session { comfort_noise: Some(13), ..first }, |second| second).await;
    let control = far.control.clone();
    let (_carrying, _events) = carried(bridge(near, far, None));
    sleep(Duration::from_millis(100)).await;
    let mut packets: Vec<_> = (0..20).map(|_| a.tone()).collect();
    packets.push(a.packet(13, &[60]));
    packets.extend((0..10).map(|_| a.tone()));
    let doubled = packets[25].clone();
    packets.insert(26, doubled);
    // One packet of another stream that no second one confirms.
    let own = std::mem::replace(&mut a.ssrc, 99);
    packets.insert(15, a.packet(0, &[0x80; 160]));
    (a.ssrc, a.sequence) = (own, a.sequence.wrapping_sub(1));
    let (_, came) = through(&a, &b, &packets).await;
    let passed: Vec<Came> =
        came.into_iter().filter(|(_, packet)| packet[12..].iter().any(|byte| *byte != 0xff)).collect();
    assert!((28..=30).contains(&passed.len()), "{} of 30", passed.len());
    assert!(passed.iter().all(|(_, packet)| packet[12..] == tone_payload()[..]), "nothing else passes");
    assert!(is_unbroken(&passed), "and nothing is missed");
    assert_eq!(control.stats().send_errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_whose_packets_only_pass_has_a_score_of_what_is_lost() {
    let (mut a, b, [near, far]) = agreed(|first| first, |second| second).await;
    let control = near.control.clone();
    let (_carrying, _events) = carried(bridge(near, far, None));
    sleep(Duration::from_millis(100)).await;
    let mut packets: Vec<_> = (0..150).map(|_| a.tone()).collect();
    packets.iter_mut().skip(5).step_by(10).for_each(Vec::clear);
    through(&a, &b, &packets).await;
    // The score is looked at once a second.
    sleep(Duration::from_millis(1_100)).await;
    let quality = control.stats().quality();
    assert!((9.0..11.0).contains(&quality.loss_percent), "{quality:?}");
    assert!(quality.mos.is_some_and(|mos| (2.8..3.9).contains(&mos)), "a tenth is missing: {quality:?}");
    assert_eq!((quality.concealed_percent, quality.level_dbfs, quality.one_way), (0.0, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_direction_has_its_own_payload_types() {
    use milo_media::PayloadTypes;

    let (mut a, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let incoming = Some(PayloadTypes { audio: 0, telephone_event: Some(EVENT), comfort_noise: None });
    // What we send as 96 and 97 comes as 0 and 101.
    let agreed = Session { payload_type: 96, telephone_event: Some(97), incoming, ..session(a.address()) };
    leg.control.change(agreed);
    let packets: Vec<_> = [(0..20).map(|_| a.tone()).collect(), key(&mut a, 9)].concat();
    let sending = async {
        a.send_clocked(packets).await;
        leg.voice.press('4', Duration::from_millis(100), milo_media::dtmf::PressBy::Agreement).await.expect("a key");
    };
    let mut bytes = [0; 2048];
    let mut numbers = Vec::new();
    let hearing = async {
        while numbers.len() < 60 {
            a.socket.recv(&mut bytes).await.expect("loopback");
            numbers.push(bytes[1] & 0x7f);
        }
    };
    within(async { tokio::join!(sending, hearing) }).await;
    assert!(numbers[5..].iter().all(|number| [96, 97].contains(number)), "{numbers:?}");
    assert!(numbers.contains(&97), "our key is under the peer's number");
    assert!(matches!(crate::peer::event(&mut leg.ears).await, milo_media::Heard::Digit('9')));
    assert_eq!((leg.control.stats().received, leg.control.stats().ignored), (25, 0));
}
