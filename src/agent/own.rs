//! What Milo says by itself, and its goodbye.
//!
//! ```text
//!  nobody was heard ─────► goodbye ─┬─ words into it: somebody is there, and the conversation goes on with them
//!                                   └─ none ─► the end
//!  time is up, failures ─► goodbye, to its end whatever is said into it ─► the end
//! ```

use std::{sync::Arc, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::{EngineError, Language},
    synthesizer::Synthesizer,
};
use tokio::time::timeout;

use super::{
    Conversation, Ear, Ending, FAILURES, Phrase, Reply,
    interruption::Yields,
    mouth::{Mouth, Spoken},
    speak::Said,
};
use crate::store::Stamp;

/// No goodbye takes longer: whoever has the call on hold does not hear it.
const GOODBYE: Duration = Duration::from_secs(30);

/// What came of something that answers nobody.
pub(super) struct Uttering {
    /// What of it was heard.
    pub(super) heard: String,
    /// Where the leg has closed, or somebody takes the call over.
    pub(super) ending: Option<Ending>,
    /// An engine failed at it.
    is_broken: bool,
    /// The caller has ended it. What they say is listened to next.
    pub(super) is_interrupted: bool,
}

impl Uttering {
    /// Nothing of it was heard, as the voice has failed.
    pub(super) fn is_unsaid(&self) -> bool {
        self.is_broken && self.heard.is_empty()
    }
}

impl Conversation<'_> {
    /// Says one of the persona's sentences; an ending as that of what it is said with.
    pub(super) async fn say(&mut self, phrase: Phrase, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        self.say_as((phrase, Yields::Words), ear, voice).await.ending
    }

    /// The same, which gives way to this.
    pub(super) async fn say_as(
        &mut self,
        (phrase, yields): (Phrase, Yields),
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Uttering {
        let said = self.say_all(self.reply_of(phrase), yields, ear, voice).await;
        // The voice has failed at words of which no sound was made before.
        let is_free = yields == Yields::Nothing || !ear.speaking();
        let spare = self.phrases.spare(self.persona, phrase, self.language);
        let Some((text, sound)) = spare.filter(|_| said.is_unsaid() && is_free) else {
            return said;
        };
        let reply = Reply::phrase(text, sound, &self.engines.voice, self.language);
        self.say_all(reply, yields, ear, voice).await
    }

    /// Says something that answers nobody.
    pub(super) async fn say_all(&mut self, reply: Reply, yields: Yields, ear: &mut Ear, voice: &mut Voice) -> Uttering {
        let began = Stamp::now();
        // A yes to this is none to what was asked before.
        self.meanwhile.asked = None;
        let mut mouth = Mouth::new(reply, voice).before(self.record.audience());
        mouth.yields = yields;
        let said = self.speak(&mut mouth, ear, voice).await;
        let is_broken = matches!(said, Said::Ended(Spoken::Broken(_)));
        if let Said::Ended(Spoken::Broken(error)) = &said {
            self.failed(error);
        }
        self.write_own(began, &mouth, &said, voice);
        let is_interrupted = matches!(said, Said::Interrupted);
        let ending = match said {
            Said::Closed => Some(Ending::Lost),
            Said::TakenOver => Some(Ending::TakenOver),
            Said::Ended(_) | Said::Interrupted => None,
        };
        Uttering { heard: mouth.heard(voice), ending, is_broken, is_interrupted }
    }

    pub(super) fn phrase(&self, phrase: Phrase, voice: &Voice) -> Mouth {
        Mouth::new(self.reply_of(phrase), voice).before(self.record.audience())
    }

    fn reply_of(&self, phrase: Phrase) -> Reply {
        let text = self.persona.phrase(phrase, self.language);
        let samples = self.phrases.sound(self.persona, phrase, self.language);
        if samples.is_empty() {
            return Reply::words(text, &self.engines.voice, self.language);
        }
        Reply::phrase(text, samples, &self.engines.voice, self.language)
    }

    /// Goodbye by Milo's own wish.
    pub(super) async fn leave(&mut self, ending: Ending, ear: &mut Ear, voice: &mut Voice) -> Ending {
        let saying = self.say_as((Phrase::Goodbye, Yields::Nothing), ear, voice);
        timeout(GOODBYE, saying).await.ok().and_then(|said| said.ending).unwrap_or(ending)
    }

    /// Goodbye to a caller of whom nothing was heard; none where they are there after all.
    pub(super) async fn leave_silence(&mut self, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        let said = self.say_as((Phrase::Goodbye, Yields::AnyWord), ear, voice).await;
        let is_there = said.is_interrupted || ear.speaking();
        said.ending.or((!is_there).then_some(Ending::Silence))
    }

    /// An engine failed: the caller is told, and the conversation goes on unless it keeps failing.
    pub(super) async fn recover(&mut self, error: &EngineError, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        self.meanwhile.failures += 1;
        self.failed(error);
        if let Some(ending) = self.say(Phrase::Apology, ear, voice).await {
            return Some(ending);
        }
        if self.meanwhile.failures < FAILURES {
            return None;
        }
        if self.limits.is_relieved {
            return Some(Ending::Failure);
        }
        Some(self.leave(Ending::Failure, ear, voice).await)
    }
}

/// Says words of Milo's own to a caller who is not listened to meanwhile.
pub async fn announce(
    words: &str,
    language: Language,
    synthesizer: &Arc<dyn Synthesizer>,
    voice: &mut Voice,
) -> Result<(), EngineError> {
    match Mouth::new(Reply::words(words, synthesizer, language), voice).speak(voice).await {
        Spoken::Broken(error) => Err(error),
        // Nothing is said before them, or in place of them.
        Spoken::Whole | Spoken::Doubtful | Spoken::Nothing | Spoken::Calls(_) | Spoken::Done => Ok(()),
        Spoken::Opened | Spoken::Waits(_) => Ok(()),
    }
}
