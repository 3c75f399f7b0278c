//! The conversation, as one straight line: greet, listen, understand, reply clause by clause, be interrupted, say goodbye.
//!
//! ```text
//!  Ears ─► Ear (cleaning, voice activity, end of turn) ─► transcript ─► Reply (tokens ─► clauses ─► samples) ─► Mouth ─► Voice
//!            └──────────── the caller speaks: the mouth pauses, then the reply is dropped ────────────┘
//! ```

mod answer;
mod audience;
mod begun;
mod context;
mod detector;
mod draft;
mod ear;
mod endpoint;
mod greeting;
mod hush;
mod interruption;
mod listen;
mod log;
mod memory;
mod moment;
mod mouth;
mod news;
mod overhear;
mod partial;
mod persona;
mod phrases;
mod prompt;
mod question;
mod reach;
mod reply;
mod speak;
mod summary;
mod turn;
mod words;

use std::{collections::VecDeque, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::{EngineError, Language},
    language_model::ChatMessage,
    text::tongue,
    tools::Call,
};
use serde_json::Value;
use tokio::sync::mpsc;

pub use audience::{Audience, Happened, Manner};
pub(crate) use context::Context;
pub use detector::{Answerer, Cue, Detector, Notice, Verdict, network};
pub use ear::{Ear, Noticed};
pub use endpoint::Patience;
pub(crate) use endpoint::{Decision, Endpointer};
pub use greeting::Greeting;
pub use memory::Remembering;
pub(crate) use memory::SUMMARY;
pub use moment::Moment;
pub use mouth::announce;
pub use news::News;
pub use overhear::Overhearing;
pub(crate) use persona::MOST_TOKENS;
pub use persona::{Backdrop, Persona, Phrase};
pub use phrases::SetPhrases;
pub(crate) use phrases::spoken;
pub use prompt::Prompt;
pub use question::{Answer, Asked, Question};
pub use reach::Reach;
pub(crate) use turn::Turn;
pub(crate) use words::{Piece, Words};

use begun::Begun;
use listen::{Listened, Quiet};
use mouth::{Mouth, Spoken};
use reply::Reply;
use speak::Said;

use crate::{
    call::{Record, Toolbox},
    engines::Engines,
    store::Stamp,
};

/// So many failures in a row end the call, with a goodbye.
const FAILURES: usize = 3;

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
    /// How long an answer may be without a sound before something is said in its place.
    pub filler: Duration,
    /// Whether replies are begun before it is sure that the caller has finished.
    pub drafts: bool,
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
    /// It waits for what its model wants done on the line ([`Suspended`]).
    Tool,
    /// It is no person who has answered.
    Answered(Answerer),
}

/// A conversation that waits for what its model wants done.
#[derive(Debug)]
pub struct Suspended {
    persona: String,
    language: Language,
    tool: String,
    /// What of it was not done, as far as the plan knows.
    failed: Option<String>,
    /// What the model was told in this turn, and what was done so far; the last call has no result yet.
    heard: String,
    done: Vec<ChatMessage>,
    context: Context,
}

impl Suspended {
    /// Who speaks in it.
    pub fn persona(&self) -> &str {
        &self.persona
    }

    /// What is to be done.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Something of it was not done; the first reason is told.
    pub fn failed(&mut self, why: &str) {
        self.failed.get_or_insert_with(|| why.to_owned());
    }
}

/// One conversation on one leg.
pub struct Conversation<'a> {
    /// The engines of the whole process.
    pub engines: &'a Engines,
    /// Who speaks, by name.
    pub name: &'a str,
    /// Who speaks.
    pub persona: &'a Persona,
    /// What its model may have done.
    pub tools: Toolbox<'a>,
    /// Where it is left when it waits for that.
    pub suspended: &'a mut Option<Suspended>,
    /// The persona's sentences, ready as sound.
    pub phrases: &'a SetPhrases,
    /// Where turns and events are written.
    pub record: &'a mut Record,
    /// How long Milo waits.
    pub limits: Limits,
    /// The caller's language as far as it is known.
    pub language: Language,
    /// What whoever supervises the call wants.
    pub prompts: mpsc::Receiver<Prompt>,
    /// What has come up meanwhile.
    pub meanwhile: Meanwhile,
}

/// What a conversation keeps from one of its steps to the next.
#[derive(Default)]
pub struct Meanwhile {
    /// Since when the caller has the call on hold.
    held: Option<tokio::time::Instant>,
    /// What the caller has begun to say into a reply.
    begun: Begun,
    /// What they said last was taken for nothing, and their silence has not ended it yet.
    withdrawn: bool,
    /// Words that somebody wants to be said.
    to_say: VecDeque<String>,
    /// What is done if the caller says yes now.
    asked: Option<Call>,
}

