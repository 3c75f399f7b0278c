//! The conversation, as one straight line: greet, listen, understand, reply clause by clause, be interrupted, say goodbye.
//!
//! ```text
//!  Ears ─► Ear (voice activity, end of turn) ─► transcript ─► Reply (tokens ─► clauses ─► samples) ─► Mouth ─► Voice
//!            └──────────── the caller speaks: the mouth pauses, then the reply is dropped ────────────┘
//! ```

mod context;
mod ear;
mod endpoint;
mod listen;
mod mouth;
mod persona;
mod phrases;
mod reply;

use std::time::Duration;

use milo_media::{Closed, Voice};
use milo_models::{
    engine::{EngineError, Language},
    llama::ChatRequest,
    whisper::Transcript,
};
use serde_json::{Value, json};
use tokio::select;

pub use ear::Ear;
pub use endpoint::Patience;
pub use persona::{Persona, Phrase};
pub use phrases::SetPhrases;

use context::Context;
use ear::Noticed;
use endpoint::Decision;
use listen::{Heard, Listened};
use mouth::{Mouth, Spoken};
use reply::{Marks, Reply};

use crate::{
    call::Record,
    engines::Engines,
    store::{NewTurn, Stages, Stamp},
};

/// So many failures in a row end the call, with a goodbye.
const FAILURES: usize = 3;
/// Exchanges that the model sees again.
const MEMORY: usize = 4;

/// The limits of a conversation, from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When the caller has finished, and what counts as speech.
    pub patience: Patience,
    /// Silence before "are you there?".
    pub ask_after: Duration,
    /// Silence after that question before Milo says goodbye.
    pub leave_after: Duration,
    /// When the conversation ends at the latest.
    pub until: tokio::time::Instant,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model said goodbye.
    Goodbye,
    /// Nobody spoke.
    Silence,
    /// It lasted too long.
    TimeUp,
    /// Engines failed again and again.
    Failure,
    /// No packets came any more.
    Lost,
}

/// What speaking came to.
enum Said {
    Ended(Spoken),
    Interrupted,
    Closed,
}

/// One conversation on one leg.
pub struct Conversation<'a> {
    /// The engines of the whole process.
    pub engines: &'a Engines,
    /// Who speaks.
    pub persona: &'a Persona,
    /// The persona's sentences, ready as sound.
    pub phrases: &'a SetPhrases,
    /// Where turns and events are written.
    pub record: &'a mut Record,
    /// How long Milo waits.
    pub limits: Limits,
    /// The caller's language as far as it is known.
    pub language: Language,
}

