//! The conversation, as one straight line: greet, listen, understand, reply clause by clause, be interrupted, say goodbye.
//!
//! ```text
//!  Ears ─► Ear (cleaning, voice activity, end of turn) ─► transcript ─► Reply (tokens ─► clauses ─► samples) ─► Mouth ─► Voice
//!            └──────────── the caller speaks: the mouth pauses, then the reply is dropped ────────────┘
//! ```

mod again;
mod answer;
mod audience;
mod begun;
mod budget;
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
mod rehearsal;
mod reply;
mod rescue;
mod scribe;
mod speak;
mod stopgap;
mod summary;
mod suspended;
mod turn;
mod words;

use std::{collections::VecDeque, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::{EngineError, Language},
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
pub use news::{News, Speaker};
pub use overhear::Overhearing;
pub(crate) use persona::MOST_TOKENS;
pub use persona::{Backdrop, Persona, Phrase, Turns};
pub use phrases::SetPhrases;
pub(crate) use phrases::spoken;
pub use prompt::Prompt;
pub use question::{Answer, Asked, Question};
pub use reach::Reach;
pub(crate) use rehearsal::{Ended, Logged, Rehearsal, Replies, Seen, SpokenInto};
pub use scribe::{Scribe, Uttered};
pub(crate) use stopgap::{Due, Stopgap};
pub use suspended::Suspended;
pub(crate) use turn::Turn;
pub(crate) use words::{Piece, Words};

use begun::Begun;
use budget::Lateness;
use listen::{Listened, Quiet};
use mouth::{Mouth, Spoken};
use reply::Reply;
use speak::Said;
use suspended::Waits;

use crate::{
    call::{Record, Supervisor, Toolbox},
    engines::Engines,
    store::Stamp,
};

/// So many failures in a row end the conversation.
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
    /// The budget of a turn: how long an answer may be without a sound before something is said in its place.
    pub filler: Duration,
    /// Whether somebody else goes on when engines fail again and again: no goodbye is said then.
    pub is_relieved: bool,
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
    /// It waits for somebody who has taken the call over ([`Suspended`]).
    TakenOver,
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
    /// Whoever takes the call over.
    pub takers: mpsc::Receiver<Supervisor>,
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
    /// What is being said in place of a reply that is about to begin.
    stopgap: Stopgap,
    /// Failures in a row.
    failures: usize,
    /// What is known of the time that a server takes.
    lateness: Lateness,
    /// Somebody is about to speak with the caller.
    taker: Option<Supervisor>,
}

/// What came of something that answers nobody.
struct Uttering {
    /// What of it was heard.
    heard: String,
    /// Where the leg has closed, or somebody takes the call over.
    ending: Option<Ending>,
    /// An engine failed at it.
    is_broken: bool,
}

