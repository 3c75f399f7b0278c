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
mod bounds;
mod budget;
mod context;
mod detector;
mod doubt;
mod draft;
mod ear;
mod endpoint;
mod followed;
mod frame;
mod greeting;
mod hush;
mod interruption;
mod listen;
mod log;
mod memory;
mod moment;
mod mouth;
mod news;
mod opener;
mod overhear;
mod own;
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
mod step;
mod stopgap;
mod summary;
mod suspended;
mod tongues;
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
pub use bounds::{Bounds, Turns};
pub(crate) use context::Context;
pub use detector::{Answerer, Cue, Detector, Notice, Verdict, network};
pub use ear::{Ear, Noticed};
pub use endpoint::Patience;
pub(crate) use endpoint::{Decision, Endpointer};
pub use followed::{Followed, Following};
pub(crate) use frame::instructions;
pub use frame::{Frame, Medium};
pub use greeting::Greeting;
pub use memory::Remembering;
pub(crate) use memory::SUMMARY;
pub use moment::Moment;
pub use news::{News, Speaker};
pub use overhear::Overhearing;
pub use own::announce;
pub(crate) use persona::MOST_TOKENS;
pub use persona::{Backdrop, Persona, Phrase};
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
use doubt::Doubt;
use interruption::Yields;
use listen::{Listened, Quiet};
use opener::Opener;
use own::Uttering;
use reply::Reply;
use speak::Said;
use suspended::Waits;
use tongues::is_known;

use crate::{
    call::{Record, Supervisor, Toolbox},
    engines::Engines,
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
    /// The caller spoke, and no word was understood, again and again.
    NotUnderstood,
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
    /// The caller's words have shown which language they speak.
    is_known: bool,
    /// What is known of the time that a server takes.
    lateness: Lateness,
    /// What is said before a reply that comes late.
    opener: Opener,
    /// Somebody is about to speak with the caller.
    taker: Option<Supervisor>,
}

impl Conversation<'_> {
    /// Holds the conversation, or goes on with one that has waited, until it ends; the caller of this hangs up.
    pub async fn hold(mut self, suspended: Option<Suspended>, ear: &mut Ear, voice: &mut Voice) -> Ending {
        let frame = Frame::of(self.persona, Medium::Voice);
        let mut context = Context::new(&self.persona.prompt, self.persona.reach()).framed(frame);
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
        let mut doubt = Doubt::default();
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
                    let Uttering { heard, ending, .. } = self.say_all(reply, Yields::Words, ear, voice).await;
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
                Listened::Silence if doubt.has_asked => match self.leave_silence(ear, voice).await {
                    Some(ending) => return ending,
                    // Somebody is there after all, and is listened to.
                    None => {
                        doubt.has_asked = false;
                        quiet = Quiet::from_now(self.limits.ask_after);
                        continue;
                    }
                },
                Listened::Silence => {
                    doubt.has_asked = true;
                    self.record.event("are_you_there", Value::Null);
                    let asked = self.say_as((Phrase::AreYouThere, Yields::AnyWord), ear, voice).await;
                    if let Some(ending) = asked.ending {
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
                if let Some(ending) = self.not_understood(&mut doubt, ear, voice).await {
                    return ending;
                }
                // Whoever speaks is not silent, whatever is understood of it.
                quiet = Quiet::from_now(self.limits.ask_after);
                continue;
            }
            doubt = Doubt::default();
            ear.understood(&transcript.text);
            self.language = transcript.language;
            self.meanwhile.is_known |= is_known(&transcript.text);
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
}

/// What a reply came to.
enum Answered {
    GoOn,
    /// An engine failed on the way, and nobody has told the caller.
    Failed(EngineError),
    End(Ending),
}
