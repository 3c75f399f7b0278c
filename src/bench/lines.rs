//! `milo bench lines`: what bad lines cost the transcriber.
//!
//! Sentences in voices that the shipped ears never met are packed as a leg sends them, impaired, and played through a leg's
//! receiver, all in virtual time; the shipped transcriber writes down what came out.

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};
use milo_media::{
    Codec, FRAME_MS, Frame, LegOptions, LegStats, SAMPLE_RATE, Session,
    replay::{Impairment, replay},
};
use milo_models::transcriber::{Listen, Transcriber as _};

use super::clean::{Engines, Voices, words::Errors};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls a row, one sentence each.
    #[arg(long, default_value_t = 80)]
    calls: usize,
    /// Codecs of the line.
    #[arg(long, value_delimiter = ',', default_value = "PCMU")]
    codecs: Vec<String>,
}

/// Callers there are: forty sentences, in eight voices each.
const MOST: usize = 320;

/// A line that does nothing.
const CLEAN: Impairment = Impairment { loss: 0.0, burst: 1.0, jitter_ms: 0.0, drift_ppm: 0.0, seed: 0 };

/// Each line, and what it is called.
const LINES: &[(&str, Impairment)] = &[
    ("clean", CLEAN),
    ("loss 1 %", Impairment { loss: 0.01, ..CLEAN }),
    ("loss 5 %", Impairment { loss: 0.05, ..CLEAN }),
    ("loss 10 %", Impairment { loss: 0.1, ..CLEAN }),
    ("loss 20 %", Impairment { loss: 0.2, ..CLEAN }),
    ("loss 5 % in rows of 3", Impairment { loss: 0.05, burst: 3.0, ..CLEAN }),
    ("loss 10 % in rows of 3", Impairment { loss: 0.1, burst: 3.0, ..CLEAN }),
    ("jitter 60 ms", Impairment { jitter_ms: 60.0, ..CLEAN }),
    ("drift +100 ppm", Impairment { drift_ppm: 100.0, ..CLEAN }),
    ("drift -100 ppm", Impairment { drift_ppm: -100.0, ..CLEAN }),
    ("jitter 60 ms, loss 5 %", Impairment { loss: 0.05, jitter_ms: 60.0, ..CLEAN }),
];

pub(super) async fn run(Arguments { calls, codecs }: Arguments) -> Result<()> {
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    ensure!((1..=MOST).contains(&calls), "--calls {calls}: there are 1 to {MOST} callers");
    let engines = Engines::load(&folder)?;
    let callers: Vec<_> = Voices::make(&engines.voice, calls).await?.callers.into_iter().map(with_silence).collect();
    println!("| codec | line | WER | lost | concealed | recovered |");
    println!("|---|---|---|---|---|---|");
    for name in &codecs {
        let codec = Codec::named(name).with_context(|| format!("--codecs {name:?}: Milo does not speak it"))?;
        let session = Session { in_band_fec: true, ..Session::new(([127, 0, 0, 1], 4000).into(), codec) };
        for (line, impairment) in LINES {
            let (mut errors, mut sum) = (Errors::default(), LegStats::default());
            for (call, (text, frames)) in callers.iter().enumerate() {
                let impairment = Impairment { seed: call as u64 + 1, ..*impairment };
                let arriving = impairment.carry(&session, frames);
                let length = FRAME_MS * u32::try_from(frames.len() + 10)?;
                let heard = replay(&session, &LegOptions::default(), &arriving, Duration::from_millis(length.into()));
                errors.add(text, &engines.transcriber.transcribe(heard.samples(), Listen::to(None)).await?.text);
                sum.received += heard.stats.received;
                sum.lost += heard.stats.lost;
                sum.concealed += heard.stats.concealed;
                sum.recovered += heard.stats.recovered;
            }
            let share = |count: u64| 100.0 * count as f64 / (sum.received + sum.lost).max(1) as f64;
            println!(
                "| {} | {line} | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
                codec.name,
                errors.rate(),
                share(sum.lost),
                share(sum.concealed),
                share(sum.recovered)
            );
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A sentence with the silence around it that a turn has.
fn with_silence((text, speech): (&'static str, Vec<i16>)) -> (&'static str, Vec<Frame>) {
    let silence = |share: usize| std::iter::repeat_n(0, SAMPLE_RATE as usize / share);
    let samples: Vec<i16> = silence(3).chain(speech).chain(silence(5)).collect();
    (text, Frame::cut(&samples).collect())
}
