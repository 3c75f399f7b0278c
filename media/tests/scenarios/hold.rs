//! What a party hears whom the other has put on hold.

use std::time::Duration;

use milo_media::{Bridged, Direction, Frame, Music, Session, Side, bridge, tone::Tone};
use tokio::time::{Instant, sleep_until};

use crate::{
    bridge::agreed,
    peer::{Peer, session, tone_payload},
};

/// How many packets that come to `listener` within this time are sound, and how many are the tone of a peer, while that one
/// sends it when `sends`.
async fn hears(listener: &Peer, speaker: &mut Peer, sends: bool, ms: u64) -> (usize, usize) {
    let tones: Vec<_> = (0..ms / 20).map(|_| if sends { speaker.tone() } else { vec![] }).collect();
    let (came, ()) = tokio::join!(listener.collect(Duration::from_millis(ms)), speaker.send_clocked(tones));
    let sound = came.iter().filter(|packet| packet.voiced);
    (sound.clone().count(), sound.filter(|packet| packet.payload == tone_payload()).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_hears_music_unless_the_holder_sends_something() {
    // Where packets pass, and where they are cut anew.
    for ptime_ms in [20, 40] {
        let theirs = move |session| Session { ptime_ms, ..session };
        let least = 400 / ptime_ms as usize;
        let (mut a, mut b, [near, far]) = agreed(theirs, |second| second).await;
        let (holder, held) = (far.control.clone(), session(b.address()));
        let mut joined = bridge(near, far, None);
        joined.music(Music::new(|| Tone::new(600.0, 0.3).chain(std::iter::once(Frame::SILENCE))));
        let passes = ptime_ms == 20;
        let mut happened = Vec::new();
        let scene = async {
            let start = Instant::now();
            hears(&a, &mut b, true, 500).await;
            holder.change(Session { direction: Direction::Inactive, ..held.clone() });
            hears(&a, &mut b, false, 500).await;
            let (sound, _) = hears(&a, &mut b, false, 500).await;
            assert!(sound >= least, "music, {sound} packets of it");
            // Sendonly, and for now without a packet; then with.
            holder.change(Session { direction: Direction::RecvOnly, ..held.clone() });
            hears(&a, &mut b, false, 100).await;
            let (sound, _) = hears(&a, &mut b, false, 500).await;
            assert!(sound >= least, "it goes on, {sound} packets");
            // What keeps a NAT open is nothing to listen to.
            let kept: Vec<_> =
                (0..50).map(|at| if at % 10 == 0 { b.packet(0, &[0xff; 160]) } else { vec![] }).collect();
            let (came, ()) = tokio::join!(a.collect(Duration::from_secs(1)), b.send_clocked(kept));
            let sound = came.iter().filter(|packet| packet.voiced).count();
            assert!(sound >= 2 * least, "and is not interrupted, {sound} packets");
            hears(&a, &mut b, true, 300).await;
            let (sound, own) = hears(&a, &mut b, true, 500).await;
            assert!(sound >= least && (!passes || own == sound), "what the holder sends: {own} of {sound}");
            // It stops, and the music comes again.
            hears(&a, &mut b, false, 600).await;
            let (sound, own) = hears(&a, &mut b, false, 500).await;
            assert!(sound >= least && own == 0, "music again: {sound} packets");
            holder.change(held.clone());
            hears(&a, &mut b, false, 300).await;
            let (sound, _) = hears(&a, &mut b, false, 300).await;
            assert_eq!(sound, 0, "the hold is over, and nobody speaks");
            let (_, own) = hears(&b, &mut a, false, 100).await;
            assert_eq!(own, 0);
            sleep_until(start + Duration::from_secs(5)).await;
        };
        let carrying = async {
            loop {
                happened.push(joined.next().await);
            }
        };
        tokio::select! {
            () = scene => {}
            () = carrying => {}
        }
        assert_eq!(happened, [Bridged::Held(Side::B), Bridged::Resumed(Side::B)], "{ptime_ms} ms");
    }
}
