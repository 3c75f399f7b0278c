//! The engine against torch and transformers, on a VITS of random weights in each form (`models/tests/vits_tiny/`, made by
//! `models/training/make_golden_vits.py`), and against broken ones.

use std::{fs, path::PathBuf, sync::mpsc::sync_channel};

use super::*;
use crate::{
    espeak::tests::voice as espeak,
    queue::{Class, Wanted},
};

#[derive(serde::Deserialize)]
struct Golden {
    hop: usize,
    cases: Vec<Case>,
    piper: Piper,
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    speed: f32,
    ids: Vec<i64>,
    durations: Vec<usize>,
}

#[derive(serde::Deserialize)]
struct Piper {
    text: String,
    ids: Vec<i64>,
}

const FORMS: [&str; 4] = ["speaking", "optimum", "sherpa", "piper"];

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vits_tiny")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(golden_folder().join("golden.json")).unwrap()).unwrap()
}

fn expected(name: &str) -> Vec<f32> {
    let bytes = fs::read(golden_folder().join(format!("{name}.f32"))).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

fn ort() -> OrtRuntime {
    OrtRuntime::load(None).unwrap()
}

fn voice(form: &str) -> Voice {
    let source = Source { path: golden_folder().join(form), server: None, language: Language::Mg };
    let mut voice = Voice::load(&source, &ort(), &espeak(), VitsOptions::default()).unwrap();
    (voice.manner.noise, voice.manner.noise_of_durations) = (0.0, 0.0);
    voice
}

fn vits(path: &Path) -> Result<Vits, EngineError> {
    Vits::load(path, Language::Mg, &ort(), &espeak(), VitsOptions::default())
}

fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "differs by {worst}");
}

fn said(voice: &mut Voice, ids: &[&[i64]], pace: f32) -> Vec<Sound> {
    let rows: Vec<Row<'_>> = ids.iter().map(|ids| Row { ids, speaker: 0 }).collect();
    let manner = Manner { pace, ..voice.manner };
    voice.model.run(&rows, manner).unwrap().into_iter().map(Result::unwrap).collect()
}

async fn all(mut speech: Speech) -> Result<Vec<i16>, EngineError> {
    let mut samples = Vec::new();
    while let Some(piece) = speech.next().await {
        samples.extend(piece?);
    }
    Ok(samples)
}

