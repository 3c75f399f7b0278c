//! How much of what nobody waits for an engine has at once: as much as it does side by side, and one more, which is there when a place
//! becomes free. What waits behind that would gain nothing.

use milo_models::{
    translator::TranslatorOptions,
    vits::{self, VitsOptions},
    whisper::WhisperOptions,
};

use super::{Engines, Server, served::PROTOCOL};
use crate::config;

/// A server is asked by calls too: it has a quarter of all that it may have at once, and never more than this.
const AT_A_SERVER: usize = 8;
/// What is done after calls is of the last class too, and wants a place in the queue.
const OTHERS: usize = 1;

impl Engines {
    /// Of `stt`, `translate`, `llm` or `tts`, at least one.
    pub fn side_by_side(&self, job: &str) -> usize {
        // A graph on a server is asked by the thread of its engine.
        let is_asked = |server: &Server| server.job == job && server.engine != PROTOCOL;
        width(self.swaps.settings(), job, self.servers.iter().any(is_asked))
    }
}

fn width(settings: &config::Engines, job: &str, is_a_server: bool) -> usize {
    let (stt, llm) = (&settings.stt, &settings.llm);
    let (rows, places, parallel) = match job {
        // With a beam it hears one after the other.
        "stt" => (if stt.beam > 1 { 1 } else { stt.batch }, WhisperOptions::default().queue, stt.parallel),
        "translate" => (settings.translate.batch, TranslatorOptions::default().queue, 0),
        // As many of its sequences it leaves to batches.
        "llm" => ((llm.sequences as usize / 4).max(1), llm.queue, llm.parallel),
        _ => (vits::ROWS, VitsOptions::default().queue, settings.tts.parallel),
    };
    if is_a_server {
        return (parallel / 4).clamp(1, AT_A_SERVER);
    }
    (rows + 1).min(places.saturating_sub(OTHERS)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_what_it_does_side_by_side_and_one_more_and_leaves_places_to_others() {
        let mut settings = config::Engines::default();
        for (job, here, there) in [("stt", 9, 8), ("translate", 9, 1), ("llm", 2, 8), ("tts", 5, 8)] {
            assert_eq!((width(&settings, job, false), width(&settings, job, true)), (here, there), "{job}");
        }
        (settings.stt.batch, settings.stt.parallel) = (64, 5);
        assert_eq!((width(&settings, "stt", false), width(&settings, "stt", true)), (31, 1), "its queue has 32 places");
        settings.stt.beam = 4;
        (settings.llm.sequences, settings.llm.queue) = (32, 2);
        assert_eq!((width(&settings, "stt", false), width(&settings, "llm", false)), (2, 1));
    }
}
