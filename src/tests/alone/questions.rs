//! What is spoken, or is no speech, into a question.

use crate::house::{call, errand, recording, stop, with_plans};
use milo::{bench::Running, phone::Errand};
use milo_media::wav;

/// What is asked, for some ten seconds.
const ASKED: &str = "Manao ahoana tompoko. Manao ahoana tompoko. Manao ahoana tompoko. Manao ahoana tompoko. \
                     Manao ahoana tompoko. Manao ahoana tompoko. Manao ahoana tompoko. Manao ahoana tompoko.";

/// Samples a millisecond.
const MS: usize = 16;

/// Twelve clicks, a second apart: each is the loudest piece of a vowel, which begins as speech does, and is none.
fn clicks(speech: &[i16], length: usize) -> Vec<i16> {
    let power = |piece: &[i16]| piece.iter().map(|&sample| i64::from(sample).pow(2)).sum::<i64>();
    let click = speech.windows(length).step_by(8 * MS).max_by_key(|piece| power(piece)).expect("a longer recording");
    let mut clicks = vec![0; 1_500 * MS];
    for _ in 0..12 {
        clicks.extend_from_slice(click);
        clicks.resize(clicks.len() + 900 * MS, 0);
    }
    clicks
}

/// What somebody hears of the question who plays this into it: from its first loud sample to its last, and how many are loud, in
/// milliseconds.
async fn asked(milo: &Running, name: &str, into: Option<&[i16]>) -> (usize, usize) {
    let folder = milo.folder();
    let (play, record) = (folder.join(format!("{name}.wav")), folder.join(format!("{name}-heard.wav")));
    if let Some(into) = into {
        wav::write(&play, into).expect("a file");
    }
    let target = milo.udp("asks").expect("an address");
    let errand = Errand {
        wait: true,
        no_greeting: true,
        play: into.map(|_| play).into_iter().collect(),
        record: Some(record.clone()),
        ..errand(target, &[])
    };
    call(&errand).await;
    let heard = wav::read(&record).expect("what was heard");
    let loud: Vec<_> = heard.iter().enumerate().filter(|(_, it)| it.unsigned_abs() > 1_000).map(|(at, _)| at).collect();
    let (first, last) = (loud.first().expect("a voice"), loud.last().expect("a voice"));
    ((last - first) / MS, loud.len() / MS)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_speech_makes_a_question_pause_and_it_goes_on_where_it_was() {
    let plans = format!(
        "[[plan]]\nname = 'asks'\nnumber = 'asks'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, \
         {{ gather = {{ into = 'it', input = 'speech', kind = 'number', retries = 0, first_seconds = 1, prompt = {{ say = '{ASKED}' }} }} }}, \
         {{ hangup = {{}} }}]\n"
    );
    let milo = with_plans("questions", &plans).await;
    let speech = wav::read(&recording("mg_hours.wav")).expect("a recording");
    let (plain, voiced) = asked(&milo, "plain", None).await;
    // Which clicks begin as speech depends on how they lie in the packets, and one that passes for a word ends the question: clicks of
    // some lengths are tried until they have made it pause and go on.
    let (mut clicked, mut still) = (0, 0);
    for length in [56, 64, 48, 72, 56] {
        let clicks = clicks(&speech, length * MS);
        assert!(plain > clicks.len() / MS - 1_500, "it is asked for as long as they click: {plain} ms");
        (clicked, still) = asked(&milo, "clicks", Some(&clicks)).await;
        if clicked > plain + 60 {
            break;
        }
    }
    assert!(clicked > plain + 60, "it pauses: {plain} ms, and {clicked} ms with clicks");
    assert!(still * 10 > voiced * 9, "and nothing of it is lost: {voiced} ms are loud, and {still} ms with clicks");
    stop(milo).await;
}
