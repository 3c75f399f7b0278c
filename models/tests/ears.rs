//! The shipped transcriber on recorded telephone speech, on noise and on silence.

use std::{fs, path::Path};

use milo_models::{
    engine::Language,
    espeak::pronouncer::Pronouncer,
    evaluation::{Figure, speech},
    onnx::OrtRuntime,
    transcriber::{Listen, Transcriber},
    whisper::{Whisper, WhisperOptions},
};

fn ears(timestamps: bool) -> Whisper {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/ears");
    let options = WhisperOptions { timestamps, ..WhisperOptions::default() };
    Whisper::load(&folder, &OrtRuntime::load(None).expect("`make setup` fetches it"), options).expect("it ships")
}

/// "Salama tompoko, firy ora ianareo no misokatra?" through G.711.
fn salama() -> Vec<i16> {
    let wav = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/speech/salama.wav")).expect("committed");
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn noise(level: i32) -> Vec<i16> {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((seed >> 16) as i32 - 32_768) * level / 32_768) as i16
    };
    (0..32_000).map(|_| next()).collect()
}

#[tokio::test]
async fn malagasy_is_recognised_and_understood() {
    let heard = ears(false).transcribe(salama(), Listen::to(None)).await.unwrap();
    assert_eq!(heard.language, Language::Mg);
    assert!(heard.language_probability > Some(0.8) && heard.no_speech_prob < Some(0.2), "{heard:?}");
    assert!(heard.text.starts_with("salama"), "{heard:?}");
    assert!(heard.confidence.is_some_and(|sure| (0.3..=1.0).contains(&sure)));
    assert_eq!(heard.segments.len(), 1);
    assert_eq!(heard.segments[0].text, heard.text);
}

#[tokio::test]
async fn noise_and_silence_are_no_speech() {
    let ears = ears(false);
    for audio in [vec![0; 16_000], noise(60), noise(600), noise(3_000)] {
        for language in [None, Some(Language::Mg), Some(Language::Fr)] {
            let heard = ears.transcribe(audio.clone(), Listen::to(language)).await.unwrap();
            assert!(heard.text.is_empty() && heard.segments.is_empty(), "{heard:?}");
            assert!(heard.no_speech_prob > Some(0.6), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn time_stamps_lie_in_the_audio_and_long_audio_keeps_its_order() {
    let mut twice = salama();
    twice.extend(vec![0; 7 * 16_000]);
    twice.extend(salama());
    let heard = ears(true).transcribe(twice.clone(), Listen::to(Some(Language::Mg))).await.unwrap();
    let end = u32::try_from(twice.len() / 16).unwrap();
    assert!(heard.segments.len() >= 2, "{heard:?}");
    assert!(heard.segments.iter().all(|part| part.start_ms < part.end_ms && part.end_ms <= end), "{heard:?}");
    assert!(heard.segments.is_sorted_by_key(|part| part.start_ms));
    assert!(heard.segments.iter().filter(|part| part.text.starts_with("salama")).count() >= 2, "{heard:?}");
    let last = heard.segments.last().unwrap();
    assert!(last.end_ms > 10_500, "{heard:?}");
}

#[tokio::test]
async fn sentences_spoken_for_the_evaluation_are_mostly_understood() {
    let folder = std::env::temp_dir().join(format!("milo-ev-{}", std::process::id()));
    let mut voice = Pronouncer::open(&folder, None).unwrap();
    let amount = speech::Amount { sentences: 8, quiet: 8 };
    let scores = speech::scores(&mut voice, &ears(false), amount).await.unwrap();
    assert_eq!(scores.iter().map(|score| score.cases).collect::<Vec<_>>(), [8, 8, 8, 8, 32, 8]);
    for score in &scores[..4] {
        let Figure::Words { edits, words } = score.figure else { panic!("{score:?}") };
        assert!(words > 16 && edits < words, "{edits} of {words}: {score:#?}");
    }
    let clean = scores[0].right() + scores[2].right();
    assert!(clean >= 3, "{clean} of 16 clean sentences are right: {scores:#?}");
    assert!(scores[4].right() >= 24, "the language of {} of 32", scores[4].right());
    drop(voice);
    fs::remove_dir_all(&folder).unwrap();
}