impl Conversation<'_> {
    /// Holds the conversation until it ends; the caller of this hangs up.
    pub async fn hold(mut self, ear: &mut Ear, voice: &mut Voice) -> Ending {
        let mut context = Context::new(&self.persona.prompt, MEMORY);
        let mut failures = 0;
        let mut asked = false;
        if let Some(ending) = self.say(Phrase::Greeting, ear, voice).await {
            return ending;
        }
        loop {
            let patience = if asked { self.limits.leave_after } else { self.limits.ask_after };
            let heard = match self.listen(ear, voice, patience).await {
                Listened::Turn(heard) => *heard,
                Listened::Closed => return Ending::Lost,
                Listened::TimeUp => return self.leave(Ending::TimeUp, ear, voice).await,
                Listened::Silence if asked => return self.leave(Ending::Silence, ear, voice).await,
                Listened::Silence => {
                    asked = true;
                    self.record.event("are_you_there", Value::Null);
                    match self.say(Phrase::AreYouThere, ear, voice).await {
                        Some(ending) => return ending,
                        None => continue,
                    }
                }
            };
            let transcript = match &heard.transcript {
                Ok(transcript) => transcript.clone(),
                Err(error) => {
                    failures += 1;
                    match self.recover(error, failures, ear, voice).await {
                        Some(ending) => return ending,
                        None => continue,
                    }
                }
            };
            if transcript.text.trim().is_empty() {
                // Noise: nothing to answer, and nothing that shows somebody is there.
                self.record.event("nothing_understood", Value::Null);
                continue;
            }
            asked = false;
            self.language = transcript.language;
            match self.answer(&heard, &transcript, &mut context, ear, voice).await {
                Answered::GoOn => failures = 0,
                Answered::Failed(error) => {
                    failures += 1;
                    if let Some(ending) = self.recover(&error, failures, ear, voice).await {
                        return ending;
                    }
                }
                Answered::End(ending) => return ending,
            }
        }
    }

    /// Replies to one turn and writes its row.
    async fn answer(
        &mut self,
        heard: &Heard,
        transcript: &Transcript,
        context: &mut Context,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Answered {
        let request = ChatRequest {
            messages: context.messages(&transcript.text),
            max_tokens: self.persona.max_tokens,
            temperature: self.persona.temperature,
            seed: 0,
        };
        let tokens = match self.engines.language_model.reply(request) {
            Ok(tokens) => tokens,
            Err(error) => return Answered::Failed(error),
        };
        let reply = Reply::by_model(tokens, self.persona.min_logprob, &self.engines.voice, self.language);
        let mut mouth = Mouth::new(reply, voice);
        let mut said = self.speak(&mut mouth, ear, voice).await;
        if matches!(said, Said::Ended(Spoken::Doubtful | Spoken::Nothing)) {
            self.record.event("reply_doubtful", Value::Null);
            let marks = mouth.marks();
            mouth = self.phrase(Phrase::NotUnderstood, voice);
            said = self.speak(&mut mouth, ear, voice).await;
            self.write_turn(heard, transcript, &mouth, marks, &said, voice);
        } else {
            self.write_turn(heard, transcript, &mouth, mouth.marks(), &said, voice);
        }
        context.remember(&transcript.text, &mouth.heard(voice));
        match said {
            Said::Closed => Answered::End(Ending::Lost),
            Said::Ended(Spoken::Broken(error)) => Answered::Failed(error),
            Said::Ended(_) if mouth.hangs_up() => Answered::End(Ending::Goodbye),
            Said::Ended(_) | Said::Interrupted => Answered::GoOn,
        }
    }

    /// Says one of the persona's sentences; an ending when the leg has closed.
    async fn say(&mut self, phrase: Phrase, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        let began = Stamp::now();
        let mut mouth = self.phrase(phrase, voice);
        let said = self.speak(&mut mouth, ear, voice).await;
        self.write_own(began, &mouth, &said, voice);
        matches!(said, Said::Closed).then_some(Ending::Lost)
    }

    fn phrase(&self, phrase: Phrase, voice: &Voice) -> Mouth {
        let text = self.persona.phrase(phrase, self.language);
        let samples = self.phrases.sound(self.persona, phrase, self.language);
        Mouth::new(Reply::phrase(text, samples, &self.engines.voice, self.language), voice)
    }

    /// Goodbye by Milo's own wish.
    async fn leave(&mut self, ending: Ending, ear: &mut Ear, voice: &mut Voice) -> Ending {
        self.say(Phrase::Goodbye, ear, voice).await.unwrap_or(ending)
    }

    /// An engine failed: the caller is told, and the call goes on unless it keeps failing.
    async fn recover(
        &mut self,
        error: &EngineError,
        failures: usize,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Option<Ending> {
        tracing::warn!(call.id = %self.record.id(), failures, error = %error, "an engine failed in a call");
        self.record.event("engine_failed", json!({ "error": error.to_string() }));
        if let Some(ending) = self.say(Phrase::Apology, ear, voice).await {
            return Some(ending);
        }
        if failures < FAILURES {
            return None;
        }
        Some(self.leave(Ending::Failure, ear, voice).await)
    }

    /// Speaks while listening. Speech of the caller pauses the voice, confirmed speech ends it.
    async fn speak(&mut self, mouth: &mut Mouth, ear: &mut Ear, voice: &mut Voice) -> Said {
        loop {
            let noticed = select! {
                biased;
                noticed = ear.next() => noticed,
                spoken = mouth.speak(voice) => return Said::Ended(spoken),
            };
            match noticed {
                Noticed::Turn(Decision::Onset) => voice.pause(),
                Noticed::Turn(Decision::Retracted) => voice.resume(),
                Noticed::Turn(Decision::Confirmed) => {
                    voice.flush();
                    voice.resume();
                    self.record.event("interrupted", Value::Null);
                    return Said::Interrupted;
                }
                // Speech that had begun before this reply: nothing new.
                Noticed::Turn(Decision::LikelyEnd | Decision::Resumed | Decision::End) => {}
                Noticed::Digit(digit) => self.record.event("digit", json!({ "digit": digit.to_string() })),
                Noticed::Held => {
                    self.record.event("held", Value::Null);
                    voice.pause();
                }
                Noticed::Resumed => {
                    self.record.event("resumed", Value::Null);
                    voice.resume();
                }
                Noticed::Deaf(error) => self.deaf(&error),
                Noticed::Closed(why) => {
                    self.closed(&why);
                    return Said::Closed;
                }
            }
        }
    }

    fn closed(&mut self, why: &Closed) {
        self.record.event("line_closed", json!({ "why": format!("{why:?}") }));
    }

    fn deaf(&mut self, error: &EngineError) {
        tracing::warn!(call.id = %self.record.id(), error = %error, "voice activity failed in a call");
        self.record.event("deaf", json!({ "error": error.to_string() }));
    }

    fn write_turn(
        &mut self,
        heard: &Heard,
        transcript: &Transcript,
        mouth: &Mouth,
        marks: Marks,
        said: &Said,
        voice: &Voice,
    ) {
        let turn = NewTurn {
            at: heard.ended,
            heard: Some(transcript.text.clone()),
            said: Some(mouth.text()),
            said_heard: Some(mouth.heard(voice)),
            interrupted: matches!(said, Said::Interrupted),
            confidence: Some(f64::from(transcript.confidence)),
            language: Some(transcript.language.code().into()),
            stages: heard.stages(marks, voice.played().first_sent_since_idle),
        };
        self.record.turn(transcript.language, turn);
    }

    /// A row for what Milo said by itself.
    fn write_own(&mut self, began: Stamp, mouth: &Mouth, said: &Said, voice: &Voice) {
        let turn = NewTurn {
            at: began,
            heard: None,
            said: Some(mouth.text()),
            said_heard: Some(mouth.heard(voice)),
            interrupted: matches!(said, Said::Interrupted),
            confidence: None,
            language: Some(self.language.code().into()),
            stages: Stages::default(),
        };
        self.record.turn(self.language, turn);
    }
}

/// What a reply came to.
enum Answered {
    GoOn,
    Failed(EngineError),
    End(Ending),
}
