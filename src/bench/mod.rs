//! Benches: each starts a Milo of its own on free ports, loads it through real SIP and RTP from this process, and reads what it
//! cost from `/proc`. Those of single engines (`ears`, `mind`, `voice`) load nothing but them, for `models/benchmarks/` to compare. Their
//! figures stand in the README's table.

mod caller;
mod calls;
mod chat;
mod clean;
mod ears;
mod engines;
mod floor;
mod interruptions;
mod lines;
mod media;
mod mind;
mod pauses;
mod running;
mod setup;
mod sound;
mod stream;
mod turn;
mod voice;

use anyhow::Result;
use clap::Subcommand;
use tokio::runtime::Handle;

use crate::config::Config;

pub(crate) use running::get;
pub use running::{Cost, Running, alone};

/// A telephone takes what it hears for the answer: nothing is said before that.
pub(crate) const NO_FILLER: (&str, &str) = ("MILO__CONVERSATION__FILLER_MS", "20000");

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Which {
    /// Last voiced packet in → first voiced packet out, with the real engines.
    Turn(turn::Arguments),
    /// Many calls that only listen: processor and memory of each.
    Calls(calls::Arguments),
    /// What Milo adds to a language model on a server, by text.
    Chat(chat::Arguments),
    /// What each cleaner does for the transcriber and against false interruptions, in simulated calls.
    Clean(clean::Arguments),
    /// What a caller waits for the engines when many call at once, with and without work on guesses beside: the shipped engines, without
    /// telephones.
    Engines(engines::Arguments),
    /// What the transcriber takes for a window of sound and for each token: a model of random weights, nothing beside it.
    Ears(ears::Arguments),
    /// What the language model takes for a first token and for those that follow: any GGUF without an end, nothing beside it.
    Mind(mind::Arguments),
    /// What a VITS voice takes until its first sound, and for all of it: nothing beside it.
    Voice(voice::Arguments),
    /// What is said, coughed and echoed into Milo's words, and whether it falls silent for it: in calls, on the set that ships.
    Interruptions(interruptions::Arguments),
    /// Whether callers who pause are cut off, and how long those who have finished wait: in calls, on the set that ships.
    Pauses(pauses::Arguments),
    /// What loss, jitter and drift cost the transcriber.
    Lines(lines::Arguments),
    /// Calls set up and ended, so many a second.
    Setup(setup::Arguments),
    /// Many calls at once, as the wire sees them: processor, memory, and when packets come.
    Media(media::Arguments),
    /// All rows of `media` as a table, beside what is to be held and what others need.
    Sound(sound::Arguments),
}

/// Runs one bench and prints its figures.
pub async fn run(which: Which, legs: &Handle, configured: impl FnOnce() -> Result<Config>) -> Result<()> {
    match which {
        Which::Turn(arguments) => turn::run(arguments, legs).await,
        Which::Calls(arguments) => calls::run(arguments, legs).await,
        Which::Chat(arguments) => chat::run(arguments).await,
        Which::Clean(arguments) => clean::run(arguments).await,
        Which::Engines(arguments) => engines::run(arguments, configured).await,
        Which::Ears(arguments) => ears::run(arguments).await,
        Which::Mind(arguments) => mind::run(arguments).await,
        Which::Voice(arguments) => voice::run(arguments).await,
        Which::Interruptions(arguments) => interruptions::run(arguments, legs).await,
        Which::Pauses(arguments) => pauses::run(arguments, legs).await,
        Which::Lines(arguments) => lines::run(arguments).await,
        Which::Setup(arguments) => setup::run(arguments, legs).await,
        Which::Media(arguments) => media::run(arguments).await,
        Which::Sound(arguments) => sound::run(&arguments).await,
    }
}

/// The value below which `share` (0 to 1) of the values lie; nearest rank.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = ((values.len() as f64 * share).ceil() as usize).max(1);
    values.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn nearest_rank() {
        let mut values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(10.0));
        assert_eq!(percentile(&mut values, 0.95), Some(19.0));
        assert_eq!(percentile(&mut values, 0.0), Some(1.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