/// A copy of a form that a test may damage.
fn copy(form: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(golden_folder().join(form)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn load_error(path: &Path) -> String {
    let error = vits(path).err().expect("must not load");
    assert!(matches!(error, EngineError::Load(_)), "{error}");
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn every_form_gives_torchs_sound_of_the_same_text() {
    let golden = golden();
    for form in ["speaking", "optimum", "sherpa"] {
        let mut voice = voice(form);
        for (n, case) in golden.cases.iter().enumerate().filter(|(_, case)| form != "optimum" || case.speed == 1.0) {
            let line = voice.line(&case.text, &Standing::default()).unwrap();
            assert_eq!(line.ids, case.ids, "{form}: {}", case.text);
            let sound = said(&mut voice, &[&line.ids], case.speed).remove(0);
            close(&sound.samples, &expected(&n.to_string()));
            let durations: Vec<usize> = case.durations.iter().map(|frames| frames * golden.hop).collect();
            assert_eq!(sound.durations, (form == "speaking").then_some(durations));
        }
    }
    let mut piper = voice("piper");
    let line = piper.line(&golden.piper.text, &Standing::default()).unwrap();
    assert_eq!(line.ids, golden.piper.ids, "the phonemes are espeak-ng's");
    assert_eq!(piper.rate, 22_050);
    close(&said(&mut piper, &[&line.ids], 1.0).remove(0).samples, &expected("piper"));
}

#[test]
fn a_batch_sounds_as_each_text_does_alone() {
    let golden = golden();
    let mut voice = voice("speaking");
    assert!(voice.model.batches());
    let lines = [&*golden.cases[1].ids, &*golden.cases[0].ids, &*golden.cases[1].ids];
    for (sound, name) in said(&mut voice, &lines, 1.0).into_iter().zip(["1", "0", "1"]) {
        close(&sound.samples, &expected(name));
    }
    for form in ["optimum", "sherpa", "piper"] {
        assert!(!self::voice(form).model.batches(), "{form} does not say where each ends");
    }
}

#[tokio::test]
async fn every_form_speaks_at_16_khz_and_at_the_level_of_speech() {
    for form in FORMS {
        let vits = vits(&golden_folder().join(form)).unwrap();
        assert_eq!(vits.has_speed(), form != "optimum");
        let speak = |text: &str, speed| {
            // Tests beside this one fill espeak-ng's places for calls.
            let options = SpeechOptions { speed, class: Class::Interactive, ..SpeechOptions::default() };
            all(vits.speak(text, Language::Mg, options).unwrap())
        };
        let plain = speak("Salama tompoko.", 155).await.unwrap();
        let rms = (plain.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / plain.len() as f64).sqrt();
        assert!((1_000.0..6_000.0).contains(&rms), "{form}: {rms}");
        assert!(plain[0].abs() < 400 && plain[plain.len() - 100..].iter().all(|sample| *sample == 0), "{form}");
        let slow = speak("Salama tompoko.", 100).await.unwrap();
        assert_eq!(slow.len() > plain.len(), vits.has_speed(), "{form}");
        let two = speak("Salama tompoko. Veloma!", 155).await.unwrap();
        assert!(two.len() > plain.len() + 2_880, "{form}: both clauses and their pauses are heard");
        assert!(speak("Efatra 4 sy 5", 155).await.unwrap().len() > speak("Efatra sy", 155).await.unwrap().len());
    }
}

#[tokio::test]
async fn words_are_known_to_the_sample_where_the_model_tells() {
    let golden = golden();
    let case = &golden.cases[0];
    let of = |form: &str| vits(&golden_folder().join(form)).unwrap();
    let mut speech = of("speaking").speak("Salama tompoko", Language::Mg, SpeechOptions::default()).unwrap();
    let samples = speech.next().await.unwrap().unwrap();
    let words = speech.take_words();
    let lasts = |tokens: std::ops::Range<usize>| (case.durations[tokens].iter().sum::<usize>() * golden.hop) as u64;
    let [salama, tompoko] = words.as_slice() else { panic!("{words:?}") };
    // Six letters from the second token on; then blank, space, blank, and the other word.
    assert_eq!((salama.text.as_str(), tompoko.text.as_str()), ("Salama", "tompoko"));
    assert_eq!(tompoko.samples.start - salama.samples.end, lasts(12..15));
    assert_eq!(tompoko.samples.end - tompoko.samples.start, lasts(15..28));
    assert!(tompoko.samples.end <= samples.len() as u64 && salama.samples.start <= lasts(0..1));
    assert!(speech.next().await.is_none() && speech.take_words().is_empty());
    let mut speech = of("sherpa").speak("Salama tompoko", Language::Mg, SpeechOptions::default()).unwrap();
    speech.next().await.unwrap().unwrap();
    assert!(speech.take_words().is_empty(), "none is claimed");
}

#[tokio::test]
async fn words_of_a_second_clause_count_from_the_beginning_of_the_sound() {
    let vits = vits(&golden_folder().join("speaking")).unwrap();
    let mut speech = vits.speak("Salama. Veloma.", Language::Mg, SpeechOptions::default()).unwrap();
    let first = speech.next().await.unwrap().unwrap().len() as u64;
    speech.next().await.unwrap().unwrap();
    let starts: Vec<(String, bool)> =
        speech.take_words().into_iter().map(|word| (word.text, word.samples.start >= first)).collect();
    assert_eq!(starts, [("Salama.".into(), false), ("Veloma.".into(), true)]);
}

#[tokio::test]
async fn many_at_once_are_all_heard_and_whoever_leaves_is_not_waited_for() {
    let vits = vits(&golden_folder().join("speaking")).unwrap();
    let alone = all(vits.speak("Salama tompoko.", Language::Mg, SpeechOptions::default()).unwrap()).await.unwrap();
    let long = "Salama tompoko. ".repeat(100);
    let left = vits.speak(&long, Language::Mg, SpeechOptions::default()).unwrap();
    let speeches: Vec<_> =
        (0..12).map(|_| vits.speak("Salama tompoko.", Language::Mg, SpeechOptions::default()).unwrap()).collect();
    drop(left);
    for speech in speeches {
        assert_eq!(all(speech).await.unwrap().len(), alone.len());
    }
    let refused = (0..200).filter(|_| vits.speak(&long, Language::Mg, SpeechOptions::default()).is_err()).count();
    assert_eq!(refused, 0, "nobody waits for those who have left");
    let waiting: Vec<_> = (0..40).map(|_| vits.speak(&long, Language::Mg, SpeechOptions::default())).collect();
    let full = waiting.iter().filter(|speech| matches!(speech, Err(EngineError::Overloaded { .. }))).count();
    assert!((1..=8).contains(&full), "{full} refused");
    drop(waiting);
    assert!(all(vits.speak("Veloma.", Language::Mg, SpeechOptions::default()).unwrap()).await.is_ok());
    assert_eq!(vits.waiting(), [0; 4]);
}

#[tokio::test]
async fn a_call_comes_between_the_clauses_of_a_batch() {
    let vits = vits(&golden_folder().join("optimum")).unwrap();
    let long = "Salama tompoko. ".repeat(100);
    let of = |class| SpeechOptions { class, ..SpeechOptions::default() };
    let mut other = vits.speak(&long, Language::Mg, of(Class::Batch)).unwrap();
    other.next().await.unwrap().unwrap();
    all(vits.speak("Veloma.", Language::Mg, of(Class::Call)).unwrap()).await.unwrap();
    let mut rest = 1;
    let is_made = loop {
        tokio::select! {
            biased;
            piece = other.next() => match piece {
                Some(_) => rest += 1,
                None => break true,
            },
            () = std::future::ready(()) => break false,
        }
    };
    assert!(!is_made && rest < 90, "{rest} of its clauses came before the call's");
    while let Some(piece) = other.next().await {
        piece.unwrap();
        rest += 1;
    }
    assert_eq!(rest, 100, "and the rest of it follows");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a deadline is a moment of the clock")]
fn a_call_that_has_heard_nothing_goes_before_the_next_clause_of_one_that_is_hearing_the_first() {
    let (give, given) = sync_channel(1);
    let queue = spawn_engine("by hand", 8, |_| Ok(()), move |(), jobs: Jobs<Job>| drop(give.send(jobs))).unwrap();
    let (jobs, mut voice) = (given.recv().unwrap(), voice("optimum"));
    let put = |clauses: &[&str]| {
        let (pieces, speech) = mpsc::channel(8);
        let clauses = clauses.iter().map(|clause| (*clause).to_owned()).collect();
        let standing = Standing::new(Class::Call, Wanted::by(Instant::now()));
        queue.submit(Job { clauses, pace: 1.0, speaker: 0, standing, is_heard: false, lasts: None, pieces }).unwrap();
        speech
    };
    let mut hears = put(&["Salama tompoko.", "Veloma."]);
    let first = next(&voice, jobs.try_next(Class::Call).unwrap()).unwrap();
    let _waits = put(&["Salama."]);
    round(&mut voice, vec![first], &jobs);
    assert!(hears.try_recv().unwrap().is_ok());
    let turns = [(); 2].map(|()| jobs.try_next(Class::Call).unwrap());
    assert_eq!(turns.map(|job| (job.is_heard, job.clauses.len())), [(false, 1), (true, 1)]);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_with_a_sentence() {
    let vits = vits(&golden_folder().join("speaking")).unwrap();
    let ask = |text: &str, options| vits.speak(text, Language::Mg, options).err().map(|error| error.to_string());
    let plain = SpeechOptions::default;
    for (text, options, says) in [
        ("…", plain(), "nothing to say"),
        (&*"a".repeat(2_001), plain(), "2001 bytes"),
        ("Eny", SpeechOptions { speed: 30, ..plain() }, "the speed 30"),
        ("Eny", SpeechOptions { pitch: 60, ..plain() }, "the pitch 60"),
        ("Eny", SpeechOptions { variant: Some("f2".into()), ..plain() }, "one voice and no variants"),
    ] {
        let told = ask(text, options).expect(says);
        assert!(told.contains(says), "{told}");
    }
    // What the model's letters are only its thread knows.
    let unknown = all(vits.speak("Добрый день", Language::Mg, plain()).unwrap()).await;
    assert!(matches!(&unknown, Err(EngineError::Input(says)) if says.contains("none of the text's letters")));
    let part = all(vits.speak("Добрый день. Salama.", Language::Mg, plain()).unwrap()).await;
    assert!(part.is_ok_and(|samples| !samples.is_empty()), "what it knows is said");
}

#[test]
fn sound_that_is_no_number_fails_this_clause_only() {
    let golden = golden();
    let mut voice = voice("speaking");
    let rows = [Row { ids: &golden.cases[0].ids, speaker: 0 }];
    let broken = Manner { noise: f32::NAN, ..voice.manner };
    let row = voice.model.run(&rows, broken).unwrap().remove(0);
    assert!(matches!(row, Err(EngineError::Failed { reason, .. }) if reason.contains("no number")));
    close(&said(&mut voice, &[&golden.cases[0].ids], 1.0)[0].samples, &expected("0"));
}

#[test]
fn each_fault_of_a_folder_is_one_sentence() {
    assert!(load_error(Path::new("/no/such/folder")).contains("/no/such/folder is not there"));
    for form in FORMS {
        let folder = copy(form);
        let graph = folder.path().join(if form == "piper" { "tiny.onnx" } else { "model.onnx" });
        let bytes = fs::read(&graph).unwrap();
        fs::write(&graph, &bytes[..bytes.len() / 2]).unwrap();
        assert!(load_error(folder.path()).contains("is no whole ONNX graph"));
        fs::remove_file(&graph).unwrap();
        assert!(load_error(folder.path()).contains("holds no .onnx file"));
        fs::write(folder.path().join("a.onnx"), &bytes).unwrap();
        fs::write(folder.path().join("b.onnx"), &bytes).unwrap();
        assert!(load_error(folder.path()).contains("several graphs"));
        fs::remove_file(folder.path().join("a.onnx")).unwrap();
        let silero = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/silero/silero_vad_op18_ifless.onnx");
        fs::copy(silero, folder.path().join("b.onnx")).unwrap();
        assert!(load_error(folder.path()).contains("it is no VITS"), "{form}");
    }
}

#[test]
fn each_fault_beside_a_graph_is_one_sentence() {
    let damaged = |form: &str, name: &str, from: &str, to: &str| {
        let folder = copy(form);
        let file = folder.path().join(name);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        load_error(folder.path())
    };
    for (form, name, from, to, says) in [
        ("speaking", "vocab.json", "}", "", "is no vocabulary"),
        ("speaking", "vocab.json", "\"z\": 23", "\"z\": 99", "belong to different models"),
        ("speaking", "config.json", "\"vits\"", "\"bark\"", "of the type \"bark\""),
        ("speaking", "config.json", "16000", "1", "at 1 Hz"),
        ("speaking", "tokenizer_config.json", "\"is_uroman\": false", "\"is_uroman\": true", "sets is_uroman"),
        ("sherpa", "tokens.txt", "z 23", "z", "line 24"),
        ("sherpa", "tokens.txt", "z 23", "z 99", "belong to different models"),
        ("piper", "tiny.onnx.json", "\"mg\"", "\"xx\"", "espeak.voice = \"xx\""),
        ("piper", "tiny.onnx.json", "\"espeak\",", "\"pinyin\",", "phoneme_type = \"pinyin\""),
        ("piper", "tiny.onnx.json", "\"^\"", "\"=\"", "lacks \"^\""),
        ("piper", "tiny.onnx.json", "[33]", "[77]", "num_symbols"),
        ("piper", "tiny.onnx.json", "\"length_scale\": 1.0", "\"length_scale\": 0.0", "a speed that is none"),
        ("piper", "tiny.onnx.json", "}", "", "is not the JSON of a Piper voice"),
    ] {
        let told = damaged(form, name, from, to);
        assert!(told.contains(says), "{told}");
    }
    for (form, name, says) in [
        ("speaking", "vocab.json", "no vocab.json"),
        ("sherpa", "tokens.txt", "no tokens.txt"),
        ("piper", "tiny.onnx.json", "tiny.onnx.json is not there"),
    ] {
        let folder = copy(form);
        fs::remove_file(folder.path().join(name)).unwrap();
        let told = load_error(folder.path());
        assert!(told.contains(says), "{told}");
    }
}