impl Conversation<'_> {
    /// Holds the conversation, or goes on with one that has waited, until it ends; the caller of this hangs up.
    pub async fn hold(mut self, suspended: Option<Suspended>, ear: &mut Ear, voice: &mut Voice) -> Ending {
        let mut context = Context::new(&self.persona.prompt, self.persona.reach());
        let mut failures = 0;
        let mut doubt = Doubt::None;
        let audience = self.record.audience();
        let is_patient = audience.is_some_and(Audience::is_patient);
        for (heard, said) in audience.iter().flat_map(|audience| audience.remembered()) {
            context.remember(heard, Vec::new(), said);
        }
        if let Some(mut suspended) = suspended {
            (self.language, context) = (suspended.language, std::mem::take(&mut suspended.context));
            let answered = self.carry_on(suspended, &mut context, ear, voice).await;
            if let Some(ending) = self.answered(answered, &mut failures, ear, voice).await {
                return ending;
            }
        } else if !is_patient && let Some(ending) = self.say(Phrase::Greeting, ear, voice).await {
            return ending;
        }
        let mut quiet = Quiet::from_now(self.limits.ask_after);
        loop {
            if ear.is_sure() {
                // Whoever has heard it so far is a person.
                self.record.settle(true);
            }
            self.sum_up(&mut context);
            let mut heard = match self.listen(ear, &mut quiet, &context).await {
                Listened::Turn(heard) => heard,
                Listened::Prompted(words) => {
                    let reply = Reply::words(&words, &self.engines.voice, tongue(&words).unwrap_or(self.language));
                    let (heard, ending) = self.say_all(reply, ear, voice).await;
                    context.add(&heard);
                    if let Some(ending) = ending {
                        return ending;
                    }
                    quiet = Quiet::from_now(self.limits.ask_after);
                    continue;
                }
                Listened::Closed => return Ending::Lost,
                Listened::TimeUp => return self.leave(Ending::TimeUp, ear, voice).await,
                Listened::Silence if doubt == Doubt::Asked => return self.leave(Ending::Silence, ear, voice).await,
                Listened::Silence => {
                    doubt = Doubt::Asked;
                    self.record.event("are_you_there", Value::Null);
                    if let Some(ending) = self.say(Phrase::AreYouThere, ear, voice).await {
                        return ending;
                    }
                    quiet = Quiet::from_now(self.limits.leave_after);
                    continue;
                }
                Listened::Deaf(error) => {
                    failures += 1;
                    match self.recover(&error, failures, ear, voice).await {
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
                // Noise, or a voice without words. One excuse; the silence that it is goes on being counted.
                self.record.event("nothing_understood", Value::Null);
                if doubt == Doubt::None {
                    doubt = Doubt::Excused;
                    if let Some(ending) = self.say(Phrase::NotUnderstood, ear, voice).await {
                        return ending;
                    }
                }
                continue;
            }
            doubt = Doubt::None;
            ear.understood(&transcript.text);
            self.language = transcript.language;
            let answered = self.answer(&mut heard, &transcript, &mut context, ear, voice).await;
            if let Some(ending) = self.answered(answered, &mut failures, ear, voice).await {
                return ending;
            }
            quiet = Quiet::from_now(self.limits.ask_after);
        }
    }

    /// What a reply came to is the end of the conversation, or not yet.
    async fn answered(
        &mut self,
        answered: Answered,
        failures: &mut usize,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Option<Ending> {
        *failures = if matches!(answered, Answered::GoOn) { 0 } else { *failures + 1 };
        match answered {
            Answered::GoOn => None,
            Answered::Failed(error) => self.recover(&error, *failures, ear, voice).await,
            Answered::Refused => self.give_up(*failures, ear, voice).await,
            Answered::End(ending) => Some(ending),
        }
    }

    /// Says one of the persona's sentences; an ending when the leg has closed.
    async fn say(&mut self, phrase: Phrase, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        let reply = self.reply_of(phrase);
        self.say_all(reply, ear, voice).await.1
    }

    /// Says something that answers nobody. What of it was heard; an ending when the leg has closed.
    async fn say_all(&mut self, reply: Reply, ear: &mut Ear, voice: &mut Voice) -> (String, Option<Ending>) {
        let began = Stamp::now();
        // A yes to this is none to what was asked before.
        self.meanwhile.asked = None;
        let mut mouth = Mouth::new(reply, voice).before(self.record.audience());
        let said = self.speak(&mut mouth, ear, voice).await;
        if let Said::Ended(Spoken::Broken(error)) = &said {
            self.failed(error);
        }
        self.write_own(began, &mouth, &said, voice);
        (mouth.heard(voice), matches!(said, Said::Closed).then_some(Ending::Lost))
    }

    fn phrase(&self, phrase: Phrase, voice: &Voice) -> Mouth {
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
        self.failed(error);
        if let Some(ending) = self.say(Phrase::Apology, ear, voice).await {
            return Some(ending);
        }
        self.give_up(failures, ear, voice).await
    }

    /// Says goodbye when there was one failure too many.
    async fn give_up(&mut self, failures: usize, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        if failures < FAILURES {
            return None;
        }
        Some(self.leave(Ending::Failure, ear, voice).await)
    }
}

/// What a reply came to.
enum Answered {
    GoOn,
    /// An engine failed on the way, and nobody has told the caller.
    Failed(EngineError),
    /// The language model had no place for it; the caller has heard the apology.
    Refused,
    End(Ending),
}

/// What Milo has said about hearing nothing since it last understood something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// That it did not understand.
    Excused,
    /// Whether anybody is there.
    Asked,
}
