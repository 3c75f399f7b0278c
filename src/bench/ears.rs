//! `milo bench ears`: what the transcriber takes for a window of sound and for each token, with nothing else in the process.
//!
//! How long a transcript is must be the bench's to say. So the model is one of random weights that says another word at each place and has
//! no end (`models/benchmarks/peers.py` makes them): it says as many as its config.json has room for. It is opened twice, with room for
//! few tokens and for many. What lies between the two is the tokens'; what is left of the shorter one is the sound's.

use std::{fs, os::unix::fs::symlink, path::Path, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use milo_media::SAMPLE_RATE;
use milo_models::{
    engine::Language,
    onnx::{OrtRuntime, Precision},
    transcriber::{Listen, Transcriber},
    whisper::{Whisper, WhisperOptions},
};
use serde_json::{Value, json};

use super::{caller::now, percentile};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a Whisper that has no end, one word a token.
    #[arg(long)]
    path: PathBuf,
    /// Tokens of each transcript beyond the first few.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Utterances at once.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Threads that compute.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often all of it is measured; the medians are told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The fp32 graphs, where the folder has both.
    #[arg(long)]
    full: bool,
    /// As one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Tokens of the short transcripts.
const FEW: usize = 4;
/// What stands before a transcript: its start, its language, its task, and that there are no time stamps.
const PROMPT: usize = 4;
const SECONDS: usize = 29;

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { path, tokens, batch, threads, rounds, full, json } = arguments;
    ensure!(tokens > 0 && batch > 0 && rounds > 0, "--tokens, --batch and --rounds begin at 1");
    let precision = if full { Precision::Full } else { Precision::Quantized };
    let options = WhisperOptions { threads, precision, batch, queue: batch, ..WhisperOptions::default() };
    let open = move || {
        let ort = OrtRuntime::load(None)?;
        let load = |tokens| -> Result<(Whisper, usize)> {
            let folder = with_room_for(&path, tokens)?;
            Ok((Whisper::load(folder.path(), &ort, options.clone())?, tokens))
        };
        anyhow::Ok([load(FEW)?, load(FEW + tokens)?])
    };
    let [few, many] = tokio::task::spawn_blocking(open).await??;
    let clips: Vec<_> = (0..batch).map(|seed| sound(seed as u32)).collect();
    let (mut window, mut token) = (Vec::new(), Vec::new());
    // What is read from disk and allocated for the first time is not measured.
    for round in 0..=rounds {
        let (short, long) = (hear(&few, &clips).await?, hear(&many, &clips).await?);
        let each = (long - short) / (tokens * batch) as f64;
        if round > 0 {
            window.push(short / batch as f64 - each * FEW as f64);
            token.push(each);
        }
    }
    let (window, token) = percentile(&mut window, 0.5).zip(percentile(&mut token, 0.5)).context("nothing measured")?;
    if json {
        println!("{}", json!({ "window_s": window, "token_ms": token * 1e3 }));
    } else {
        println!(
            "{batch} at once: {window:.3} s a window of sound (its features and the encoder), {:.2} ms a token",
            token * 1e3
        );
    }
    Ok(())
}

/// The same model, as one that has room for so many tokens.
fn with_room_for(model: &Path, tokens: usize) -> Result<tempfile::TempDir> {
    let view = tempfile::tempdir()?;
    let files = fs::read_dir(model).with_context(|| model.display().to_string())?;
    for file in files {
        let file = file?;
        // The list of checksums is left out: config.json becomes another.
        if file.file_name() != "config.json" && file.file_name() != "manifest.toml" {
            symlink(file.path().canonicalize()?, view.path().join(file.file_name()))?;
        }
    }
    let file = model.join("config.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut config: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    let Some(room) = config.get_mut("max_target_positions") else {
        bail!("{} has no max_target_positions: it is of no Whisper", file.display());
    };
    ensure!(
        room.as_u64().is_some_and(|room| room >= (PROMPT + tokens) as u64),
        "{}: a transcript of {tokens} tokens is longer than its max_target_positions ({room}) allow",
        file.display()
    );
    *room = (PROMPT + tokens).into();
    fs::write(view.path().join("config.json"), config.to_string())?;
    Ok(view)
}

/// Seconds until all are heard.
async fn hear((whisper, tokens): &(Whisper, usize), clips: &[Vec<i16>]) -> Result<f64> {
    let clips = clips.to_vec();
    let began = now();
    let heard: Vec<_> =
        clips.into_iter().map(|clip| whisper.transcribe(clip, Listen::to(Some(Language::Mg)))).collect();
    for heard in heard {
        let words = heard.await?.text.split_whitespace().count();
        ensure!(words == *tokens, "{words} words came of {tokens} tokens: models/benchmarks/peers.py makes the model");
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Noise, another for each seed: what is in it is nothing to such a model.
fn sound(seed: u32) -> Vec<i16> {
    let mut chance = seed;
    let mut next = || {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((chance >> 16) as i32 - 32_768) / 16
    };
    (0..SECONDS * SAMPLE_RATE as usize).map(|_| next() as i16).collect()
}
