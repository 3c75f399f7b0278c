//! Engines whose graph a server runs: they say what they say with the graph here, in both ways that tensors go, and whatever is wrong with the
//! server is told by its name, at once or within the time that a run may take.

#[path = "kserve/server.rs"]
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use milo_models::{
    ctc::{Ctc, CtcOptions},
    demo,
    end_of_turn::EndOfTurn,
    engine::{EngineError, Language, RemoteFault},
    espeak::Espeak,
    onnx::OrtRuntime,
    remote::RemoteOptions,
    synthesizer::{SpeechOptions, Synthesizer},
    transcriber::{Listen, Transcriber, Transcript},
    vits::{Vits, VitsOptions},
    whisper::{Whisper, WhisperOptions},
};
use serde_json::{Value, json};
use server::{Conduct, Server};
use tokio::{task::spawn_blocking, time::Instant};

/// No run of these tests may take longer, and so much more is for a machine that builds beside.
const RUN: Duration = Duration::from_secs(3);
const BESIDE: Duration = Duration::from_secs(2);
/// A server that was late or away is asked again after it.
const PAUSE: Duration = Duration::from_millis(1_100);
const KEY: &str = "key-of-a-test-0123456789";

fn crate_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn ort() -> OrtRuntime {
    OrtRuntime::load(None).expect("`make setup` fetches it")
}

fn at(server: &Server, model: &str) -> RemoteOptions {
    RemoteOptions {
        url: server.url(),
        model: model.into(),
        key: Some(KEY.into()),
        proxy: None,
        ca: None,
        connect: Duration::from_secs(2),
        first: RUN,
        between: RUN,
        parallel: 1,
        again: std::sync::Arc::default(),
    }
}

