//! Two parties on a bridge: what passes, what is transcoded, how long it takes, and what happens when one holds or leaves.

use std::time::Duration;

use milo_media::{Bridge, Bridged, Closed, Codec, Direction, Heard, Leg, LegOptions, Session, Side, bridge};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::peer::{EVENT, Peer, loud, session, tone_payload, within};

/// A packet at a peer, and when it came.
pub(crate) type Came = (Instant, Vec<u8>);

/// Two peers whose legs are joined; the second has agreed on this session.
async fn joined(change: impl FnOnce(Session) -> Session) -> (Peer, Peer, Bridge) {
    let (a, b, [near, far]) = agreed(|first| first, change).await;
    (a, b, bridge(near, far, None))
}

/// Two peers who have agreed on these sessions, and their legs.
pub(crate) async fn agreed(
    first: impl FnOnce(Session) -> Session,
    second: impl FnOnce(Session) -> Session,
) -> (Peer, Peer, [Leg; 2]) {
    let (a, near) = Peer::with_leg(LegOptions::default()).await;
    let (b, far) = Peer::with_leg(LegOptions::default()).await;
    near.control.change(first(session(a.address())));
    far.control.change(second(session(b.address())));
    (a, b, [near, far])
}

/// Carries the bridge for as long as the test runs; gives its events.
pub(crate) fn carried(mut bridge: Bridge) -> (JoinHandle<()>, mpsc::Receiver<Bridged>) {
    let (events, happened) = mpsc::channel(100);
    let carrying = tokio::spawn(async move {
        loop {
            let event = bridge.next().await;
            let over = matches!(event, Bridged::Closed(..));
            if events.send(event).await.is_err() || over {
                // The bridge lives on until the test is over.
                sleep(Duration::from_secs(5)).await;
                return;
            }
        }
    });
    (carrying, happened)
}

/// Sends one of these packets each 20 ms from one peer, and says when each left and what came to the other meanwhile.
pub(crate) async fn through(from: &Peer, to: &Peer, packets: &[Vec<u8>]) -> (Vec<Instant>, Vec<Came>) {
    let start = Instant::now();
    let sending = async {
        let mut left = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            sleep_until(start + Duration::from_millis(20) * index as u32).await;
            left.push(Instant::now());
            if !packet.is_empty() {
                from.send(packet).await;
            }
        }
        left
    };
    let mut came = Vec::new();
    let hearing = async {
        let mut bytes = [0; 2048];
        loop {
            let length = to.socket.recv(&mut bytes).await.expect("loopback");
            came.push((Instant::now(), bytes[..length].to_vec()));
        }
    };
    let left = tokio::select! {
        left = async { let left = sending.await; sleep(Duration::from_millis(100)).await; left } => left,
        () = hearing => unreachable!("it hears for ever"),
    };
    (left, came)
}

pub(crate) fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

pub(crate) fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_agree_packets_pass_as_they_are() {
    let (mut a, mut b, bridge) = joined(|agreed| agreed).await;
    let (_carrying, _events) = carried(bridge);
    sleep(Duration::from_millis(100)).await;
    for (from, to) in [(0, 1), (1, 0)] {
        let [from, to] = if (from, to) == (0, 1) { [&mut a, &mut b] } else { [&mut b, &mut a] };
        // Each payload says which one it is; one packet is lost on the way to the bridge, and a key is pressed at the end.
        let mut packets: Vec<_> = (0..50u8)
            .map(|number| {
                let packet = from.packet(0, &[&[number][..], &tone_payload()[1..]].concat());
                from.timestamp = from.timestamp.wrapping_add(160);
                packet
            })
            .collect();
        packets.extend((0..5).map(|repeat| from.packet(EVENT, &[5, if repeat > 2 { 0x80 } else { 0 }, 3, repeat])));
        packets[20].clear();
        let (left, came) = through(from, to, &packets).await;
        let passed: Vec<_> = came.iter().filter(|(_, packet)| packet[12..].iter().any(|byte| *byte != 0xff)).collect();
        let first = passed.first().expect("they pass");
        let audio: Vec<_> = passed.iter().filter(|(_, packet)| packet[1] & 0x7f == 0).collect();
        assert!(audio.len() >= 47, "{} of 49 passed", audio.len());
        let keys: Vec<_> = passed.iter().filter(|(_, packet)| packet[1] & 0x7f == EVENT).collect();
        assert_eq!(keys.len(), 5, "the key passes with all its repeats");
        assert_eq!(&first.1[8..12], &passed[40].1[8..12], "under one SSRC");
        let mut delays = Vec::new();
        for (at, packet) in &audio {
            let number = packet[12];
            assert_eq!(packet[13..], tone_payload()[1..], "the payload is untouched");
            let behind = u16::from(number - first.1[12]);
            assert_eq!(sequence(packet).wrapping_sub(sequence(&first.1)), behind, "the hole stays a hole");
            assert_eq!(timestamp(packet).wrapping_sub(timestamp(&first.1)), u32::from(behind) * 160);
            delays.push((*at - left[usize::from(number)]).as_secs_f64() * 1e3);
        }
        let delay = median(delays);
        println!("packet in to packet out, passing: {delay:.1} ms");
        assert!(delay < 25.0, "{delay:.1} ms");
    }
}

