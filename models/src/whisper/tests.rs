//! The engine against torch and transformers, on a Whisper of random weights (`models/tests/whisper_tiny/`, made by
//! `models/training/make_golden_whisper.py`), and against broken models.

use std::{cell::Cell, fs, iter, path::PathBuf, sync::Arc};

use super::*;
use crate::onnx::decoder::Cache;

mod beam;
mod timed;

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
    Worker::load(&golden_folder().join(form), None, &ort(), &options).unwrap()
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
    let options = WhisperOptions { queue: 2, batch: 1, ..WhisperOptions::default() };
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
    assert_eq!(transcriber.waiting(), [0; 4]);
}

#[tokio::test]
async fn whoever_is_heard_gives_way_to_a_call() {
    for (class, batch) in
        [Class::Batch, Class::Interactive, Class::Speculative].into_iter().flat_map(|class| [(class, 1), (class, 8)])
    {
        let options = WhisperOptions { batch, ..WhisperOptions::default() };
        let transcriber = Whisper::load(&golden_folder().join("merged"), &ort(), options).unwrap();
        let listen = |class, times| {
            let asked = Listen { class, ..Listen::default() };
            tokio::spawn(transcriber.transcribe(golden_speech().repeat(times), asked))
        };
        let other = listen(class, 60);
        // It has been begun.
        tokio::task::yield_now().await;
        while transcriber.waiting() != [0; 4] {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        listen(Class::Call, 1).await.unwrap().expect("it is heard");
        assert!(!other.is_finished(), "{class:?} of {batch} was heard first");
        other.await.unwrap().expect("it is heard behind it");
    }
}

#[test]
fn a_call_that_hangs_up_stops_its_transcription() {
    let mut worker = worker("merged", WhisperOptions::default());
    let (answer, _waits) = oneshot::channel();
    let samples = golden_speech().repeat(4);
    let (language, standing) = (Some(Language::Mg), Standing::default());
    let job = Job { samples, language, prompt: None, words: false, standing, gave_way: 0, answer };
    for patience in 0..4 {
        let asked = Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        let result = worker.transcribe(&job, &cancelled).unwrap();
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

/// Eight utterances that differ in length, loudness and place, some of more than one window.
fn recordings() -> Vec<Vec<i16>> {
    let speech = golden_speech();
    (0..8)
        .map(|n| {
            let from = n * speech.len() / 20;
            let samples = speech[from..speech.len() - (n % 3) * 1_000].iter().map(|sample| sample / (1 + n as i16 % 2));
            samples.collect::<Vec<_>>().repeat([1, 1, 4, 1, 1, 2, 1, 1][n])
        })
        .collect()
}

/// What is heard, without how long it took, and with what may differ in its last digits.
fn words(transcript: &Transcript) -> (String, Language, Vec<Segment>) {
    (transcript.text.clone(), transcript.language, transcript.segments.clone())
}

#[tokio::test]
async fn eight_at_once_are_heard_as_each_is_alone() {
    for (form, timestamps) in [("merged", false), ("merged", true), ("split", false), ("int8", false)] {
        let heard_by = |batch| {
            let options = WhisperOptions { timestamps, batch, ..WhisperOptions::default() };
            Whisper::load(&golden_folder().join(form), &ort(), options).unwrap()
        };
        let (alone, together) = (heard_by(1), heard_by(8));
        // Whoever has a text before it stands beside nobody.
        let prompt = |n: usize| (n % 3 == 1).then(|| "salama tompoko".into());
        let mut one_by_one = Vec::new();
        for (n, samples) in recordings().into_iter().enumerate() {
            let asked = Listen { prompt: prompt(n), ..Listen::default() };
            one_by_one.push(alone.transcribe(samples, asked).await.unwrap());
        }
        // The first is begun at once, and the others come to it.
        let at_once = recordings().into_iter().enumerate().map(|(n, samples)| {
            let class = if n % 4 == 3 { Class::Batch } else { Class::Call };
            together.transcribe(samples, Listen { class, prompt: prompt(n), ..Listen::default() })
        });
        let at_once: Vec<_> = at_once.map(tokio::spawn).collect();
        for (alone, heard) in one_by_one.iter().zip(at_once) {
            let heard = heard.await.unwrap().unwrap();
            assert_eq!(words(&heard), words(alone), "{form}, times: {timestamps}");
            let far = |one: Option<f32>, other: Option<f32>| (one.unwrap() - other.unwrap()).abs() > 1e-3;
            assert!(!far(heard.avg_logprob, alone.avg_logprob) && !far(heard.no_speech_prob, alone.no_speech_prob));
            assert!(!far(heard.language_probability, alone.language_probability));
        }
        let texts: std::collections::BTreeSet<_> = one_by_one.iter().map(|heard| heard.text.clone()).collect();
        assert!(texts.len() > 2, "they differ: {texts:?}");
        assert_eq!(together.work().classes[Class::Call as usize].jobs, 6);
        assert_eq!(together.waiting(), [0; 4]);
    }
}

#[test]
fn graphs_that_choose_the_scale_of_a_run_hear_one_after_the_other() {
    let options = WhisperOptions::default();
    assert_eq!(worker("merged", options.clone()).batch, 8);
    assert_eq!(worker("merged", WhisperOptions { beam: 2, ..options.clone() }).batch, 1, "beams are followed alone");
    assert_eq!(worker("split", options.clone()).batch, 8);
    assert_eq!(
        worker("int8", options.clone()).batch,
        8,
        "its decoder has a scale for each row, and its encoder runs alone"
    );
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/ears");
    assert_eq!(
        Worker::load(&shipped, None, &ort(), &options).unwrap().batch,
        1,
        "the scale of its int8 is that of all rows"
    );
}

#[tokio::test]
async fn one_of_many_that_leaves_or_cannot_be_heard_costs_the_others_nothing() {
    let transcriber = Whisper::load(&golden_folder().join("merged"), &ort(), WhisperOptions::default()).unwrap();
    let alone = transcriber.transcribe(golden_speech(), Listen::to(None)).await.unwrap();
    let ask = || transcriber.transcribe(golden_speech().repeat(3), Listen::to(None));
    let stays = transcriber.transcribe(golden_speech(), Listen::to(None));
    let leaves: Vec<_> = (0..6).map(|_| ask()).collect();
    drop(leaves);
    let short = transcriber.transcribe(vec![5; 10], Listen::to(None));
    let (stays, short) = tokio::join!(stays, short);
    assert_eq!(words(&stays.unwrap()), words(&alone));
    short.expect("a moment of audio is padded");
    assert_eq!(transcriber.waiting(), [0; 4]);
}

/// `MILO_EARS=folder cargo test -p milo-models --release measures_what_hearing_side_by_side -- --ignored --nocapture`
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a measure")]
#[ignore = "a measure, of an export in full precision that MILO_EARS names"]
async fn measures_what_hearing_side_by_side_costs_and_brings() {
    let folder = std::env::var_os("MILO_EARS").map_or_else(|| golden_folder().join("merged"), PathBuf::from);
    let speech = golden_speech();
    for threads in [1, 2] {
        for batch in [1, 2, 4, 8] {
            let options = WhisperOptions { threads, batch, precision: Precision::Full, ..WhisperOptions::default() };
            let transcriber = Whisper::load(&folder, &ort(), options).unwrap();
            transcriber.transcribe(speech.clone(), Listen::to(Some(Language::Mg))).await.unwrap();
            let begun = std::time::Instant::now();
            let asked = (0..8).map(|_| {
                let hearing = transcriber.transcribe(speech.clone(), Listen::to(Some(Language::Mg)));
                tokio::spawn(async move {
                    hearing.await.unwrap();
                    begun.elapsed().as_secs_f64()
                })
            });
            let mut took = Vec::new();
            for one in asked.collect::<Vec<_>>() {
                took.push(one.await.unwrap());
            }
            took.sort_by(f64::total_cmp);
            println!(
                "{threads} threads, {batch} side by side: first {:.3}, middle {:.3}, all {:.3} s",
                took[0], took[4], took[7]
            );
        }
    }
}
