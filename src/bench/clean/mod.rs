//! `milo bench clean`: what each cleaner does for the transcriber and against false interruptions, and what it costs.
//!
//! Calls are simulated sample by sample, faster than they would last: the shipped voice greets, a synthetic caller speaks into
//! it from a noisy place over G.711, and the agent's own voice activity, endpointing and transcriber decide what was heard.

mod call;
mod line;
mod sentences;
pub(super) mod words;

use std::{env, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use milo_media::{Cleaning, Echoes, Noise};
use milo_models::{
    demo,
    engine::Language,
    espeak::Espeak,
    onnx::OrtRuntime,
    silero::VoiceActivity,
    synthesizer::{SpeechOptions, Synthesizer},
    text::speakable,
    transcriber::{Listen, Transcriber},
    whisper::{Whisper, WhisperOptions},
};

use super::percentile;
use crate::{
    agent::{Patience, Phrase},
    dialplan::Dialplans,
};
use call::Script;
use line::{CALLER_DBFS, CallersLine, Return, Surroundings};
use sentences::{SENTENCES, VOICES};
use words::Errors;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls a row.
    #[arg(long, default_value_t = 40)]
    calls: usize,
    /// Only the conditions whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Cleaners to try in every condition (off, or echo, noise, gain and high_pass joined by +), instead of those that the
    /// condition calls for.
    #[arg(long, value_delimiter = ',', value_name = "CLEANERS")]
    cleaners: Vec<String>,
}

/// What the calls of some rows have in common.
struct Condition {
    name: &'static str,
    surroundings: Surroundings,
    snr_db: f32,
    /// Level of the caller's speech against [`CALLER_DBFS`] (dB).
    caller_db: f32,
    /// Whether Milo speaks when the caller begins.
    milo: bool,
    /// How loud Milo's voice comes back (dB); each call has a delay of its own between 60 and 200 ms, and a line or a room.
    back_db: Option<f32>,
    /// Milo speaks in sentences with pauses between them, in which the way back changes its length.
    moves: bool,
    /// The cleaners that should help here, or must not harm.
    cleaners: &'static [&'static str],
}

const QUIET: Condition = Condition {
    name: "",
    surroundings: Surroundings::Quiet,
    snr_db: 60.0,
    caller_db: 0.0,
    milo: false,
    back_db: None,
    moves: false,
    cleaners: &["off", "noise", "high_pass"],
};

const CONDITIONS: &[Condition] = &[
    Condition { name: "clean line", cleaners: &["off", "noise", "gain", "high_pass"], ..QUIET },
    Condition { name: "car, 15 dB", surroundings: Surroundings::Car, snr_db: 15.0, ..QUIET },
    Condition { name: "car, 5 dB", surroundings: Surroundings::Car, snr_db: 5.0, ..QUIET },
    Condition { name: "hiss, 15 dB", surroundings: Surroundings::Hiss, snr_db: 15.0, ..QUIET },
    Condition { name: "voices, 20 dB", surroundings: Surroundings::Voices, snr_db: 20.0, ..QUIET },
    Condition {
        name: "hum, 0 dB",
        surroundings: Surroundings::Hum,
        snr_db: 0.0,
        cleaners: &["off", "high_pass"],
        ..QUIET
    },
    Condition { name: "caller 20 dB too quiet", caller_db: -20.0, cleaners: &["off", "gain"], ..QUIET },
    Condition { name: "caller 15 dB too loud", caller_db: 15.0, cleaners: &["off", "gain"], ..QUIET },
    Condition { name: "barge-in, no echo", milo: true, cleaners: &["off", "echo", "echo+high_pass"], ..QUIET },
    Condition {
        name: "barge-in, echo -30 dB",
        milo: true,
        back_db: Some(-30.0),
        cleaners: &["off", "echo", "echo+high_pass"],
        ..QUIET
    },
    Condition {
        name: "barge-in, echo -20 dB",
        milo: true,
        back_db: Some(-20.0),
        cleaners: &["off", "echo", "echo+noise", "echo+gain", "echo+high_pass"],
        ..QUIET
    },
    Condition {
        name: "barge-in, echo -20 dB that moves",
        milo: true,
        back_db: Some(-20.0),
        moves: true,
        cleaners: &["off", "echo", "echo+high_pass"],
        ..QUIET
    },
    Condition {
        name: "barge-in, echo -10 dB",
        milo: true,
        back_db: Some(-10.0),
        cleaners: &["off", "echo", "echo+high_pass"],
        ..QUIET
    },
    Condition {
        name: "barge-in, echo -20 dB, car 15 dB",
        surroundings: Surroundings::Car,
        snr_db: 15.0,
        milo: true,
        back_db: Some(-20.0),
        cleaners: &["off", "echo", "echo+noise"],
        ..QUIET
    },
    Condition {
        name: "barge-in, car 5 dB",
        surroundings: Surroundings::Car,
        snr_db: 5.0,
        milo: true,
        cleaners: &["off", "noise"],
        ..QUIET
    },
];