impl Conversation<'_> {
    /// Holds the conversation, or goes on with one that has waited, until it ends; the caller of this hangs up.
    pub async fn hold(mut self, suspended: Option<Suspended>, ear: &mut Ear, voice: &mut Voice) -> Ending {
        let mut context = Context::new(&self.persona.prompt, self.persona.reach());
        let ending = self.converse(suspended, &mut context, ear, voice).await;
        if let (Ending::TakenOver, Some(supervisor)) = (ending, self.meanwhile.taker.take()) {
            let waits = Waits::Supervisor(Some(Box::new(supervisor)));
            *self.suspended = Some(Suspended { persona: self.name.into(), language: self.language, context, waits });
        }
        ending
    }

    async fn converse(
        &mut self,
        suspended: Option<Suspended>,
        context: &mut Context,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Ending {
        let mut doubt = Doubt::None;
        let audience = self.record.audience();
        let is_patient = audience.is_some_and(Audience::is_patient);
        for (heard, said) in audience.iter().flat_map(|audience| audience.remembered()) {
            context.remember(heard, Vec::new(), said);
        }
        if let Some(Suspended { language, context: known, waits, .. }) = suspended {
            (self.language, *context) = (language, known);
            // Whoever has had the caller meanwhile has said something last: they are listened to.
            if let Waits::Tool(task) = waits {
                let answered = self.carry_on(*task, context, ear, voice).await;
                if let Some(ending) = self.answered(answered, ear, voice).await {
                    return ending;
                }
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
            self.sum_up(context);
            let mut heard = match self.listen((ear, voice), &mut quiet, context).await {
                Listened::Turn(heard) => heard,
                Listened::Prompted(words) => {
                    let reply = Reply::words(&words, &self.engines.voice, tongue(&words).unwrap_or(self.language));
                    let Uttering { heard, ending, .. } = self.say_all(reply, ear, voice).await;
                    context.add(&heard);
                    if let Some(ending) = ending {
                        return ending;
                    }
                    quiet = Quiet::from_now(self.limits.ask_after);
                    continue;
                }
                Listened::Closed => return Ending::Lost,
                Listened::TakenOver => return Ending::TakenOver,
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
                Listened::Deaf(error) => match self.recover(&error, ear, voice).await {
                    Some(ending) => return ending,
                    None => continue,
                },
            };
            let transcript = match &heard.transcript {
                Ok(transcript) => transcript.clone(),
                Err(error) => match self.unheard(error, heard.end, ear, voice).await {
                    Some(ending) => return ending,
                    None => {
                        quiet = Quiet::from_now(self.limits.ask_after);
                        continue;
                    }
                },
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
            let answered = self.answer(&mut heard, &transcript, context, ear, voice).await;
            if let Some(ending) = self.answered(answered, ear, voice).await {
                return ending;
            }
            quiet = Quiet::from_now(self.limits.ask_after);
        }
    }

    /// What a reply came to is the end of the conversation, or not yet.
    async fn answered(&mut self, answered: Answered, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        match answered {
            Answered::GoOn => None,
            Answered::Failed(error) => self.recover(&error, ear, voice).await,
            Answered::End(ending) => Some(ending),
        }
    }

    /// Says one of the persona's sentences; an ending as that of what it is said with.
    async fn say(&mut self, phrase: Phrase, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
        let reply = self.reply_of(phrase);
        let Uttering { heard, ending, is_broken } = self.say_all(reply, ear, voice).await;
        // The voice has failed at words of which no sound was made before.
        let spare = self.phrases.spare(self.persona, phrase, self.language);
        let Some((text, sound)) = spare.filter(|_| is_broken && heard.is_empty() && !ear.speaking()) else {
            return ending;
        };
        let reply = Reply::phrase(text, sound, &self.engines.voice, self.language);
        self.say_all(reply, ear, voice).await.ending
    }

    /// Says something that answers nobody.
    async fn say_all(&mut self, reply: Reply, ear: &mut Ear, voice: &mut Voice) -> Uttering {
        let began = Stamp::now();
        // A yes to this is none to what was asked before.
        self.meanwhile.asked = None;
        let mut mouth = Mouth::new(reply, voice).before(self.record.audience());
        let said = self.speak(&mut mouth, ear, voice).await;
        let is_broken = matches!(said, Said::Ended(Spoken::Broken(_)));
        if let Said::Ended(Spoken::Broken(error)) = &said {
            self.failed(error);
        }
        self.write_own(began, &mouth, &said, voice);
        let ending = match said {
            Said::Closed => Some(Ending::Lost),
            Said::TakenOver => Some(Ending::TakenOver),
            Said::Ended(_) | Said::Interrupted => None,
        };
        Uttering { heard: mouth.heard(voice), ending, is_broken }
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

    /// An engine failed: the caller is told, and the conversation goes on unless it keeps failing.
    async fn recover(&mut self, error: &EngineError, ear: &mut Ear, voice: &mut Voice) -> Option<Ending> {
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

/// What a reply came to.
enum Answered {
    GoOn,
    /// An engine failed on the way, and nobody has told the caller.
    Failed(EngineError),
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
