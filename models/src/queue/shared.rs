//! Engines that ship, on a device that has room for one step at a time.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    language_model::{ChatMessage, ChatRequest, LanguageModel, Role},
    llama::{Llama, LlamaOptions},
    onnx::OrtRuntime,
    transcriber::{Listen, Transcriber},
    whisper::{Whisper, WhisperOptions},
};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Replies that are begun on a guess, one after the other, until somebody says that it is enough: each reads long.
async fn guess(mind: &Llama, is_enough: &Cell<bool>) {
    for number in 0.. {
        let request = ChatRequest {
            messages: vec![ChatMessage::new(
                Role::User,
                format!("{number} {}", "firy ora no misokatra ny birao ".repeat(12)),
            )],
            max_tokens: 2,
            temperature: 0.0,
            seed: 1,
            grammar: None,
            tools: Arc::default(),
            class: Class::Speculative,
            wanted: Wanted::perhaps(),
        };
        let mut reply = mind.reply(request).expect("there is room");
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
    let wav = fs::read(shipped("tests/speech/salama.wav")).expect("committed");
    let speech: Vec<i16> = wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
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
