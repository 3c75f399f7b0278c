//! The engine against torch and transformers, on two wav2vec2 of random weights (`models/tests/ctc_tiny/`, made by
//! `models/training/make_golden_ctc.py`), and against broken models.

use std::{collections::BTreeMap, fs};

use super::{graph::Model, *};
use crate::{onnx::export::Export, queue::Class};

#[derive(serde::Deserialize)]
struct Golden {
    part_samples: usize,
    plain: Answers,
    masked: Answers,
}

#[derive(serde::Deserialize)]
struct Answers {
    utterances: Vec<Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    frames: usize,
    text: String,
    words: Vec<(String, u32, u32)>,
    avg_logprob: f32,
    confidence: f32,
    logits: Vec<Vec<f32>>,
}

/// Milliseconds of a frame.
const FRAME_MS: u32 = 20;

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn folder(form: &str) -> PathBuf {
    tests_folder().join("ctc_tiny").join(form)
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(tests_folder().join("ctc_tiny/golden.json")).unwrap()).unwrap()
}

fn speech() -> Vec<i16> {
    let wav = fs::read(tests_folder().join("whisper_tiny/speech.wav")).unwrap();
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn ort() -> OrtRuntime {
    OrtRuntime::load(None).unwrap()
}

fn model(form: &str) -> Model {
    let (folder, ort) = (folder(form), ort());
    Model::load(&Export::open(&folder, "wav2vec2", &ort, Precision::Full, 1).unwrap(), Language::Mg).unwrap()
}

fn ears(folders: &[(Language, &Path)]) -> Result<Ctc, EngineError> {
    let folders: Vec<_> = folders.iter().map(|(language, folder)| (*language, folder.to_path_buf())).collect();
    Ctc::load(&folders, &ort(), CtcOptions::default())
}

fn of_one(form: &str) -> Ctc {
    ears(&[(Language::Mg, &folder(form))]).unwrap()
}

/// A copy of an export that a test may change.
fn copy(form: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder(form)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

fn change(folder: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    fs::write(folder.join(name), text.replace(from, to)).unwrap();
}

fn listen(language: Option<Language>, words: bool) -> Listen {
    Listen { language, words, ..Listen::default() }
}

fn assert_close(ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    // Of logits up to a hundred and more: torch and ONNX Runtime add in another order.
    let worst = pairs.map(|(ours, theirs)| (ours - theirs).abs() / theirs.abs().max(1.0)).fold(0.0, f32::max);
    assert!(worst < 1e-4, "differs by {worst}");
}

#[test]
fn both_exports_give_torchs_logits_together_and_alone() {
    let (golden, speech) = (golden(), speech());
    let part = &speech[..golden.part_samples];
    for (form, answers, batches) in [("plain", golden.plain, false), ("masked", golden.masked, true)] {
        let mut model = model(form);
        assert_eq!((model.batches(), model.hop()), (batches, 320), "{form}");
        let alone = [&speech[..], part].map(|window| model.logits(&[window]).unwrap().remove(0));
        for (ours, theirs) in alone.iter().zip(&answers.utterances) {
            assert_eq!(ours.len(), theirs.frames);
            assert_close(ours, &theirs.logits);
        }
        if batches {
            let together = model.logits(&[part, &speech]).unwrap();
            assert_close(&together[0], &answers.utterances[1].logits);
            assert_close(&together[1], &answers.utterances[0].logits);
        }
    }
}

#[tokio::test]
async fn the_words_their_times_and_how_sure_they_are_are_those_of_transformers() {
    let (golden, speech) = (golden(), speech());
    for (form, answers) in [("plain", golden.plain), ("masked", golden.masked)] {
        let ears = of_one(form);
        for (answer, samples) in answers.utterances.iter().zip([&speech[..], &speech[..golden.part_samples]]) {
            let heard = ears.transcribe(samples.to_vec(), listen(None, true)).await.unwrap();
            assert_eq!((heard.text.as_str(), heard.language), (answer.text.as_str(), Language::Mg), "{form}");
            assert!((heard.avg_logprob.unwrap() - answer.avg_logprob).abs() < 1e-4, "{heard:?}");
            assert!((heard.confidence.unwrap() - answer.confidence).abs() < 1e-4, "{heard:?}");
            let end = u32::try_from(samples.len() / SAMPLES_PER_MS).unwrap();
            let theirs: Vec<_> = answer
                .words
                .iter()
                .map(|(word, from, to)| {
                    let [start_ms, end_ms] = [from, to].map(|frame| (frame * FRAME_MS).min(end));
                    crate::transcriber::Word { word: word.clone(), start_ms, end_ms }
                })
                .collect();
            assert_eq!(heard.segments[0].words.as_ref(), Some(&theirs));
            assert_eq!(heard.segments[0].start_ms, theirs[0].start_ms);
            let short = ears.transcribe(samples.to_vec(), listen(None, false)).await.unwrap();
            assert!(short.segments[0].words.is_none() && short.text == heard.text);
        }
    }
}

#[tokio::test]
async fn utterances_that_wait_together_are_each_heard_as_alone() {
    let (golden, speech) = (golden(), speech());
    let expected = [&golden.masked.utterances[0], &golden.masked.utterances[1]];
    for form in ["masked", "plain"] {
        let ears = of_one(form);
        let expected =
            if form == "masked" { expected } else { [&golden.plain.utterances[0], &golden.plain.utterances[1]] };
        let asked: Vec<_> = (0..12)
            .map(|n| {
                let whose = n % 2;
                let samples = if whose == 0 { speech.clone() } else { speech[..golden.part_samples].to_vec() };
                let class = Class::ALL[n % 4];
                (whose, ears.transcribe(samples, Listen { class, ..Listen::default() }))
            })
            .collect();
        for (whose, heard) in asked {
            assert_eq!(heard.await.unwrap().text, expected[whose].text);
        }
        assert_eq!(ears.waiting(), [0; 4]);
    }
}

#[tokio::test]
async fn of_two_models_the_surer_one_is_believed_unless_a_language_is_told() {
    let (golden, speech) = (golden(), speech());
    let [plain, masked] = [&golden.plain.utterances[0], &golden.masked.utterances[0]];
    let french = copy("masked");
    change(french.path(), "tokenizer_config.json", "\"mlg\"", "\"fra\"");
    change(french.path(), "vocab.json", "\"mlg\": {", "\"deu\": {");
    change(french.path(), "vocab.json", "\"fra\": {", "\"mlg\": {");
    change(french.path(), "vocab.json", "\"deu\": {", "\"fra\": {");
    let ears = ears(&[(Language::Mg, &folder("plain")), (Language::Fr, french.path())]).unwrap();
    let of = |language| ears.transcribe(speech.clone(), listen(language, false));
    let surer = if plain.avg_logprob > masked.avg_logprob { plain } else { masked };
    let heard = of(None).await.unwrap();
    assert_eq!(heard.text, surer.text);
    let total = plain.avg_logprob.exp() + masked.avg_logprob.exp();
    assert!((heard.language_probability.unwrap() - surer.avg_logprob.exp() / total).abs() < 1e-4, "{heard:?}");
    for (language, answer) in [(Language::Mg, plain), (Language::Fr, masked)] {
        let heard = of(Some(language)).await.unwrap();
        assert_eq!((heard.language, heard.text, heard.language_probability), (language, answer.text.clone(), None));
    }
}

#[tokio::test]
async fn silence_and_a_moment_are_no_words_and_another_language_is_refused() {
    let ears = of_one("masked");
    let moment = ears.transcribe(vec![9; 300], listen(None, true)).await.unwrap();
    assert_eq!((moment.text.as_str(), moment.confidence, moment.segments.len()), ("", None, 0));
    assert_eq!((moment.language, moment.language_probability), (Language::Mg, None));
    let error = ears.transcribe(speech(), listen(Some(Language::Fr), false)).await.unwrap_err();
    assert!(matches!(&error, EngineError::Input(says) if says.contains("hears mg and not fr")), "{error}");
    let error = ears.transcribe(Vec::new(), listen(None, false)).await.unwrap_err();
    assert!(matches!(error, EngineError::Input(_)));
}

#[tokio::test]
async fn long_audio_goes_through_in_windows_and_calls_between_them() {
    let ears = of_one("masked");
    let long = speech().repeat(100);
    let end = u32::try_from(long.len() / SAMPLES_PER_MS).unwrap();
    let asked = Listen { class: Class::Batch, words: true, ..Listen::default() };
    let batch = tokio::spawn(ears.transcribe(long, asked));
    // It has been begun.
    tokio::task::yield_now().await;
    while ears.waiting() != [0; 4] {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ears.transcribe(speech(), listen(None, false)).await.unwrap();
    assert!(!batch.is_finished(), "the batch was heard first");
    let heard = batch.await.unwrap().unwrap();
    assert!(heard.segments.len() > 3, "{}", heard.segments.len());
    let words: Vec<_> = heard.segments.iter().flat_map(|part| part.words.iter().flatten()).collect();
    assert!(words.iter().all(|word| word.start_ms < word.end_ms && word.end_ms <= end));
    assert!(words.is_sorted_by_key(|word| word.start_ms));
    let parts: Vec<&str> = heard.segments.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(heard.text, parts.join(" "));
}

#[test]
fn each_fault_of_a_folder_is_one_sentence() {
    let refused = |form: &str, change: &dyn Fn(&Path), says: &str| {
        let copy = copy(form);
        change(copy.path());
        let error = ears(&[(Language::Mg, copy.path())]).err().expect("must not load").to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{says}: {error}");
    };
    let without = |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
    let with =
        |name: &'static str, from: &'static str, to: &'static str| move |folder: &Path| change(folder, name, from, to);
    refused("plain", &without("model.onnx"), "holds no model.onnx");
    refused("plain", &without("vocab.json"), "vocab.json is not there");
    refused("plain", &with("vocab.json", "\"a\": 5", "\"a\": 6"), "gives `e` no number of its own");
    refused("plain", &with("vocab.json", "16", "99"), "they belong to different models");
    refused("plain", &with("vocab.json", "16", "-1"), "gives `y` no number of its own");
    refused("plain", &with("vocab.json", "\"|\"", "\"/\""), "lacks `|`, which stands between words");
    refused("plain", &with("preprocessor_config.json", "16000", "8000"), "wants sound of 8000 Hz");
    refused(
        "plain",
        &with("config.json", "\"conv_stride\": [", "\"conv_stride\": [0, "),
        "conv_kernel and conv_stride",
    );
    refused("masked", &with("vocab.json", "\"mlg\": {", "\"deu\": {"), "has no tokens for mg (`mlg`)");
    refused(
        "masked",
        &with("tokenizer_config.json", "\"mlg\"", "\"deu\""),
        "writes `deu`, and it is configured for mg",
    );
    let whisper = tests_folder().join("whisper_tiny/merged/encoder_model.onnx");
    let whispers = |folder: &Path| {
        fs::copy(&whisper, folder.join("model.onnx")).unwrap();
    };
    refused("plain", &whispers, "model.onnx has no input `input_values`");
    assert!(ears(&[(Language::Mg, Path::new("/nowhere/at/all"))]).err().unwrap().to_string().contains("is not there"));
}

#[test]
fn a_model_of_capitals_does_not_shout_and_a_folder_says_what_it_is() {
    let copy = copy("plain");
    let letters: BTreeMap<String, usize> =
        serde_json::from_slice(&fs::read(copy.path().join("vocab.json")).unwrap()).unwrap();
    let capitals: BTreeMap<String, usize> = letters
        .into_iter()
        .map(|(token, id)| if token.len() == 1 { (token.to_uppercase(), id) } else { (token, id) })
        .collect();
    fs::write(copy.path().join("vocab.json"), serde_json::to_string(&capitals).unwrap()).unwrap();
    let ort = ort();
    let export = Export::open(copy.path(), "wav2vec2", &ort, Precision::Full, 1).unwrap();
    let vocabulary = vocabulary::Vocabulary::load(&export, Language::Mg, None).unwrap();
    assert_eq!(*vocabulary.letter(5), vocabulary::Letter::Text("a".into()));
    assert_eq!(crate::onnx::form(copy.path()).unwrap().as_deref(), Some("wav2vec2"));
    assert_eq!(Ctc::language_of(copy.path()).unwrap(), None);
    assert_eq!(Ctc::language_of(&folder("masked")).unwrap(), Some(Language::Mg));
}
