//! `milo bench voice`: what a voice on ONNX Runtime takes until its first sound, and for all of it, with nothing else in the process.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use milo_media::SAMPLE_RATE;
use milo_models::{
    demo,
    engine::Language,
    espeak::Espeak,
    onnx::OrtRuntime,
    synthesizer::{SpeechOptions, Synthesizer},
    vits::{Vits, VitsOptions},
};
use serde_json::json;

use super::{caller::now, percentile};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a voice, or its graph.
    #[arg(long)]
    path: PathBuf,
    /// What it says.
    #[arg(
        long,
        default_value = "Salama tompoko, tongasoa eto aminay. Misokatra amin'ny valo maraina ny birao. Misaotra betsaka."
    )]
    text: String,
    /// Threads that compute.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often all of it is measured; the medians are told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// As one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(Arguments { path, text, threads, rounds, json }: Arguments) -> Result<()> {
    ensure!(rounds > 0, "--rounds begins at 1");
    let open = move || {
        let folder = tempfile::tempdir()?;
        let espeak = Espeak::load(&demo::unpack(folder.path())?.espeak)?;
        let options = VitsOptions { threads, ..VitsOptions::default() };
        let voice = Vits::load(&path, Language::Mg, &OrtRuntime::load(None)?, &espeak, options)?;
        anyhow::Ok((voice, folder))
    };
    let (voice, _folder) = tokio::task::spawn_blocking(open).await??;
    let (mut first, mut whole, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let began = now();
        let mut speech = voice.speak(&text, Language::Mg, SpeechOptions::default())?;
        let (mut heard, mut samples) = (None, 0);
        while let Some(piece) = speech.next().await {
            samples += piece?.len();
            heard.get_or_insert_with(|| began.elapsed());
        }
        // What is read from disk and allocated for the first time is not measured.
        if round > 0 {
            first.push(heard.context("nothing is heard")?.as_secs_f64() * 1e3);
            whole.push(began.elapsed().as_secs_f64());
            seconds.push(samples as f64 / f64::from(SAMPLE_RATE));
        }
    }
    let [first, whole, seconds] = [&mut first, &mut whole, &mut seconds].map(|all| percentile(all, 0.5));
    let (Some(first), Some(whole), Some(seconds)) = (first, whole, seconds) else {
        anyhow::bail!("nothing was measured");
    };
    if json {
        println!("{}", json!({ "first_ms": first, "whole_s": whole, "sound_s": seconds }));
    } else {
        println!(
            "{first:.0} ms to the first sound; {seconds:.2} s of sound in {whole:.2} s, {:.3} of its own length",
            whole / seconds
        );
    }
    Ok(())
}
