//! Engines that ship, on a device that has room for one step at a time.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use tokio::task::JoinSet;

use super::*;
use crate::{
    engine::Language,
    language_model::{ChatMessage, ChatRequest, LanguageModel, Role},
    llama::{Llama, LlamaOptions},
    onnx::OrtRuntime,
    transcriber::{Listen, Transcriber},
    translator::{Translator, TranslatorOptions},
    whisper::{Whisper, WhisperOptions},
};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn speech() -> Vec<i16> {
    let wav = fs::read(shipped("tests/speech/salama.wav")).expect("committed");
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn request(said: String, max_tokens: usize, class: Class) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::new(Role::User, said)],
        max_tokens,
        temperature: 0.0,
        seed: 1,
        grammar: None,
        tools: Arc::default(),
        class,
        wanted: if class == Class::Speculative { Wanted::perhaps() } else { Wanted::default() },
    }
}

/// Replies that are begun on a guess, one after the other, until somebody says that it is enough: each reads long.
async fn guess(mind: &Llama, is_enough: &Cell<bool>) {
    for number in 0.. {
        let said = format!("{number} {}", "firy ora no misokatra ny birao ".repeat(12));
        let mut reply = mind.reply(request(said, 2, Class::Speculative)).expect("there is room");
        while let Some(told) = reply.next().await {
            told.expect("no fault");
        }
        if is_enough.get() {
            return;
        }
    }
}

#[tokio::test]
async fn a_call_waits_for_the_pass_that_runs_and_for_no_other_that_is_made_on_a_guess() {
    let share = Arc::new(Share::whole(1));
    let speech = speech();
    let ort = OrtRuntime::load(None).expect("`make setup` fetches it").sharing(Some(Arc::clone(&share)));
    let ears = Whisper::load(&shipped("demo/ears"), &ort, WhisperOptions::default()).expect("it ships");
    let alone = ears.transcribe(speech.clone(), Listen::default()).await.expect("it is heard");
    assert_eq!(ears.work().classes[Class::Call as usize].device, Duration::ZERO, "nobody else computes");

    let minds = [(); 2].map(|()| {
        let options = LlamaOptions::default();
        Llama::start(&shipped("demo/mind/mind.gguf"), options, Arc::clone(&share)).expect("it ships")
    });
    let is_enough = Cell::new(false);
    let call = async {
        while minds.iter().any(|mind| mind.decode_steps() < 10) {
            tokio::task::yield_now().await;
        }
        let heard = ears.transcribe(speech, Listen::default()).await.expect("it is heard");
        assert_eq!(heard.text, alone.text);
        // A step of a call's own, again and again: both minds want the device meanwhile, and one has it.
        let step = Arc::<Step>::default();
        step.begins([Standing::default()].iter());
        let seat = share.seat(&step, 1);
        let mut between: Vec<u64> = Vec::new();
        for _ in 0..41 {
            let before = share.turns() + 1;
            let turn = seat.turn();
            between.push(share.turns() - before);
            drop(turn);
            // The minds come to the device again.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        is_enough.set(true);
        between.sort_unstable();
        // One that began between the look and the wait may be among them.
        assert_eq!(between[30], 0, "{between:?} passes began while a call waited");
    };
    tokio::join!(guess(&minds[0], &is_enough), guess(&minds[1], &is_enough), call);
    let waits = minds.map(|mind| mind.work().classes[Class::Speculative as usize].device);
    assert!(waits.iter().all(|wait| *wait > Duration::from_millis(5)), "{waits:?}");
    assert!(ears.work().classes[Class::Call as usize].device > Duration::ZERO, "what ran was waited for");
}

/// Turns of one caller, or guesses, until then: how long each turn took, in milliseconds.
async fn talk(
    (ears, mind, translator): (Whisper, Llama, Translator),
    class: Class,
    seed: u64,
    end: Instant,
) -> Vec<f64> {
    let mut ms = Vec::new();
    tokio::time::sleep(Duration::from_millis(seed * 7)).await;
    while now() < end {
        let begun = now();
        let asked = Listen { class, ..Listen::default() };
        let heard = ears.transcribe(speech(), asked).await.expect("it is heard");
        let mut reply = mind.reply(request(heard.text, 40, class)).expect("there is room");
        while let Some(told) = reply.next().await {
            told.expect("no fault");
        }
        let text = translator.translate("Te hanova ny fotoana aho.", Language::Mg, Language::Fr, class);
        text.await.expect("it is translated");
        if class == Class::Call {
            ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(200 + 31 * seed % 300)).await;
    }
    ms
}

/// What a turn takes while guesses are made beside it, on a processor that is shared in each way:
/// `cargo test -p milo-models --release measures_what_a_call_waits -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measure"]
async fn measures_what_a_call_waits_for_the_processor() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    type Way = (&'static str, fn(usize) -> Share);
    let ways: [Way; 3] = [
        ("no turns", |_| Share::whole(1_000)),
        ("a call waits for nobody", Share::preempting),
        ("all wait", Share::whole),
    ];
    for round in 0..6 {
        for (name, way) in ways {
            let share = Arc::new(way(cores));
            let ort = OrtRuntime::load(None).expect("`make setup` fetches it").sharing(Some(Arc::clone(&share)));
            let ears = Whisper::load(&shipped("demo/ears"), &ort, WhisperOptions::default()).expect("it ships");
            let mind = Llama::start(&shipped("demo/mind/mind.gguf"), LlamaOptions::default(), share).expect("it ships");
            let options = TranslatorOptions { by_clause: true, ..TranslatorOptions::default() };
            let translator = Translator::load(&shipped("demo/translator"), &ort, options).expect("it ships");
            let engines = (ears, mind, translator);
            for guesses in [0, 12] {
                let end = now() + Duration::from_secs(10);
                let mut turns = JoinSet::new();
                (0..8).for_each(|at| drop(turns.spawn(talk(engines.clone(), Class::Call, at, end))));
                (0..guesses).for_each(|at| drop(turns.spawn(talk(engines.clone(), Class::Speculative, at, end))));
                let mut ms = Vec::new();
                while let Some(took) = turns.join_next().await {
                    ms.extend(took.expect("no panic"));
                }
                ms.sort_by(f64::total_cmp);
                let (count, at) = (ms.len(), |part: f64| ms[(ms.len() as f64 * part) as usize]);
                println!(
                    "{round} | {name} | {guesses} guesses | {count} | p50 {:.1} | p95 {:.1} ms",
                    at(0.5),
                    at(0.95)
                );
            }
        }
    }
}