fn samples(file: &str) -> Vec<i16> {
    let wav = fs::read(crate_file(file)).expect("committed");
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// "Salama tompoko, firy ora ianareo no misokatra?"
fn salama() -> Vec<i16> {
    samples("tests/speech/salama.wav")
}

/// Words, their places, and how sure they are.
fn assert_alike(ours: &Transcript, theirs: &Transcript) {
    assert_eq!((&ours.text, ours.language), (&theirs.text, theirs.language));
    let places = |heard: &Transcript| heard.segments.iter().map(|one| (one.start_ms, one.end_ms)).collect::<Vec<_>>();
    assert_eq!(places(ours), places(theirs));
    for (ours, theirs) in [(ours.avg_logprob, theirs.avg_logprob), (ours.confidence, theirs.confidence)] {
        let far = (ours.expect("told") - theirs.expect("told")).abs();
        assert!(far < 1e-4, "{ours:?} and {theirs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whisper_hears_the_same_with_its_encoder_on_a_server() {
    for (form, in_bytes) in [("merged", true), ("split", true), ("merged", false)] {
        let folder = crate_file("tests/whisper_tiny").join(form);
        let server = Server::start(&[("encoder", &folder.join("encoder_model.onnx"))], in_bytes);
        let options = || WhisperOptions { beam: if form == "split" { 3 } else { 1 }, ..WhisperOptions::default() };
        let here = Whisper::load(&folder, &ort(), options()).unwrap();
        // Its encoder's file is not needed.
        let without = tempfile::tempdir().unwrap();
        for file in
            fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|file| file.file_name() != "encoder_model.onnx")
        {
            fs::copy(file.path(), without.path().join(file.file_name())).unwrap();
        }
        let there = Whisper::load_served(without.path(), &at(&server, "encoder:1"), &ort(), options()).unwrap();
        for sound in [samples("tests/whisper_tiny/speech.wav"), salama(), vec![0; 8_000]] {
            let asked = || Listen::to(None);
            let ours = here.transcribe(sound.clone(), asked()).await.unwrap();
            let theirs = there.transcribe(sound, asked()).await.unwrap();
            assert_alike(&theirs, &ours);
        }
        let asked = server.asked();
        assert!(asked.len() >= 3 && asked.iter().all(|asked| asked.in_bytes == in_bytes), "{asked:?}");
        assert_eq!(asked[0].path, "/v2/models/encoder/versions/1/infer");
        assert_eq!(asked[0].key.as_deref(), Some(format!("Bearer {KEY}").as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_together_are_one_request() {
    let folder = crate_file("tests/whisper_tiny/merged");
    let server = Server::start(&[("encoder", &folder.join("encoder_model.onnx"))], true);
    let options = WhisperOptions::default();
    let alone = Whisper::load(&folder, &ort(), options.clone()).unwrap();
    let there = Whisper::load_served(&folder, &at(&server, "encoder"), &ort(), options).unwrap();
    let sound = |skip: usize| salama().split_off(skip * 1_600);
    let together: Vec<_> = (0..7).map(|skip| there.transcribe(sound(skip), Listen::to(None))).collect();
    for (skip, heard) in together.into_iter().enumerate() {
        assert_alike(&heard.await.unwrap(), &alone.transcribe(sound(skip), Listen::to(None)).await.unwrap());
    }
    let asked = server.asked();
    let rows: Vec<_> = asked.iter().filter_map(|asked| asked.head["inputs"][0]["shape"][0].as_u64()).collect();
    // A sound of several windows is in line once for each.
    assert!(rows.iter().sum::<u64>() >= 7 && rows.iter().any(|rows| *rows > 1) && rows.len() < 7, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_heard_the_same_from_a_server() {
    let (masked, plain) = (crate_file("tests/ctc_tiny/masked"), crate_file("tests/ctc_tiny/plain"));
    for in_bytes in [true, false] {
        let (mg, fr) = (masked.join("model.onnx"), plain.join("model.onnx"));
        let server = Server::start(&[("mg", &mg), ("fr", &fr)], in_bytes);
        let folders = [(Language::Mg, masked.clone()), (Language::Fr, plain.clone())];
        let here = Ctc::load(&folders, &ort(), CtcOptions::default()).unwrap();
        let served = folders.map(|(language, folder)| (language, folder, at(&server, language.code())));
        let there = Ctc::load_served(&served, &ort(), CtcOptions::default()).unwrap();
        for language in [None, Some(Language::Mg), Some(Language::Fr)] {
            let asked = || Listen { words: true, ..Listen::to(language) };
            let ours = here.transcribe(salama(), asked()).await.unwrap();
            let theirs = there.transcribe(salama(), asked()).await.unwrap();
            assert_alike(&theirs, &ours);
            let words = |heard: &Transcript| format!("{:?}", heard.segments.first().map(|segment| &segment.words));
            assert_eq!(words(&theirs), words(&ours));
        }
    }
}

/// What is said of a text, sample by sample, and where its words are.
async fn said(voice: &Vits, text: &str) -> (Vec<i16>, String) {
    let mut speech = voice.speak(text, Language::Mg, SpeechOptions::default()).expect("it is asked");
    let (mut samples, mut words) = (Vec::new(), Vec::new());
    while let Some(piece) = speech.next_piece().await {
        let piece = piece.expect("spoken");
        words.push(format!("{:?}", piece.words));
        samples.extend(piece.samples);
    }
    (samples, words.join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_sounds_the_same_from_a_server() {
    let data = tempfile::tempdir().unwrap();
    let espeak = Espeak::load(&demo::unpack(data.path()).unwrap().espeak).unwrap();
    for (form, graph) in [("speaking", "model.onnx"), ("optimum", "model.onnx"), ("piper", "tiny.onnx")] {
        let folder = crate_file("tests/vits_tiny").join(form);
        // Its settings alone, and no noise: it sounds the same each time.
        let beside = tempfile::tempdir().unwrap();
        let whole = tempfile::tempdir().unwrap();
        for file in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = file.file_name();
            if name == graph {
                fs::copy(file.path(), whole.path().join(&name)).unwrap();
                continue;
            }
            let mut settings: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
            if form == "piper" {
                (settings["inference"]["noise_scale"], settings["inference"]["noise_w"]) = (json!(0.0), json!(0.0));
            }
            for folder in [&beside, &whole] {
                fs::write(folder.path().join(&name), settings.to_string()).unwrap();
            }
        }
        for in_bytes in [true, false] {
            let server = Server::start(&[("voice", &folder.join(graph))], in_bytes);
            let options = VitsOptions::default();
            let here = Vits::load(whole.path(), Language::Mg, &ort(), &espeak, options).unwrap();
            let remote = at(&server, "voice");
            let there = Vits::load_served(beside.path(), Language::Mg, &remote, &ort(), &espeak, options).unwrap();
            for text in ["salama tompoko", "misaotra, veloma"] {
                let (ours, theirs) = (said(&here, text).await, said(&there, text).await);
                let worst = ours.0.iter().zip(&theirs.0).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(u16::MAX);
                assert!(ours.0.len() == theirs.0.len() && worst <= 2, "{form}, {text:?}: {worst}");
                assert_eq!(ours.1, theirs.1, "{form}");
            }
        }
    }
    let sherpa = crate_file("tests/vits_tiny/sherpa");
    let server = Server::start(&[("voice", &sherpa.join("model.onnx"))], true);
    let (remote, options) = (at(&server, "voice"), VitsOptions::default());
    let error = Vits::load_served(&sherpa, Language::Mg, &remote, &ort(), &espeak, options).err().unwrap().to_string();
    assert!(error.contains("no server passes on the sample_rate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_are_judged_the_same_by_a_server() {
    let graph = crate_file("tests/turn_tiny/turn.onnx");
    for in_bytes in [true, false] {
        let server = Server::start(&[("turn", &graph)], in_bytes);
        let (here, there) =
            (EndOfTurn::load(&graph, &ort()).unwrap(), EndOfTurn::load_served(&at(&server, "turn")).unwrap());
        for turn in [Vec::new(), salama(), salama().repeat(4)] {
            let (ours, theirs) = (here.judge(turn.clone()).await.unwrap(), there.judge(turn).await.unwrap());
            assert!((ours - theirs).abs() < 1e-5, "{ours} and {theirs}");
        }
    }
}

#[test]
fn a_start_tells_what_is_wrong_with_a_model_or_that_nobody_is_there() {
    let graph = crate_file("tests/turn_tiny/turn.onnx");
    let mut server = Server::start(&[("turn", &graph)], false);
    let load = |server: &Server, model: &str| EndOfTurn::load_served(&at(server, model)).err();
    let outlet =
        |name: &str, datatype: &str, shape: Value| json!({ "name": name, "datatype": datatype, "shape": shape });
    let given = || outlet("probability", "FP32", json!([-1, 1]));
    let describes = |server: &Server, inputs: Value, outputs: Value| {
        server.describes(Some(json!({ "name": "turn", "versions": ["1"], "inputs": inputs, "outputs": outputs })));
        load(server, "turn").unwrap()
    };
    let unknown = load(&server, "nobody").unwrap();
    assert!(matches!(unknown, EngineError::Load(_)), "{unknown:?}");
    let says = unknown.to_string();
    for part in ["127.0.0.1:", "(404): \"Request for unknown model: 'nobody' is not found\"", "correct the name"] {
        assert!(says.contains(part), "{says}");
    }
    for (inputs, outputs, part) in [
        (json!([outlet("x", "INT8", json!([-1, 80, 800]))]), json!([given()]), "wants `x` as i8 and not as f32 or f16"),
        (json!([outlet("x", "BYTES", json!([1]))]), json!([given()]), "wants `x` as String"),
        (json!([outlet("x", "FP32", json!([-1, 81, 800]))]), json!([given()]), "of shape [-1, 81, 800]"),
        (json!([]), json!([given()]), "more than one input and one output"),
        (
            json!([outlet("x", "FP32", json!([-1, 80, 800]))]),
            json!([outlet("y", "INT64", json!([1]))]),
            "gives `y` as i64",
        ),
        (
            json!([outlet("x", "FP16", json!([-1, 80, 800]))]),
            json!([given()]),
            "`x` as FP16, which JSON does not carry",
        ),
    ] {
        let error = describes(&server, inputs, outputs);
        let says = error.to_string();
        assert!(matches!(error, EngineError::Load(_)) && says.contains(part), "{says}");
        assert!(says.contains("the model `turn` at 127.0.0.1:") && !says.contains('\n'), "{says}");
    }
    server.describes(Some(json!({ "inputs": 3 })));
    let away = |error: EngineError, kind: RemoteFault, part: &str| {
        let says = error.to_string();
        assert!(matches!(error, EngineError::Remote { fault, .. } if fault == kind) && says.contains(part), "{says}");
    };
    away(load(&server, "turn").unwrap(), RemoteFault::Broken, "none of KServe's protocol");
    server.describes(None);
    server.is_ready(false);
    away(load(&server, "turn").unwrap(), RemoteFault::Busy, "is not ready yet");
    server.is_ready(true);
    server.go();
    away(load(&server, "turn").unwrap(), RemoteFault::Down, "refused");
    server.come();
    assert!(load(&server, "turn").is_none(), "it is there again");
}

#[test]
fn a_whisper_is_told_what_its_encoder_lacks() {
    let folder = crate_file("tests/whisper_tiny/merged");
    let server = Server::start(&[("encoder", &crate_file("tests/turn_tiny/turn.onnx"))], true);
    let load = || Whisper::load_served(&folder, &at(&server, "encoder"), &ort(), WhisperOptions::default());
    let says = load().err().unwrap().to_string();
    assert!(says.contains("the model `encoder` at") && says.contains("it is no Whisper encoder"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_run_is_told_in_time_and_the_next_one_may_succeed() {
    let graph = crate_file("tests/turn_tiny/turn.onnx");
    for in_bytes in [true, false] {
        let server = Server::start(&[("turn", &graph)], in_bytes);
        let remote = at(&server, "turn");
        let judge = spawn_blocking(move || EndOfTurn::load_served(&remote).unwrap()).await.unwrap();
        let right = judge.judge(salama()).await.unwrap();
        for (conduct, kind, part) in [
            (Conduct::Refuses(404, "no such model"), Some(RemoteFault::Refused), "\"no such model\""),
            (Conduct::Refuses(400, "unexpected shape"), Some(RemoteFault::Unfit), "\"unexpected shape\""),
            (Conduct::Refuses(500, "CUDA out of memory"), Some(RemoteFault::Failed), "\"CUDA out of memory\""),
            (Conduct::Refuses(500, KEY), Some(RemoteFault::Failed), "***"),
            (Conduct::Refuses(401, "who?"), Some(RemoteFault::Refused), "does not take the key (401)"),
            (Conduct::Says("<html>"), Some(RemoteFault::Broken), "none of KServe's protocol"),
            (Conduct::Says("{\"outputs\":[]}"), Some(RemoteFault::Broken), "gives no `"),
            (Conduct::Half, Some(RemoteFault::Broken), "broke off"),
            (Conduct::Drips, Some(RemoteFault::Late), "in time"),
            (Conduct::Short, Some(RemoteFault::Broken), "gives 0 numbers"),
            (Conduct::NoNumbers, None, ""),
            (Conduct::Hangs, Some(RemoteFault::Late), "in time"),
        ] {
            server.now(conduct);
            let began = Instant::now();
            let error = judge.judge(salama()).await.unwrap_err();
            let says = error.to_string();
            match (&error, kind) {
                (EngineError::Remote { fault, .. }, Some(kind)) => assert_eq!(*fault, kind, "{conduct:?}: {says}"),
                // JSON knows no such number, and bytes do.
                (EngineError::Remote { fault: RemoteFault::Broken, .. }, None) if !in_bytes => {}
                (EngineError::Failed { .. }, None) => assert!(says.contains("not one probability"), "{says}"),
                _ => panic!("{conduct:?}: {error:?}"),
            }
            assert!(says.contains(part) && !says.contains(KEY), "{conduct:?}: {says}");
            assert!(began.elapsed() < RUN + BESIDE, "{conduct:?}: {:?}", began.elapsed());
            server.now(Conduct::Right);
            // Those behind one that waited in vain are not made to wait as well.
            tokio::time::sleep(PAUSE).await;
            assert!((judge.judge(salama()).await.unwrap() - right).abs() < 1e-5, "after {conduct:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_of_another_width_or_of_no_numbers_is_no_transcript() {
    let folder = crate_file("tests/whisper_tiny/merged");
    let server = Server::start(&[("encoder", &folder.join("encoder_model.onnx"))], true);
    let ears = Whisper::load_served(&folder, &at(&server, "encoder"), &ort(), WhisperOptions::default()).unwrap();
    for conduct in [Conduct::Narrow, Conduct::NoNumbers, Conduct::Short] {
        server.now(conduct);
        let error = ears.transcribe(salama(), Listen::to(None)).await.unwrap_err();
        let is_told =
            matches!(error, EngineError::Failed { .. } | EngineError::Remote { fault: RemoteFault::Broken, .. });
        assert!(is_told, "{conduct:?}: {error:?}");
        server.now(Conduct::Right);
        assert!(ears.transcribe(salama(), Listen::to(None)).await.is_ok(), "after {conduct:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_behind_a_run_that_was_too_late_hears_so_at_once() {
    let graph = crate_file("tests/turn_tiny/turn.onnx");
    let mut server = Server::start(&[("turn", &graph)], true);
    let remote = at(&server, "turn");
    let judge = spawn_blocking(move || EndOfTurn::load_served(&remote).unwrap()).await.unwrap();
    server.now(Conduct::Hangs);
    let began = Instant::now();
    let waiting: Vec<_> = (0..5).map(|_| judge.judge(salama())).collect();
    for judged in waiting {
        assert!(matches!(judged.await, Err(EngineError::Remote { fault: RemoteFault::Late, .. })));
    }
    assert!(began.elapsed() < 2 * RUN, "{:?}", began.elapsed());
    // It dies while it is asked, and is there again: nobody loads anything anew.
    server.now(Conduct::Right);
    tokio::time::sleep(PAUSE).await;
    server.go();
    let error = judge.judge(salama()).await.unwrap_err();
    assert!(matches!(error, EngineError::Remote { fault: RemoteFault::Down | RemoteFault::Broken, .. }), "{error:?}");
    server.come();
    tokio::time::sleep(PAUSE).await;
    assert!(judge.judge(salama()).await.is_ok());
}
