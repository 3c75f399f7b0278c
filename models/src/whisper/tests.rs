//! The engine against torch and transformers, on a Whisper of random weights (`models/tests/whisper_tiny/`, made by
//! `models/training/make_golden_whisper.py`), and against broken models.

use std::{cell::Cell, fs, iter, path::PathBuf, sync::Arc};

use super::*;
use crate::onnx::decoder::Cache;

mod beam;

#[derive(serde::Deserialize)]
struct Golden {
    frames: usize,
    mels: usize,
    prompt: Vec<u32>,
    prompt_logits: Vec<Vec<f32>>,
    beam: beam::Golden,
    greedy: Vec<u32>,
    text: String,
    avg_logprob: f32,
    no_speech_prob: f32,
    language_probabilities: std::collections::BTreeMap<String, f32>,
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whisper_tiny")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(golden_folder().join("golden.json")).unwrap()).unwrap()
}

fn golden_speech() -> Vec<i16> {
    let wav = fs::read(golden_folder().join("speech.wav")).unwrap();
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn ort() -> OrtRuntime {
    OrtRuntime::load(None).unwrap()
}

fn worker(form: &str, options: WhisperOptions) -> Worker {
    Worker::load(&golden_folder().join(form), &ort(), &options).unwrap()
}

fn never() -> bool {
    false
}

fn close(ours: &[f32], theirs: &[f32], limit: f32) {
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= limit, "differs by {worst}");
}