/// What is tried on a mixed set of calls, in which each condition comes as often as another: nothing, what is on by default,
/// and that without or with one cleaner more or less.
const MIXED: (&str, &[&str]) = (
    "all of these, mixed",
    &["off", "high_pass", "echo", "echo+high_pass", "echo+high_pass+noise", "echo+high_pass+gain"],
);

/// The same, while Milo speaks on until the caller does: what each does to the words alone, since an agent that has fallen silent for
/// its own echo has none over them.
const SPEAKING_ON: (&str, &[&str]) =
    ("all of these, mixed, speaking on", &["off", "high_pass", "echo", "echo+high_pass", "echo+high_pass+noise"]);

/// Samples between two sentences of Milo's: a second and a half.
const PAUSE: usize = 24_000;

/// As the assistant waits by default where no sound tells that a turn is over.
const PATIENCE: Patience = Patience {
    onset: Duration::from_millis(64),
    confirm: Duration::from_millis(160),
    likely: Duration::from_millis(200),
    sure: Duration::from_millis(400),
    end: Duration::from_millis(400),
    pause: Duration::from_millis(400),
    longest: Duration::from_secs(20),
};

pub(super) async fn run(Arguments { calls, only, cleaners }: Arguments) -> Result<()> {
    let folder = env::temp_dir().join(format!("milo-bench-{}", std::process::id()));
    let engines = Engines::load(&folder)?;
    let voices = Voices::make(&engines.voice, calls.clamp(1, SENTENCES.len() * VOICES.len())).await?;
    println!(
        "| condition | cleaners | WER | interrupted by nobody | pauses for nobody a minute | callers not noticed | noticed after p50 | cost a frame |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for condition in CONDITIONS.iter().filter(|condition| condition.name.contains(&only)) {
        let asked: Vec<&str> = cleaners.iter().map(String::as_str).collect();
        for cleaners in if asked.is_empty() { condition.cleaners } else { &asked } {
            let row = Row::measure((&[condition], false), cleaning(cleaners)?, &engines, &voices).await?;
            println!("| {} | {cleaners} {}", condition.name, row.text());
        }
    }
    for ((name, mixed), speaks_on) in [(MIXED, false), (SPEAKING_ON, true)] {
        if !name.contains(&only) {
            continue;
        }
        let conditions: Vec<_> = CONDITIONS.iter().collect();
        let asked: Vec<&str> = cleaners.iter().map(String::as_str).collect();
        for cleaners in if asked.is_empty() { mixed } else { &asked } {
            let row = Row::measure((&conditions, speaks_on), cleaning(cleaners)?, &engines, &voices).await?;
            println!("| {name} | {cleaners} {}", row.text());
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// `echo+noise` and the like.
fn cleaning(names: &str) -> Result<Cleaning> {
    let mut cleaning = Cleaning::default();
    for name in names.split('+') {
        match name {
            "off" => {}
            "echo" => cleaning.echo = true,
            "noise" => cleaning.noise = true,
            "gain" => cleaning.gain = true,
            "high_pass" => cleaning.high_pass = true,
            _ => bail!("--cleaners {name:?}: it is off, or echo, noise, gain and high_pass joined by +"),
        }
    }
    Ok(cleaning)
}

/// The engines that a simulated call needs.
pub(super) struct Engines {
    activity: VoiceActivity,
    pub(super) transcriber: Whisper,
    pub(super) voice: Espeak,
}

impl Engines {
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let ort = OrtRuntime::load(None)?;
        let shipped = demo::unpack(folder)?;
        Ok(Self {
            activity: VoiceActivity::load(&shipped.silero, &ort)?,
            transcriber: Whisper::load(&shipped.whisper, &ort, WhisperOptions::default())?,
            voice: Espeak::load(&shipped.espeak)?,
        })
    }
}

/// What is said in the calls.
pub(super) struct Voices {
    milo: Vec<i16>,
    /// The same, three times, with pauses between the sentences.
    sentences: Vec<i16>,
    pub(super) callers: Vec<(&'static str, Vec<i16>)>,
}

impl Voices {
    /// So many callers, each with another sentence and voice than the last.
    pub(super) async fn make(voice: &Espeak, calls: usize) -> Result<Self> {
        let dialplans = Dialplans::shipped()?;
        let (_, persona) = dialplans.personas().next().context("the shipped dialplan has no persona")?;
        let (mut milo, mut sentences) = (Vec::new(), Vec::new());
        for phrase in [Phrase::Greeting, Phrase::Apology, Phrase::NotUnderstood] {
            let text = persona.phrase(phrase, Language::Mg);
            let said = spoken(voice, text, Language::Mg, SpeechOptions::default()).await?;
            milo.extend(&said);
            sentences.extend(said);
            sentences.extend([0; PAUSE]);
        }
        let sentences = sentences.repeat(3);
        let mut callers = Vec::with_capacity(calls);
        for call in 0..calls {
            let (language, text) = SENTENCES[call % SENTENCES.len()];
            let variant = VOICES[(call + call / SENTENCES.len()) % VOICES.len()].to_owned();
            let options = SpeechOptions {
                variant: Some(variant),
                speed: 130 + 10 * (call % 5) as u16,
                ..SpeechOptions::default()
            };
            let mut sound = spoken(voice, text, language, options).await?;
            level(&mut sound, CALLER_DBFS);
            callers.push((text, sound));
        }
        Ok(Self { milo, sentences, callers })
    }
}

async fn spoken(voice: &Espeak, text: &str, language: Language, options: SpeechOptions) -> Result<Vec<i16>> {
    let mut speech = voice.speak(&speakable(text, language), language, options)?;
    let mut samples = Vec::new();
    while let Some(piece) = speech.next().await {
        samples.extend(piece?);
    }
    Ok(samples)
}

/// Makes a sound as loud as told (root mean square, dBFS).
fn level(sound: &mut [i16], dbfs: f32) {
    let power = sound.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / sound.len().max(1) as f32;
    let factor = 32_768.0 * 10_f32.powf(dbfs / 20.0) / power.sqrt().max(1.0);
    sound.iter_mut().for_each(|sample| *sample = (f32::from(*sample) * factor).round() as i16);
}

/// One row of the table.
#[derive(Default)]
struct Row {
    calls: u32,
    /// In so many of them Milo speaks.
    milo_speaks: u32,
    errors: Errors,
    interrupted: u32,
    pauses: u32,
    spoken: u32,
    not_noticed: u32,
    noticed_ms: Vec<f64>,
    cleaning: Duration,
    ticks: u32,
}

impl Row {
    /// All callers call, one under each of these conditions in turn; see [`Script::speaks_on`].
    async fn measure(
        (conditions, speaks_on): (&[&Condition], bool),
        cleaning: Cleaning,
        engines: &Engines,
        voices: &Voices,
    ) -> Result<Self> {
        let mut row = Self::default();
        for ((call, (text, caller)), &condition) in voices.callers.iter().enumerate().zip(conditions.iter().cycle()) {
            let seed = u32::try_from(call)?;
            let mut chance = Noise::new(seed);
            let mut between = |from: f32, to: f32| from + (to - from) * (chance.next() + 1.0) / 2.0;
            let back = condition.back_db.map(|level_db| Return {
                echoes: if call % 2 == 0 { Echoes::Room } else { Echoes::Line },
                delay_ms: between(60.0, 200.0) as u32,
                level_db,
                moves: condition.moves,
            });
            let others: Vec<&[i16]> =
                (1..5).map(|other| voices.callers[(call + 3 * other) % voices.callers.len()].1.as_slice()).collect();
            let line = CallersLine::new(condition.surroundings, condition.snr_db, back, &others, seed)?;
            let mut caller = caller.clone();
            level(&mut caller, CALLER_DBFS + condition.caller_db);
            let (milo, earliest, latest): (&[i16], _, _) = match condition {
                Condition { moves: true, .. } => (&voices.sentences, 900.0, 1_000.0),
                Condition { milo: true, .. } => (&voices.milo, 200.0, 280.0),
                _ => (&[], 50.0, 70.0),
            };
            let caller_at = between(earliest, latest) as usize;
            let script = Script { milo, caller: &caller, caller_at, speaks_on };
            let outcome = call::run(&script, line, cleaning, &engines.activity, PATIENCE).await?;
            row.not_noticed += u32::from(outcome.turns.is_empty());
            let mut heard = String::new();
            for turn in outcome.turns {
                heard.push(' ');
                heard.push_str(&engines.transcriber.transcribe(turn, Listen::to(None)).await?.text);
            }
            row.calls += 1;
            row.milo_speaks += u32::from(condition.milo);
            row.errors.add(text, &heard);
            row.interrupted += u32::from(outcome.interrupted_by_nobody);
            row.pauses += outcome.paused_for_nobody;
            row.spoken += outcome.spoken;
            // Where other people were taken for the caller before, the caller is not noticed anew.
            row.noticed_ms.extend(outcome.noticed_after.map(|ticks| ticks as f64 * f64::from(milo_media::FRAME_MS)));
            row.cleaning += outcome.cleaning;
            row.ticks += outcome.ticks;
        }
        Ok(row)
    }

    fn text(mut self) -> String {
        let calls = f64::from(self.calls.max(1));
        let (interrupted, pauses) = if self.spoken == 0 {
            ("-".into(), "-".into())
        } else {
            let minutes = f64::from(self.spoken * milo_media::FRAME_MS) / 60_000.0;
            (
                format!("{:.0} %", 100.0 * f64::from(self.interrupted) / f64::from(self.milo_speaks.max(1))),
                format!("{:.1}", f64::from(self.pauses) / minutes),
            )
        };
        format!(
            "| {:.1} % | {interrupted} | {pauses} | {:.0} % | {} ms | {:.0} µs |",
            self.errors.rate(),
            100.0 * f64::from(self.not_noticed) / calls,
            percentile(&mut self.noticed_ms, 0.5).unwrap_or_default(),
            self.cleaning.as_micros() as f64 / f64::from(self.ticks.max(1)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::cleaning as cleaning_of, config::Config};

    /// How often Milo falls silent, and pauses, over its own echo alone, with each delay and kind of echo.
    async fn disturbed_by_itself(cleaning: Cleaning, engines: &Engines, voices: &Voices) -> (u32, u32) {
        let (mut interruptions, mut pauses) = (0, 0);
        for delay_ms in [60, 90, 130, 200] {
            for echoes in [Echoes::Line, Echoes::Room] {
                let back = Return { echoes, delay_ms, level_db: -20.0, moves: false };
                let line = CallersLine::new(Surroundings::Quiet, 60.0, Some(back), &[], delay_ms).unwrap();
                let script = Script { milo: &voices.milo, caller: &[], caller_at: 500, speaks_on: false };
                let outcome = call::run(&script, line, cleaning, &engines.activity, PATIENCE).await.unwrap();
                interruptions += u32::from(outcome.interrupted_by_nobody);
                pauses += outcome.paused_for_nobody;
            }
        }
        (interruptions, pauses)
    }

    #[tokio::test]
    async fn its_own_echo_never_interrupts_nor_halts_it() {
        let folder = env::temp_dir().join(format!("milo-own-echo-{}", std::process::id()));
        let engines = Engines::load(&folder).unwrap();
        let voices = Voices::make(&engines.voice, 1).await.unwrap();
        let (interruptions, pauses) = disturbed_by_itself(Cleaning::default(), &engines, &voices).await;
        assert!(interruptions + pauses > 0, "the echo is no echo");
        let by_default = cleaning_of(&Config::default().clean);
        assert_eq!(disturbed_by_itself(by_default, &engines, &voices).await, (0, 0));
        std::fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn cleaners_are_named() {
        assert_eq!(cleaning("off").unwrap(), Cleaning::default());
        assert_eq!(cleaning("echo+gain").unwrap(), Cleaning { echo: true, gain: true, ..Cleaning::default() });
        assert!(cleaning("dust").unwrap_err().to_string().contains("high_pass"));
    }
}
