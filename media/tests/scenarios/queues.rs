//! Q1 and Q4: what waits, what is dropped, and what was played.

use std::time::Duration;

use milo_media::{Frame, Heard, LegOptions, Session};
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{Peer, loud, session, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voice_waits_while_200_ms_are_queued() {
    let (peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    let start = Instant::now();
    for _ in 0..40 {
        within(leg.voice.play(loud())).await;
        assert!(leg.voice.queued_ms() <= 200);
    }
    let queued = start.elapsed();
    within(leg.voice.drained()).await;
    assert!((560..2000).contains(&queued.as_millis()), "600 of 800 ms had to leave: {queued:?}");
    let packets = peer.collect(Duration::from_millis(60)).await;
    // The resampler's tail of 2 ms reaches into the packet after the last frame.
    assert_eq!(packets.iter().filter(|packet| packet.voiced).count(), 41);
    assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 1);
    assert!(packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    assert!(packets.windows(2).all(|pair| pair[1].timestamp == pair[0].timestamp.wrapping_add(160)));
    let played = leg.voice.played();
    assert_eq!(played.samples, 40 * 320);
    let spoke = played.last_sent.zip(played.first_sent_since_idle).map(|(last, first)| last - first);
    assert!(spoke.is_some_and(|spoke| (770..2000).contains(&spoke.as_millis())), "{spoke:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn barge_in_says_exactly_how_much_was_played() {
    let (peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    for _ in 0..15 {
        within(leg.voice.play(loud())).await;
    }
    let flushed = leg.voice.flush();
    sleep(Duration::from_millis(100)).await;
    let packets = peer.collect(Duration::from_millis(10)).await;
    let voiced = packets.iter().filter(|packet| packet.voiced).count() as u64;
    assert!((4..=14).contains(&(flushed.samples / 320)), "{flushed:?}");
    assert_eq!(voiced, flushed.samples / 320 + 1, "and 2 ms of the resampler's tail");
    assert_eq!(leg.voice.played(), flushed, "nothing left after the flush");
    // What is said next is a burst of its own, however soon.
    within(leg.voice.play(loud())).await;
    within(leg.voice.drained()).await;
    let next = leg.voice.played();
    assert_eq!(next.samples, flushed.samples + 320);
    assert!(next.first_sent_since_idle > flushed.last_sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_voice_keeps_its_place() {
    let (peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    leg.voice.pause();
    for _ in 0..10 {
        within(leg.voice.play(loud())).await;
    }
    assert!(timeout(Duration::from_millis(100), leg.voice.play(loud())).await.is_err(), "full, and paused");
    assert!(peer.collect(Duration::from_millis(50)).await.iter().all(|packet| !packet.voiced), "silence is sent");
    leg.voice.resume();
    within(leg.voice.drained()).await;
    assert_eq!(leg.voice.played().samples, 10 * 320, "the eleventh was not queued half");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ears_that_nobody_asks_keep_the_last_second() {
    let (_peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    sleep(Duration::from_millis(1300)).await;
    let dropped = leg.control.stats().dropped;
    assert!(dropped >= 10, "{dropped}");
    let mut oldest = None;
    for _ in 0..50 {
        if let Ok(Heard::Frame(heard)) = timeout(Duration::from_millis(1), leg.ears.next()).await {
            oldest = oldest.or(Some(heard.arrived.elapsed()));
        }
    }
    assert!(oldest.is_some_and(|oldest| (940..1400).contains(&oldest.as_millis())), "{oldest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_are_as_long_as_agreed() {
    let (peer, leg) = Peer::with_leg(LegOptions::default()).await;
    for ptime_ms in [60, 10, 30] {
        leg.control.change(Session { ptime_ms, ..session(peer.address()) });
        sleep(Duration::from_millis(150)).await;
        peer.collect(Duration::from_millis(1)).await;
        let packets = peer.collect(Duration::from_millis(300)).await;
        assert!(packets.iter().all(|packet| packet.payload.len() == ptime_ms as usize * 8), "{ptime_ms}");
        assert!(packets.windows(2).all(|pair| pair[1].timestamp - pair[0].timestamp == ptime_ms * 8), "{ptime_ms}");
        assert!(packets.len() >= 150 / ptime_ms as usize, "{ptime_ms}: {} packets", packets.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_comes_with_what_was_sent_before_it() {
    let (peer, mut leg) = Peer::with_leg(LegOptions::default()).await;
    for ptime_ms in [20, 60] {
        leg.control.change(Session { ptime_ms, ..session(peer.address()) });
        for number in 1..=9 {
            within(leg.voice.play(Frame::new([100 * number; 320]))).await;
        }
        let mut sent = Vec::new();
        while sent.len() < 9 {
            if let Heard::Frame(heard) = within(leg.ears.next()).await {
                sent.extend(heard.sent.map(|frame| frame.samples()[0] / 100));
            }
        }
        assert_eq!(sent, [1, 2, 3, 4, 5, 6, 7, 8, 9], "packets of {ptime_ms} ms");
    }
}
