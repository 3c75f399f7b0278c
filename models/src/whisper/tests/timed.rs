//! Times of words against transformers, and that they are the same whichever way an utterance goes.

use super::*;
use crate::{
    transcriber::Word,
    whisper::{alignment::starts, windows::sounding, words},
};

/// Times are in frames of 20 ms.
#[derive(serde::Deserialize)]
struct Golden {
    /// A text that is forced on the model, and its tokens.
    text: String,
    tokens: Vec<u32>,
    /// How many there are of sound.
    frames: usize,
    /// Where each token begins, and where the last one ends.
    starts: Vec<usize>,
    words: Vec<Timed>,
    /// The model's own transcript, and where transformers says that the row of each token begins in the whole window.
    own: Vec<u32>,
    own_starts: Vec<usize>,
}

#[derive(serde::Deserialize, Debug, PartialEq)]
struct Timed {
    word: String,
    start: usize,
    end: usize,
}

fn timed() -> Golden {
    serde_json::from_slice(&fs::read(golden_folder().join("timed/golden.json")).unwrap()).unwrap()
}

/// The golden model with its attention, and what its encoder makes of the utterance.
fn encoded() -> (Worker, ort::value::DynValue) {
    let mut worker = worker("timed", WhisperOptions::default());
    let features = worker.mel.features(&golden_speech(), PCM, worker.decoder.model.frames());
    let hidden = worker.decoder.model.encode(features).unwrap();
    (worker, hidden)
}

fn heard(tokens: &[u32], text: &str) -> Heard {
    let (tokens, text) = (tokens.to_vec(), text.to_owned());
    let [language_probability, no_speech_prob, avg_logprob] = [1.0, 0.0, -0.1];
    let language = Language::Mg;
    Heard { tokens, text, language, language_probability, no_speech_prob, avg_logprob, is_noise: false }
}

#[test]
fn tokens_and_words_begin_where_transformers_has_them_begin() {
    let golden = timed();
    let (mut worker, hidden) = encoded();
    let speech = golden_speech();
    assert_eq!(speech.len().div_ceil(320), golden.frames);
    let heard = heard(&golden.tokens, &golden.text);
    let moments = worker.decoder.moments(&hidden, &heard, speech.len()).unwrap();
    assert_eq!(moments, golden.starts);
    let timed = words::words(&heard.tokens, &worker.decoder.tokens).unwrap().into_iter().map(|word| {
        let (start, end) = (moments[word.tokens.start], moments[word.tokens.end]);
        Timed { word: word.text, start, end }
    });
    assert_eq!(timed.collect::<Vec<_>>(), golden.words);

    let segments = worker.segments(&heard, &speech, 16_000, Some(&moments)).unwrap();
    let [segment] = &segments[..] else { panic!("one window is one segment: {segments:?}") };
    assert_eq!(segment.text, golden.text);
    let (first, last) = (sounding(&speech).start / 16, sounding(&speech).end / 16);
    let told = golden.words.iter().map(|word| {
        let ms = |frame: usize| 1_000 + (frame * 20).clamp(first, last) as u32;
        Word { word: word.word.clone(), start_ms: ms(word.start), end_ms: ms(word.end) }
    });
    assert_eq!(
        segment.words.as_deref().unwrap(),
        told.collect::<Vec<_>>(),
        "from the beginning of the audio, within its sound"
    );
}

#[test]
fn the_path_through_its_own_transcript_is_that_of_transformers() {
    let golden = timed();
    let (mut worker, hidden) = encoded();
    let prompt = super::golden().prompt;
    // Of the last token transformers has no row.
    let rows = golden.own.len() - 1;
    let line = [&prompt[..], &golden.own[..rows]].concat();
    let attention = worker.decoder.model.decoder.attention(&hidden, &line).unwrap();
    let begins = starts(&attention, prompt.len()..line.len(), worker.decoder.model.frames() / 2);
    assert_eq!(begins.unwrap(), golden.own_starts[..rows]);
}

#[tokio::test]
async fn whoever_asks_is_told_each_word_alone_and_beside_others_by_a_beam_and_behind_a_prompt() {
    let ears = |form: &str, options| Whisper::load(&golden_folder().join(form), &ort(), options).unwrap();
    let listen = |ears: &Whisper, samples, words| {
        let prompt = None;
        ears.transcribe(samples, Listen { words, prompt, class: Class::Interactive, ..Listen::default() })
    };
    for (timestamps, beam, prompt) in [(false, 1, None), (true, 1, None), (false, 2, None), (false, 1, Some("salama"))]
    {
        let options = |batch| WhisperOptions {
            timestamps,
            beam,
            batch,
            prompt: prompt.map(Into::into),
            ..WhisperOptions::default()
        };
        let (alone, together) = (ears("timed", options(1)), ears("timed", options(8)));
        assert!(alone.knows_words());
        let at_once: Vec<_> = recordings()
            .into_iter()
            .enumerate()
            .map(|(n, samples)| tokio::spawn(listen(&together, samples, n % 3 != 1)))
            .collect();
        for ((n, samples), at_once) in recordings().into_iter().enumerate().zip(at_once) {
            let timed = listen(&alone, samples.clone(), n % 3 != 1).await.unwrap();
            assert_eq!(words(&at_once.await.unwrap().unwrap()), words(&timed), "{timestamps} {beam} {prompt:?}");
            for segment in &timed.segments {
                assert_eq!(segment.words.is_some(), n % 3 != 1, "who does not ask is not told");
                let Some(words) = &segment.words else { continue };
                let said: Vec<_> = words.iter().map(|word| word.word.as_str()).collect();
                assert_eq!(said.join(" "), segment.text.split_whitespace().collect::<Vec<_>>().join(" "));
                let times: Vec<_> = words.iter().flat_map(|word| [word.start_ms, word.end_ms]).collect();
                assert!(times.is_sorted(), "{segment:?}");
                assert!(times.iter().all(|at| (segment.start_ms..=segment.end_ms).contains(at)), "{segment:?}");
            }
            let untimed = listen(&alone, samples, false).await.unwrap();
            assert_eq!(untimed.text, timed.text, "the times change nothing of the words");
        }
    }
}

#[tokio::test]
async fn a_decoder_that_does_not_tell_what_it_looks_at_has_no_times() {
    for form in ["merged", "split"] {
        let ears = Whisper::load(&golden_folder().join(form), &ort(), WhisperOptions::default()).unwrap();
        assert!(!ears.knows_words());
        let refused = ears.transcribe(golden_speech(), Listen { words: true, ..Listen::default() }).await;
        assert!(matches!(refused, Err(EngineError::Input(says)) if says == NO_WORDS), "{form}");
    }
}

#[tokio::test]
async fn the_same_model_with_its_attention_hears_the_same() {
    let hear = |form: &str| {
        let ears = Whisper::load(&golden_folder().join(form), &ort(), WhisperOptions::default()).unwrap();
        ears.transcribe(golden_speech().repeat(3), Listen::to(None))
    };
    assert_eq!(worker("timed", WhisperOptions::default()).batch, 8, "side by side too");
    let (plain, timed) = (hear("merged").await.unwrap(), hear("timed").await.unwrap());
    assert_eq!(words(&timed), words(&plain));
}
