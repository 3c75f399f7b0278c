//! Two legs that talk to each other, in each codec.

use milo_media::{CODECS, Codec, Leg, LegOptions, PortPool, Session, tone::Tone};
use tokio::{runtime::Handle, task::JoinSet};

use crate::peer::{LOOPBACK, hear, hertz, level_db, within};

/// Plays a tone into one leg and gives a second of what the other hears of it.
async fn heard(codec: &'static Codec, ptime_ms: u32) -> Vec<i16> {
    let ports = PortPool::new(LOOPBACK, 0..=0);
    let sockets = [ports.bind().expect("a port"), ports.bind().expect("a port")];
    let addresses = [0, 1].map(|side: usize| sockets[side].local_addr().expect("an address"));
    let [one, other] = sockets;
    let agreed = |to| Session { ptime_ms, in_band_fec: true, ..Session::new(to, codec) };
    let speaker = Leg::start(one, Some(agreed(addresses[1])), LegOptions::default(), &Handle::current());
    let mut listener = Leg::start(other, Some(agreed(addresses[0])), LegOptions::default(), &Handle::current());
    let playing = tokio::spawn(async move {
        let mut voice = speaker.voice;
        for frame in Tone::new(1000.0, 8000.0 / 32_768.0) {
            voice.play(frame).await;
        }
    });
    // Half a second until the tone is there and the buffer has found its length.
    within(hear(&mut listener.ears, 25)).await;
    let samples = within(hear(&mut listener.ears, 50)).await;
    playing.abort();
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_arrives_with_its_level_and_frequency_in_every_codec() {
    let mut calls = JoinSet::new();
    for codec in CODECS {
        for ptime in [20, 60] {
            calls.spawn(async move { (codec.name, ptime, heard(codec, ptime).await) });
        }
    }
    for (codec, ptime, samples) in calls.join_all().await {
        assert!(level_db(&samples).abs() < 1.0, "{codec}, {ptime} ms: {} dB", level_db(&samples));
        assert!((hertz(&samples) - 1000.0).abs() < 15.0, "{codec}, {ptime} ms: {} Hz", hertz(&samples));
    }
}
