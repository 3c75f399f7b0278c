//! Two legs that talk to each other, in each codec.

use milo_media::{CODECS, Codec, Leg, LegOptions, PortPool, Session, Tuning, codec::OPUS, tone::Tone};
use tokio::{runtime::Handle, task::JoinSet};

use crate::peer::{LOOPBACK, hear, hertz, level_db, within};

/// Two legs that send to each other.
fn pair(codec: &'static Codec, ptime_ms: u32, options: &LegOptions) -> [Leg; 2] {
    let ports = PortPool::new(LOOPBACK, 0..=0);
    let sockets = [ports.bind().expect("a port"), ports.bind().expect("a port")];
    let addresses = [1, 0].map(|side: usize| sockets[side].local_addr().expect("an address"));
    let mut to = addresses.into_iter();
    sockets.map(|socket| {
        let session = to.next().map(|to| Session { ptime_ms, in_band_fec: true, ..Session::new(to, codec) });
        Leg::start(socket, session, options.clone(), &Handle::current())
    })
}

/// Plays a tone into one leg and gives a second of what the other hears of it.
async fn heard(codec: &'static Codec, ptime_ms: u32) -> Vec<i16> {
    let [speaker, mut listener] = pair(codec, ptime_ms, &LegOptions::default());
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
    for (codec, ptime) in CODECS.iter().map(|codec| (*codec, 20)).chain([(&OPUS, 60)]) {
        calls.spawn(async move { (codec.name, ptime, heard(codec, ptime).await) });
    }
    for (codec, ptime, samples) in calls.join_all().await {
        assert!(level_db(&samples).abs() < 1.0, "{codec}, {ptime} ms: {} dB", level_db(&samples));
        assert!((hertz(&samples) - 1000.0).abs() < 15.0, "{codec}, {ptime} ms: {} Hz", hertz(&samples));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_dtx_silence_is_not_sent_and_nothing_is_missed() {
    let tuning = Tuning { dtx: true, ..Tuning::default() };
    let [mut speaker, mut listener] = pair(&OPUS, 20, &LegOptions { tuning, ..LegOptions::default() });
    // Two seconds of silence: after a moment, a packet now and then.
    within(hear(&mut listener.ears, 100)).await;
    let sent = speaker.control.stats().sent;
    assert!((5..60).contains(&sent), "{sent} packets of a hundred");
    let playing = tokio::spawn(async move {
        for frame in Tone::new(1000.0, 8000.0 / 32_768.0) {
            speaker.voice.play(frame).await;
        }
    });
    within(hear(&mut listener.ears, 25)).await;
    let samples = within(hear(&mut listener.ears, 50)).await;
    playing.abort();
    assert!(level_db(&samples).abs() < 1.0, "{} dB", level_db(&samples));
    let stats = listener.control.stats();
    assert_eq!(stats.lost, 0, "{stats:?}");
}
