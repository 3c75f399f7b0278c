//! Replies that are begun before it is sure that the caller has finished, against engines that take as long as they like: ears that
//! understand each pause of an utterance otherwise, and a model that says what it was asked. Whatever is said answers what was understood
//! at last.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use milo::{bench::Running, phone::Errand};
use milo_media::wav;
use serde_json::Value;

use crate::{
    hosted::server::{Asked, Conduct, KEY, Server},
    house::{answered, call, errand, events, folder, get, metric, milo, recording, stop},
};

/// What the delays are drawn from.
const SEED: u64 = 14;
/// Turns of a call.
const TURNS: usize = 4;
/// Where a request is heard again in one that goes on: so many samples at its beginning, of 16 kHz.
const BEGINNING: usize = 16_000;

/// The same number for the same lot.
fn drawn(lot: u64) -> u64 {
    // SplitMix64.
    let mixed = (SEED + lot).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn within(lot: u64, ms: Range<u64>) -> Duration {
    Duration::from_millis(ms.start + drawn(lot) % (ms.end - ms.start))
}

/// No two requests are understood alike. The words say nothing about whether more follows.
fn understood(number: usize) -> String {
    const DIGITS: [&str; 10] = ["akoho", "omby", "ondry", "osy", "vorona", "trondro", "alika", "saka", "biby", "hazo"];
    let digits = number.to_string().into_bytes().into_iter();
    let words: Vec<_> = digits.map(|digit| DIGITS[usize::from(digit - b'0')]).collect();
    format!("mitady {} izahay", words.join(" "))
}

/// Mostly before the caller goes on, or has finished; one of five only after that.
fn ears(number: usize, _: &Asked) -> (Duration, String) {
    let lot = 1_000 + number as u64;
    let after = if number % 5 == 4 { within(lot, 1_500..2_200) } else { within(lot, 0..600) };
    (after, understood(number))
}

fn answer(words: &str) -> String {
    format!("voaray fa {words}")
}

/// Says what it was asked last.
fn mind(number: usize, asked: &Asked) -> (Duration, String) {
    let messages = asked.body["messages"].as_array().expect("messages");
    let last = messages.last().and_then(|last| last["content"].as_str()).expect("words");
    (within(2_000 + number as u64, 0..1_200), answer(last))
}

/// A recording without the silence around it.
fn voice(name: &str) -> Vec<i16> {
    let samples = wav::read(&recording(name)).expect("a recording");
    let is_loud = |sample: &i16| sample.unsigned_abs() > 600;
    let from = samples.iter().position(is_loud).expect("a voice");
    let to = samples.iter().rposition(is_loud).expect("a voice");
    samples[from..=to].to_vec()
}

/// What is said in the turns of a call: no two begin alike, and most have a pause in them that may be taken for their end.
fn utterances(number: u64, pause: Range<u64>) -> Vec<PathBuf> {
    let files = folder("early-replies-said");
    let voices = ["mg_hours.wav", "mg_price.wav", "mg_appointment.wav"].map(voice);
    let file = |turn: usize| {
        let lot = number * TURNS as u64 + turn as u64;
        let mut samples = voices[turn % 3].clone();
        if turn % TURNS != 3 {
            samples.extend(vec![0; within(lot, pause.clone()).as_millis() as usize * 16]);
            samples.extend_from_slice(&voices[(turn + 1) % 3]);
        }
        let loudness = 100 - 2 * lot as i32;
        samples.iter_mut().for_each(|sample| *sample = (i32::from(*sample) * loudness / 100) as i16);
        let file = files.join(format!("{number}-{turn}.wav"));
        wav::write(&file, &samples).expect("a temporary folder");
        file
    };
    (0..TURNS).map(file).collect()
}

/// How the sound of a request begins: what stands behind the head of its WAV file.
fn sound(asked: &Asked) -> Vec<u8> {
    let file = asked.bytes.windows(4).position(|four| four == b"RIFF").expect("a WAV file");
    let head = asked.bytes[file..].windows(4).position(|four| four == b"data").expect("its sound");
    asked.bytes[file + head + 8..].iter().take(2 * BEGINNING).copied().collect()
}

/// A Milo with these ears and this mind. A turn is over after so much silence, whatever was understood.
async fn talking(ears: &Server, mind: &Server, end_ms: &str, is_early: &str) -> Running {
    let own = mind.variables("openai");
    let ears = format!("{}/v1", ears.url);
    let mut variables: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend([
        ("MILO__ENGINES__STT__ENGINE", "openai"),
        ("MILO__ENGINES__STT__URL", ears.as_str()),
        ("MILO__ENGINES__STT__MODEL", "ears-of-a-scenario"),
        ("MILO__ENGINES__FAILURES_BEFORE_REST", "0"),
        ("MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S", "4"),
        ("MILO__ENGINES__TURN__ENABLED", "false"),
        ("MILO__CONVERSATION__END_OF_TURN_MS", end_ms),
        ("MILO__CONVERSATION__EARLY_REPLIES", is_early),
        ("MILO__CONVERSATION__LONGEST_PAUSE_MS", "2800"),
        ("MILO__CONVERSATION__FILLER_MS", "20000"),
        ("OPENAI_API_KEY", KEY),
    ]);
    milo("early-replies", &variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reply_is_said_to_words_that_others_have_taken_the_place_of() {
    let (hearing, thinking) = (Server::start(Conduct::Makes(ears)).await, Server::start(Conduct::Makes(mind)).await);
    let milo = talking(&hearing, &thinking, "2500", "true").await;
    let said =
        |number| Errand { play: utterances(number, 400..1_000), ..errand(milo.udp("milo").expect("an address"), &[]) };
    let errands = [said(0), said(1), said(2)];
    // One after the other: each request has the delay that its number says.
    for errand in &errands {
        call(errand).await;
    }

    // What was understood of one utterance, the newest last: each request has the sound of the one before at its beginning.
    let asked = hearing.asked();
    let mut utterances: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (number, asked) in asked.iter().enumerate() {
        utterances.entry(sound(asked)).or_default().push(understood(number));
    }
    let superseded = utterances.values().map(|understood| understood.len() - 1).sum::<usize>();
    assert!(superseded >= 3, "the pauses are too short: {utterances:?}");

    let calls = get(&milo, "/api/v1/calls")["calls"].as_array().expect("calls").clone();
    assert_eq!(calls.len(), errands.len());
    let (mut turns, mut replies, mut ready) = (0, Vec::new(), 0);
    for row in &calls {
        let logged = get(&milo, &format!("/api/v1/calls/{}", row["id"].as_str().expect("an identifier")));
        for turn in answered(&logged) {
            let heard = turn["heard"].as_str().expect("words");
            let of_it = utterances.values().find(|understood| understood.iter().any(|words| words == heard));
            let of_it = of_it.unwrap_or_else(|| panic!("nobody has understood {heard:?}: {logged}"));
            assert_eq!(of_it.last().map(String::as_str), Some(heard), "it was superseded: {logged}");
            assert_eq!(turn["said"], answer(heard).as_str(), "{logged}");
            turns += 1;
            let stages = &turn["stages"];
            ready += usize::from(stages["llm_first_token_ms"] == 0.0 && stages["tts_first_sample_ms"] == 0.0);
        }
        replies.extend(events(&logged, "early_reply").into_iter().cloned());
    }
    assert_eq!(turns, TURNS * errands.len(), "{calls:?}");
    let begun: Vec<_> = replies.iter().filter_map(|reply: &Value| reply["begun"].as_u64()).collect();
    assert!(begun.len() <= turns && begun.iter().all(|begun| (1..=3).contains(begun)), "{replies:?}");
    let kept = replies.iter().filter(|reply| reply["kept"] == true).count();
    // More were begun than the one that may be kept.
    let dropped = begun.iter().sum::<u64>() as usize - kept;
    assert!(kept > 0 && dropped > 0 && ready > 0, "{kept} kept, {dropped} dropped, {ready} ready: {replies:?}");
    let counted = metric(&milo, "milo_llm_drafts_total{outcome=\"dropped\"}").await;
    assert_eq!(
        (metric(&milo, "milo_llm_drafts_total{outcome=\"kept\"}").await, counted),
        (kept as f64, dropped as f64)
    );
    stop(milo).await;
}

/// 100 ms on average.
fn quick_ears(number: usize, _: &Asked) -> (Duration, String) {
    (within(4_000 + number as u64, 50..150), understood(number))
}

/// 150 ms on average.
fn quick_mind(number: usize, asked: &Asked) -> (Duration, String) {
    (within(5_000 + number as u64, 50..250), mind(number, asked).1)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints what replies save that are begun early"]
async fn what_replies_save_that_are_begun_early() {
    const WAIT: f64 = 400.0;
    let known = WAIT + 100.0 + 150.0;
    for is_early in ["true", "false"] {
        let (ears, mind) =
            (Server::start(Conduct::Makes(quick_ears)).await, Server::start(Conduct::Makes(quick_mind)).await);
        let milo = talking(&ears, &mind, &WAIT.to_string(), is_early).await;
        let mut waits = Vec::new();
        for number in 0..6 {
            let said = utterances(number, 150..300);
            let report = call(&Errand { play: said, ..errand(milo.udp("milo").expect("an address"), &[]) }).await;
            waits.extend(report.turns.iter().filter(|turn| !turn.spoke_early).filter_map(|turn| turn.wire_ms));
        }
        waits.sort_by(f64::total_cmp);
        let over = |share: f64| waits[(waits.len() as f64 * share) as usize] - known;
        println!(
            "begun early: {is_early}: {} turns, {:+.0} ms (p50), {:+.0} ms (p95) beside the sum of the parts, {known} ms on average",
            waits.len(),
            over(0.5),
            over(0.95)
        );
        stop(milo).await;
    }
}
