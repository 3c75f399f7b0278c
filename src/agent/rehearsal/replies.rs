//! What Milo said in a recording: where its voice stands, by its level, and the words that the log has of it.

use milo_media::{FRAME_MS, FRAME_SAMPLES, Frame};
use milo_models::{engine::Language, text::speakable};

use crate::agent::interruption::{ASKED, RECENT};

/// A frame above this level holds Milo's voice; what sounds behind it is softer.
const VOICED_DBFS: f32 = -45.0;
/// A pause of Milo's that is no longer belongs to the reply: 1.2 s.
const PAUSE: usize = 1_200 / FRAME_MS as usize;
/// A reply's first sound lies no further from where the log has it: half a second.
const BESIDE_MS: f64 = 500.0;
/// Whoever speaks so many frames behind its last voice has spoken into it: it paused, or it would have gone on where it was
/// interrupted.
const TAIL: usize = 5;
const INTERRUPTED_TAIL: usize = 25;
/// How long a letter takes to say.
const LETTER_MS: f64 = 66.0;

/// What the log has of a reply.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Where its first sample is, in milliseconds from the beginning of the recording.
    pub(crate) from_ms: f64,
    pub(crate) text: String,
    /// Letters of it that nobody heard: it was interrupted.
    pub(crate) unheard: usize,
    pub(crate) language: Language,
}

/// All that Milo said.
#[derive(Debug, Default)]
pub(crate) struct Replies(Vec<Reply>);

/// One reply, in frames.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) from: usize,
    to: usize,
    /// Which frames from `from` to `to` hold a voice.
    voiced: Vec<bool>,
    said: Option<Logged>,
}

impl Replies {
    /// Of Milo's side of a recording, 16 kHz, and of what the log has of it.
    pub(crate) fn of(milo: &[i16], said: &[Logged]) -> Self {
        let voiced: Vec<bool> =
            milo.chunks(FRAME_SAMPLES).map(|frame| Frame::padded(frame).dbfs() > VOICED_DBFS).collect();
        let mut bounds: Vec<(usize, usize)> = Vec::new();
        for (at, _) in voiced.iter().enumerate().filter(|(_, voiced)| **voiced) {
            match bounds.last_mut().filter(|(_, to)| at - *to <= PAUSE) {
                Some((_, to)) => *to = at,
                None => bounds.push((at, at)),
            }
        }
        let replies = bounds.into_iter().map(|(from, to)| {
            let (from_ms, to_ms) = (ms(from), ms(to));
            let within = |said: &&Logged| said.from_ms >= from_ms - BESIDE_MS && said.from_ms <= to_ms;
            let said = said.iter().find(within).cloned();
            Reply { from, to, voiced: voiced[from..=to].to_vec(), said }
        });
        Self(replies.collect())
    }

    /// What is being said in this frame.
    pub(super) fn at(&self, frame: usize) -> Option<&Reply> {
        self.0.iter().find(|reply| (reply.from..=reply.to + reply.tail()).contains(&frame))
    }
}

impl Reply {
    fn tail(&self) -> usize {
        if self.said.as_ref().is_some_and(|said| said.unheard > 0) { INTERRUPTED_TAIL } else { TAIL }
    }

    /// Whether it is a question of which hardly anything is left at this frame.
    pub(super) fn asks(&self, frame: usize) -> bool {
        let Some(said) = &self.said else { return false };
        let left = ms(self.voiced[self.place(frame)..].iter().filter(|voiced| **voiced).count());
        said.text.trim_end().ends_with('?') && left + said.unheard as f64 * LETTER_MS <= ASKED.as_secs_f64() * 1e3
    }

    /// About what was heard of it in the last while before this frame, and is about to be; in the log's words, as they are spoken.
    pub(super) fn recent(&self, frame: usize) -> String {
        let Some(said) = &self.said else { return String::new() };
        let letters: Vec<char> = said.text.chars().collect();
        let count = |voiced: &[bool]| voiced.iter().filter(|voiced| **voiced).count();
        let share = count(&self.voiced[..self.place(frame)]) as f64 / count(&self.voiced).max(1) as f64;
        let heard = letters.len().saturating_sub(said.unheard);
        let to = ((heard as f64 * share) as usize + (200.0 / LETTER_MS) as usize).min(letters.len());
        let from = to.saturating_sub((RECENT.as_secs_f64() * 1e3 / LETTER_MS) as usize);
        let part: String = letters[from..to].iter().collect();
        speakable(&part, said.language)
    }

    fn place(&self, frame: usize) -> usize {
        frame.saturating_sub(self.from).min(self.voiced.len())
    }
}

fn ms(frames: usize) -> f64 {
    frames as f64 * f64::from(FRAME_MS)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    /// A voice in these frames of a recording.
    fn milo(voiced: &[std::ops::Range<usize>]) -> Vec<i16> {
        let is_voiced = |frame: usize| voiced.iter().any(|voiced| voiced.contains(&frame));
        (0..400 * FRAME_SAMPLES).map(|at| if is_voiced(at / FRAME_SAMPLES) { 4_000 } else { 0 }).collect()
    }

    fn said(from_ms: f64, text: &str, unheard: usize) -> Logged {
        Logged { from_ms, text: text.into(), unheard, language: Language::Mg }
    }

    #[test]
    fn a_reply_goes_on_over_its_pauses_and_has_the_words_of_the_log() {
        let logged = [said(220.0, "Salama tompoko.", 0), said(4_000.0, "Inona no azoko atao?", 0)];
        let replies = Replies::of(&milo(&[10..50, 80..120, 200..260]), &logged);
        assert_eq!(replies.0.iter().map(|reply| (reply.from, reply.to)).collect::<Vec<_>>(), [(10, 119), (200, 259)]);
        assert!(replies.at(60).is_some() && replies.at(150).is_none() && replies.at(9).is_none());
        let [greeting, question] = &replies.0[..] else { panic!("two replies") };
        assert_eq!(greeting.said.as_ref().map(|said| said.text.as_str()), Some("Salama tompoko."));
        assert!(!greeting.asks(118), "it is no question");
        assert!(question.asks(200) && question.asks(259), "all of it is said within a moment");
    }

    #[test]
    fn what_was_heard_lately_is_the_part_of_the_text_before_the_moment() {
        let text = "Misokatra amin'ny valo ora maraina izahay ary mikatona amin'ny dimy ora hariva tompoko";
        let replies = Replies::of(&milo(slice::from_ref(&(0..200))), &[said(0.0, text, 0)]);
        let reply = replies.at(0).expect("a reply");
        assert_eq!(reply.recent(0).split(' ').next(), Some("Mis"));
        let last = reply.recent(199);
        assert!(last.contains("ora hariva") && !last.contains("Misokatra"), "{last}");
        // Interrupted in its middle, the rest was never said.
        let half = Replies::of(&milo(slice::from_ref(&(0..100))), &[said(0.0, text, text.len() / 2)]);
        let last = half.at(99).expect("a reply").recent(99);
        assert!(!last.contains("hariva"), "{last}");
        assert_eq!(Replies::of(&milo(slice::from_ref(&(0..100))), &[]).at(5).expect("a reply").recent(50), "");
    }
}