/// A copy of an export that a test may damage.
fn copy(form: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(golden_folder().join(form)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn load_error(folder: &Path) -> String {
    let error = Whisper::load(folder, &ort(), WhisperOptions::default()).err().expect("must not load");
    assert!(matches!(error, EngineError::Load(_)));
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn the_features_are_those_of_transformers() {
    let golden = golden();
    let theirs = fs::read(golden_folder().join("features.f32")).unwrap();
    let theirs: Vec<f32> =
        theirs.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    close(&LogMel::new(golden.mels).features(&golden_speech(), PCM, golden.frames), &theirs, 1e-4);
}

#[test]
fn both_exports_give_torchs_logits_tokens_and_probabilities() {
    let golden = golden();
    for form in ["merged", "split"] {
        let Worker { mut decoder, mel, .. } = worker(form, WhisperOptions::default());
        let features = mel.features(&golden_speech(), PCM, decoder.model.frames());
        let hidden = decoder.model.encode(features).unwrap();
        let mut cache = Cache::default();
        let rows = decoder.model.decoder.run(&hidden, &golden.prompt, &mut cache).unwrap();
        for (ours, theirs) in rows.iter().zip(&golden.prompt_logits) {
            close(ours, theirs, 1e-3);
        }
        let last = rows.last().unwrap();
        // The reference's text may be cut before its end token.
        let longest = golden.greedy.len();
        let (mut tokens, mean) = decoder.continue_prompt(&hidden, cache, last, 0.0, longest, &never).unwrap().unwrap();
        let sum = mean * (tokens.len() + 1) as f32;
        assert_eq!(decoder.tokens.text(&tokens).unwrap(), golden.text.trim());
        if tokens.len() < longest {
            tokens.push(decoder.tokens.end);
        }
        assert_eq!(tokens, golden.greedy, "{form}");
        assert!((sum / longest as f32 - golden.avg_logprob).abs() < 1e-3, "{sum} {}", golden.avg_logprob);

        for language in [None, Some(Language::Mg), Some(Language::Fr)] {
            let heard = decoder.decode(&hidden, language, &[], &never).unwrap().unwrap();
            let expected = golden.language_probabilities[heard.language.code()];
            assert!((heard.language_probability - expected).abs() < 1e-3);
            assert!((heard.no_speech_prob - golden.no_speech_prob).abs() < 1e-3);
            match language {
                Some(language) => assert_eq!(heard.language, language),
                None => assert!(expected >= 0.5, "the likelier one is chosen"),
            }
        }
    }
}

#[tokio::test]
async fn long_audio_goes_through_in_windows() {
    let speech = golden_speech();
    let long: Vec<i16> = iter::repeat_n(speech, 4).flatten().collect();
    for timestamps in [false, true] {
        let options = WhisperOptions { timestamps, ..WhisperOptions::default() };
        let transcriber = Whisper::load(&golden_folder().join("merged"), &ort(), options).unwrap();
        let heard = transcriber.transcribe(long.clone(), Listen::to(Some(Language::Mg))).await.unwrap();
        let end = u32::try_from(long.len() / SAMPLES_PER_MS).unwrap();
        assert!(heard.segments.iter().all(|part| part.start_ms <= part.end_ms && part.end_ms <= end), "{heard:?}");
        assert!(heard.segments.is_sorted_by_key(|part| part.start_ms));
        let parts: Vec<&str> = heard.segments.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(heard.text, parts.join(" "));
        assert!(heard.confidence == heard.avg_logprob.map(f32::exp) && heard.confidence.is_some());
        let again = transcriber.transcribe(long.clone(), Listen::to(Some(Language::Mg))).await.unwrap();
        assert_eq!(heard.text, again.text, "the same audio gives the same transcript");
    }
}

#[tokio::test]
async fn what_cannot_be_transcribed_is_said() {
    let transcriber = Whisper::load(&golden_folder().join("merged"), &ort(), WhisperOptions::default()).unwrap();
    assert!(matches!(transcriber.transcribe(Vec::new(), Listen::to(None)).await, Err(EngineError::Input(_))));
    let endless = vec![0; (crate::transcriber::LONGEST_S + 1) * 16_000];
    assert!(matches!(transcriber.transcribe(endless, Listen::to(None)).await, Err(EngineError::Input(_))));
    transcriber.transcribe(vec![5; 10], Listen::to(None)).await.expect("a moment of audio is padded");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let options = WhisperOptions { queue: 2, ..WhisperOptions::default() };
    let transcriber = Arc::new(Whisper::load(&golden_folder().join("merged"), &ort(), options).unwrap());
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (transcriber, samples) = (Arc::clone(&transcriber), golden_speech().repeat(4));
            tokio::spawn(async move { transcriber.transcribe(samples, Listen::to(None)).await })
        })
        .collect();
    let (mut served, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => served += 1,
            Err(EngineError::Overloaded { engine, .. }) => {
                assert_eq!(engine, ENGINE);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(served >= 2 && refused >= 1, "{served} served, {refused} refused");
    assert_eq!(transcriber.waiting(), [0; 3]);
}

#[tokio::test]
async fn whoever_is_heard_gives_way_to_a_call() {
    let transcriber = Whisper::load(&golden_folder().join("merged"), &ort(), WhisperOptions::default()).unwrap();
    let listen = |class, times| {
        let asked = Listen { class, ..Listen::default() };
        tokio::spawn(transcriber.transcribe(golden_speech().repeat(times), asked))
    };
    for class in [Class::Batch, Class::Interactive] {
        let other = listen(class, 60);
        // It has been begun.
        tokio::task::yield_now().await;
        while transcriber.waiting() != [0; 3] {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        listen(Class::Call, 1).await.unwrap().expect("it is heard");
        assert!(!other.is_finished(), "{class:?} was heard first");
        other.await.unwrap().expect("it is heard behind it");
    }
}

#[test]
fn a_call_that_hangs_up_stops_its_transcription() {
    let mut worker = worker("merged", WhisperOptions::default());
    for patience in 0..4 {
        let asked = Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let result = worker.transcribe(&golden_speech().repeat(4), Some(Language::Mg), None, &cancelled).unwrap();
        assert!(result.is_none());
        assert_eq!(asked.get(), patience + 1, "nothing is computed once nobody listens");
    }
}

#[test]
fn logits_that_are_no_numbers_fail_this_job_only() {
    let Worker { mut decoder, mel, .. } = worker("split", WhisperOptions::default());
    let broken = vec![f32::NAN; decoder.model.mels() * decoder.model.frames()];
    let hidden = decoder.model.encode(broken).unwrap();
    assert!(matches!(decoder.decode(&hidden, None, &[], &never), Err(EngineError::Failed { .. })));
    let features = mel.features(&golden_speech(), PCM, decoder.model.frames());
    let hidden = decoder.model.encode(features).unwrap();
    decoder.decode(&hidden, None, &[], &never).unwrap().unwrap();
}

#[test]
fn each_fault_of_a_folder_is_one_sentence() {
    assert!(load_error(Path::new("/no/such/folder")).contains("/no/such/folder is not there"));

    let folder = copy("merged");
    let file = |name: &str| folder.path().join(name);
    let encoder = fs::read(file("encoder_model.onnx")).unwrap();
    fs::write(file("encoder_model.onnx"), &encoder[..encoder.len() / 2]).unwrap();
    assert!(load_error(folder.path()).contains("encoder_model.onnx is no whole ONNX graph"));
    fs::copy(file("decoder_model_merged.onnx"), file("encoder_model.onnx")).unwrap();
    assert!(load_error(folder.path()).contains("encoder_model.onnx has no input `input_features`"));
    fs::write(file("encoder_model.onnx"), &encoder).unwrap();
    fs::copy(file("encoder_model.onnx"), file("decoder_model_merged.onnx")).unwrap();
    assert!(load_error(folder.path()).contains("decoder_model_merged.onnx has no input `input_ids`"));
    fs::remove_file(file("decoder_model_merged.onnx")).unwrap();
    assert!(load_error(folder.path()).contains("holds no decoder_model_merged.onnx"));
    fs::write(file("config.json"), "{").unwrap();
    assert!(load_error(folder.path()).contains("config.json is no model configuration"));

    let folder = copy("split");
    let file = |name: &str| folder.path().join(name);
    fs::copy(file("decoder_model.onnx"), file("decoder_with_past_model.onnx")).unwrap();
    assert!(load_error(folder.path()).contains("decoder_with_past_model.onnx has no past_key_values"));
    fs::remove_file(file("decoder_with_past_model.onnx")).unwrap();
    assert!(load_error(folder.path()).contains("holds no decoder_with_past_model.onnx"));
    let tokenizer = fs::read_to_string(file("tokenizer.json")).unwrap();
    fs::write(file("tokenizer.json"), tokenizer.replace("<|transcribe|>", "<|write|>")).unwrap();
    assert!(load_error(folder.path()).contains("tokenizer.json lacks the token <|transcribe|>"));
    fs::write(file("tokenizer.json"), &tokenizer[..tokenizer.len() / 2]).unwrap();
    assert!(load_error(folder.path()).contains("tokenizer.json is no tokenizer"));
    fs::remove_file(file("tokenizer.json")).unwrap();
    assert!(load_error(folder.path()).contains("tokenizer.json is not there"));
}

#[test]
fn a_tokenizer_of_another_model_is_noticed() {
    let folder = copy("merged");
    let file = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let mut more = added.last().unwrap().clone();
    more["id"] = (more["id"].as_u64().unwrap() + 1).into();
    more["content"] = "<|99.98|>".into();
    added.push(more);
    fs::write(&file, tokenizer.to_string()).unwrap();
    assert!(load_error(folder.path()).contains("belong to different models"));
}
