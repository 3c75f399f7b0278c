//! How the far side speaks: utterances and the silence between them, and whether they answer what Milo has said. Frames
//! are its clock.

use milo_media::FRAME_MS;

/// So many frames of 20 ms.
pub(super) const fn frames(ms: u32) -> u32 {
    ms / FRAME_MS
}

/// Voice activity at or above this is a voice where there was none, and below that there is none any more (as the
/// endpointer has it).
const START: f32 = 0.5;
const STOP: f32 = 0.35;
/// Silence that ends an utterance: whoever waits for an answer is silent for longer, and a sentence that is read out is
/// not.
const PAUSE: u32 = frames(700);
/// What is shorter is a cough or a click.
const SHORTEST: u32 = frames(160);
/// What Milo has said for so long can be answered…
const SAID: u32 = frames(1_200);
/// …by whoever waits until it has been silent for so long.
const WAITED: u32 = frames(100);

/// What the far side said in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    /// Its first frame, and the last one in which a voice was heard.
    pub(super) from: u32,
    pub(super) to: u32,
    /// Frames of silence before it.
    pub(super) behind: u32,
    /// Milo had spoken, and had fallen silent, before it.
    pub(super) is_answer: bool,
}

impl Utterance {
    /// How long it is, in frames.
    pub(super) fn frames(&self) -> u32 {
        self.to - self.from + 1
    }
}

/// What the newest frame brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nobody speaks, for so many frames.
    Silent(u32),
    /// This goes on.
    Speaks(Utterance),
    /// This is over.
    Spoke(Utterance),
}

/// Follows the voice of the far side.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    is_voice: bool,
    now: u32,
    utterance: Option<Utterance>,
    /// The last frame with a voice in it.
    voiced: Option<u32>,
    /// Frames of Milo's voice since then, and the last one.
    ours: u32,
    our_last: Option<u32>,
    /// Frames with a voice in them.
    heard: u32,
}

impl Rhythm {
    /// What voice activity says of what was heard last.
    pub(super) fn judge(&mut self, probability: f32) {
        self.is_voice = probability >= if self.is_voice { STOP } else { START };
    }

    /// 20 ms passed, in which Milo was heard or was not.
    pub(super) fn hear(&mut self, is_ours: bool) -> Beat {
        self.now += 1;
        let now = self.now;
        if is_ours {
            self.ours += 1;
            self.our_last = Some(now);
        }
        if self.is_voice {
            let has_waited = self.our_last.is_none_or(|last| now - last > WAITED);
            let is_answer = self.ours >= SAID && has_waited;
            let behind = now - self.voiced.unwrap_or(0) - 1;
            let utterance = self.utterance.get_or_insert(Utterance { from: now, to: now, behind, is_answer });
            utterance.to = now;
            (self.voiced, self.ours, self.heard) = (Some(now), 0, self.heard + 1);
            return Beat::Speaks(*utterance);
        }
        match self.utterance {
            Some(utterance) if now - utterance.to < PAUSE => Beat::Speaks(utterance),
            Some(utterance) => {
                self.utterance = None;
                if utterance.frames() < SHORTEST { Beat::Silent(self.silent()) } else { Beat::Spoke(utterance) }
            }
            None => Beat::Silent(self.silent()),
        }
    }

    /// For how many frames nobody has spoken.
    pub(super) fn silent(&self) -> u32 {
        self.now - self.voiced.unwrap_or(0)
    }

    /// Frames with a voice in them so far.
    pub(super) fn heard(&self) -> u32 {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `v`: the far side speaks for 100 ms, `m`: Milo does, `b`: both, `.`: nobody. What was said, in frames, and
    /// whether it answers.
    fn said(score: &str) -> Vec<(u32, bool)> {
        let mut rhythm = Rhythm::default();
        let mut said = Vec::new();
        for letter in score.chars().flat_map(|letter| std::iter::repeat_n(letter, 5)) {
            rhythm.judge(if matches!(letter, 'v' | 'b') { 0.9 } else { 0.1 });
            if let Beat::Spoke(utterance) = rhythm.hear(matches!(letter, 'm' | 'b')) {
                said.push((utterance.frames(), utterance.is_answer));
            }
        }
        said
    }

    #[test]
    fn an_utterance_goes_on_over_short_pauses_and_ends_with_a_long_one() {
        assert_eq!(said("..vvvvv....vvvvv........"), [(70, false)]);
        assert_eq!(said("vvv.........vvv........"), [(15, false), (15, false)]);
        assert!(said("..v..........").is_empty(), "100 ms are no word");
    }

    #[test]
    fn who_speaks_when_milo_has_finished_answers_and_who_speaks_into_it_does_not() {
        let milo = "m".repeat(20);
        assert_eq!(said(&format!("{milo}...vvvvv........")), [(25, true)]);
        assert_eq!(said(&format!("{milo}vvvvv........")), [(25, false)], "it had not fallen silent");
        assert_eq!(said(&format!("{milo}bbbmmmmmmmmmmmm")), [(15, false)]);
        assert_eq!(said("mmmm...vvvvv........"), [(25, false)], "nothing was said that can be answered");
    }
}