/// The median time from packet in to packet out on a bridge from PCMU to this codec, over eight tones that begin.
async fn transcoding_ms(codec: &'static Codec) -> f64 {
    let number = if codec.payload_type < 96 { codec.payload_type } else { 96 };
    let (mut a, b, bridge) = joined(|agreed| Session { codec, payload_type: number, ..agreed }).await;
    let (_carrying, _events) = carried(bridge);
    // Silence, then 100 ms of tone, eight times.
    let mut packets = Vec::new();
    for number in 0..160 {
        packets.push(if number % 20 < 15 { a.packet(0, &[0xff; 160]) } else { a.packet(0, &tone_payload()) });
        a.timestamp = a.timestamp.wrapping_add(160);
    }
    let (left, came) = through(&a, &b, &packets).await;
    let mut decoder = (codec.decoder)();
    let mut loud = came.iter().filter(|(_, packet)| packet[1] & 0x7f == number).map(|(at, packet)| {
        let mut samples = Vec::new();
        decoder.decode(&packet[12..], &mut samples);
        (*at, samples.iter().any(|sample| sample.abs() > 2000))
    });
    let mut delays = Vec::new();
    for burst in 0..8 {
        let spoken = left[burst * 20 + 15];
        let heard = loud.by_ref().find(|(at, loud)| *loud && *at > spoken).map(|(at, _)| at);
        delays.push((heard.expect("it is heard") - spoken).as_secs_f64() * 1e3);
        loud.by_ref().find(|(_, loud)| !loud);
    }
    println!("packet in to packet out, PCMU to {}, target 20 ms: {delays:.1?}", codec.name);
    median(delays)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_they_do_not_agree_it_is_transcoded_within_the_jitter_target_and_25_ms() {
    for name in ["PCMA", "G722", "opus"] {
        let delay = transcoding_ms(Codec::named(name).expect("in the table")).await;
        assert!(delay < 20.0 + 25.0, "to {name}: {delay:.1} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_on_hold_is_sent_nothing_and_the_other_silence() {
    let (mut a, b, bridge) = joined(|agreed| agreed).await;
    let (near, far) = bridge.part();
    let control = far.control.clone();
    let (_carrying, mut events) = carried(milo_media::bridge(near, far, None));
    let agreed = session(b.address());
    let mut tones = |count| (0..count).map(|_| a.tone()).collect::<Vec<_>>();
    let (before, held, after) = (tones(20), tones(20), tones(20));
    let passed = |came: &[Came]| came.iter().filter(|(_, packet)| packet[12..] == tone_payload()[..]).count();
    assert!(passed(&through(&a, &b, &before).await.1) >= 15);
    control.change(Session { direction: Direction::Inactive, ..agreed.clone() });
    assert_eq!(within(events.recv()).await, Some(Bridged::Held(Side::B)));
    b.collect(Duration::from_millis(20)).await;
    assert_eq!(through(&a, &b, &held).await.1.len(), 0, "nothing at all");
    assert!(a.collect(Duration::from_millis(100)).await.len() >= 4, "the one who waits is sent silence");
    control.change(agreed);
    assert_eq!(within(events.recv()).await, Some(Bridged::Resumed(Side::B)));
    assert!(passed(&through(&a, &b, &after).await.1) >= 15, "and then it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tap_hears_both_and_the_end_of_one_leaves_the_other_up() {
    let (mut a, near) = Peer::with_leg(LegOptions::default()).await;
    let (mut b, far) = Peer::with_leg(LegOptions::default()).await;
    let control = near.control.clone();
    let (tap, mut tapped) = mpsc::channel(1000);
    let mut joined = bridge(near, far, Some(tap));
    let tones = |peer: &mut Peer| (0..40).map(|_| peer.tone()).collect::<Vec<_>>();
    let (ours, theirs) = (tones(&mut a), tones(&mut b));
    let talk = async { tokio::join!(a.send_clocked(ours), b.send_clocked(theirs)) };
    tokio::select! {
        ended = joined.next() => panic!("nobody has hung up yet: {ended:?}"),
        _ = talk => {}
    }
    // Asked before one leg ends: its task then takes the join back, in its own time.
    assert!(joined.passes(Side::B), "packets passed all the while");
    control.end();
    assert_eq!(within(joined.next()).await, Bridged::Closed(Side::A, Closed::HungUp));
    let mut heard = [0; 2];
    while let Ok((side, frame)) = tapped.try_recv() {
        heard[usize::from(side == Side::B)] += usize::from(frame.frame.rms() > 1000.0);
    }
    assert!(heard.iter().all(|heard| *heard >= 30), "{heard:?}");
    let (_, Leg { mut voice, ears: _ears, control: _control }) = joined.part();
    b.collect(Duration::from_millis(100)).await;
    voice.play(loud()).await;
    within(voice.drained()).await;
    let packets = b.collect(Duration::from_millis(400)).await;
    assert!(packets.iter().any(|packet| packet.voiced), "whoever is left is spoken to again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_packets_do_not_pass_a_key_is_pressed_anew() {
    let pcma = Codec::named("PCMA").expect("in the table");
    let (mut a, b, bridge) = joined(|agreed| Session { codec: pcma, payload_type: 8, ..agreed }).await;
    let (_carrying, mut events) = carried(bridge);
    let mut silence = |count| {
        let packets = (0..count).map(|_| {
            a.timestamp = a.timestamp.wrapping_add(160);
            a.packet(0, &[0xff; 160])
        });
        packets.collect::<Vec<_>>()
    };
    let (before, behind) = (silence(20), silence(30));
    let key = a.packet(EVENT, &[11, 0x8a, 3, 0x20]);
    let (_, came) = through(&a, &b, &[before, vec![key], behind].concat()).await;
    assert_eq!(within(events.recv()).await, Some(Bridged::Digit(Side::A, '#')));
    let keys: Vec<_> = came.iter().filter(|(_, packet)| packet[1] & 0x7f == EVENT).collect();
    assert!(keys.iter().all(|(_, packet)| packet[12] == 11 && timestamp(packet) == timestamp(&keys[0].1)));
    let ends = keys.iter().filter(|(_, packet)| packet[13] & 0x80 != 0).count();
    assert_eq!((keys.len(), ends), (8, 3), "120 ms, and the end three times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_between_the_two_hears_each_and_speaks_to_each_until_they_are_alone() {
    let (mut a, b, mut bridge) = joined(|agreed| agreed).await;
    let [mut first, mut second] = bridge.between(None);
    let mut tones = |count| (0..count).map(|_| a.tone()).collect::<Vec<_>>();
    let (alone, told, after) = (tones(50), tones(50), tones(100));
    let (back, mut parted) = mpsc::channel(1);
    let carrying = tokio::spawn(async move {
        loop {
            tokio::select! {
                event = bridge.next() => panic!("nothing happens: {event:?}"),
                Some(()) = parted.recv() => bridge.alone(),
            }
        }
    });
    sleep(Duration::from_millis(100)).await;
    let loud_at = |came: &[Came]| {
        let sounds = |packet: &[u8]| packet[12..].iter().filter(|byte| (**byte & 0x7f) < 0x70).count() > 80;
        came.iter().filter(|(_, packet)| sounds(packet)).count()
    };
    assert_eq!(loud_at(&through(&a, &b, &alone).await.1), 0, "the second hears nothing of the first");
    let mut heard = 0;
    while let Ok(Heard::Frame(frame)) = timeout(Duration::from_millis(100), first.ears.next()).await {
        heard += usize::from(frame.frame.rms() > 1000.0);
        if heard == 20 {
            break;
        }
    }
    assert_eq!(heard, 20, "who stands between them does");
    let speaking = tokio::spawn(async move {
        for _ in 0..30 {
            second.voice.play(loud()).await;
        }
        second
    });
    assert!(loud_at(&through(&a, &b, &told).await.1) >= 20, "and is heard");
    let _second = within(speaking).await.expect("it was said");
    back.send(()).await.expect("it is carried");
    assert!(loud_at(&through(&a, &b, &after).await.1) >= 50, "alone, they hear each other");
    while !matches!(within(first.ears.next()).await, Heard::Closed(Closed::Dropped)) {}
    carrying.abort();
}
