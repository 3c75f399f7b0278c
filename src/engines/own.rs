//! The engines as one persona wants them: within this process, and in its voice.

use std::borrow::Cow;

use super::{Engines, Judge, Mode, Timbres};

impl Engines {
    /// The same for a persona that wants this: with [`Mode::Local`] no server hears, answers, speaks, learns what is looked up, or runs a
    /// graph on what was said, wherever it stands.
    pub fn in_mode(&self, mode: Option<Mode>) -> Cow<'_, Self> {
        if mode != Some(Mode::Local) {
            return Cow::Borrowed(self);
        }
        let (transcriber, voice) = self.swaps.within();
        let mind = self.mind.in_mode(mode);
        let end_of_turn = self.end_of_turn.clone().map(Judge::within);
        Cow::Owned(Self { transcriber, voice, mind, end_of_turn, embedder: None, is_local: true, ..self.clone() })
    }

    /// The same for a persona that speaks so.
    pub fn voiced(&self, mode: Option<Mode>, timbres: &Timbres) -> Self {
        let own = self.in_mode(mode).into_owned();
        Self { voice: timbres.voice(&own.voice), ..own }
    }

    /// Whether it is kept that way.
    pub fn is_local(&self) -> bool {
        self.is_local
    }
}
