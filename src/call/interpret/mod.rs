//! An interpreter between the two of a bridge, however they came together: what one says is cut into turns, understood, translated, and told to the other.
//!
//! ```text
//!  caller ─► Ear ─► turn ─► 20 s may wait ─► transcript ─► translation ─► Mouth ─► called
//!                             └─ too fast        └─ none      └─ none that is sure: told to the caller, in theirs
//!  called ─► … the same the other way
//! ```
//! It is one future beside the bridge's, and ends with it; the models run on their own threads. Where they fail, the bridge goes on as
//! an ordinary one.

mod backlog;
mod mouth;
mod notice;
mod utterance;
mod way;

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use milo_media::{Announcer, Beside, Bridge, Cleaning};
use milo_models::engine::{EngineError, Language};
use serde_json::json;
use tokio::select;

use super::{House, Record, notes::Notes, talk::patience};
use crate::{
    agent::{Ear, SetPhrases},
    dialplan::{Edition, Interpret, Original},
    engines::Mode,
};
use backlog::Backlog;
use mouth::{Mouth, ways};
use notice::Notice;
use way::Way;

pub use notice::interpreter_sentences;

/// A turn that is longer is cut: whoever speaks without a pause is told to the other all the same.
const LONGEST: Duration = Duration::from_secs(10);
/// How far below what they say the other is heard behind the translation.
const QUIET_DB: f32 = -18.0;
/// So many failures of engines in a row end it.
const FAILURES: usize = 3;

/// What a plan wants interpreted.
pub(super) struct Wanted<'p> {
    pub(super) interpret: &'p Interpret,
    /// What the log calls the other one: `called`, or `waiting`.
    pub(super) other: &'static str,
    /// What is done to their sound before it is listened to.
    pub(super) cleaning: Cleaning,
}

/// Where it is written down what the two say.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    /// The call that has the interpreter.
    pub(super) log: &'a Record,
    /// The other one's call, where they have one of their own: what is private there is private here.
    pub(super) others: Option<&'a Notes>,
}

impl Account<'_> {
    fn was_private_since(self, then: Instant) -> bool {
        self.log.notes().was_private_since(then) || self.others.is_some_and(|others| others.was_private_since(then))
    }

    /// Who may hear what the two say: no server, where a persona has spoken with either that is kept local.
    fn mode(self) -> Option<Mode> {
        self.log.notes().mode().or_else(|| self.others.and_then(Notes::mode))
    }

    /// What is said, as the log may have it.
    fn words(self, said: &str) -> &str {
        let said = self.log.words(said);
        self.others.map_or(said, |others| others.words(said))
    }
}

/// An interpreter at work. Dropped, it stops.
pub(super) struct Interpreter<'a> {
    state: State<'a>,
    /// How the two are told that it has ended, the first and the second: a bridge without an interpreter has nobody to say it.
    ends: [(Announcer, Arc<[i16]>); 2],
}

enum State<'a> {
    Works(Pin<Box<dyn Future<Output = EngineError> + Send + 'a>>),
    /// The two are told that it does no more.
    Tells(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl<'a> Interpreter<'a> {
    /// Stands between the two of this bridge, the caller and the other one.
    pub(super) fn begin(
        (bridge, announcers): (&mut Bridge, [Announcer; 2]),
        Wanted { interpret: &Interpret { caller, callee, original }, other, cleaning }: Wanted<'_>,
        cleaning_of_caller: Cleaning,
        (house, edition): (&'a House, &'a Edition),
        account: Account<'a>,
    ) -> Self {
        account.log.event("interpreting", json!({ "caller": caller, "callee": callee, "original": original }));
        let phrases = &edition.phrases;
        let besides = bridge.between((original == Original::Quiet).then_some(QUIET_DB));
        let sound = |language| phrases.sentence(Notice::Ends.words(language), language);
        let [to_caller, to_called] = announcers;
        let ends = [(to_caller, sound(caller)), (to_called, sound(callee))];
        let speakers = [("caller", caller), (other, callee)];
        let work = work((besides, [cleaning_of_caller, cleaning]), speakers, (house, phrases), account);
        Self { state: State::Works(Box::pin(work)), ends }
    }

    /// Works until engines fail, and says how; the bridge is theirs alone from then on, and asked again, the two are told so. Cancel
    /// safe.
    async fn failed(&mut self) -> EngineError {
        loop {
            match &mut self.state {
                State::Works(work) => {
                    let error = work.await;
                    let [first, second] = self.ends.clone();
                    let say = |(announcer, sound): (Announcer, Arc<[i16]>)| async move { announcer.say(&sound).await };
                    self.state = State::Tells(Box::pin(async move {
                        // Whoever has hung up, or is told something else, hears the other now.
                        tokio::join!(say(first), say(second));
                    }));
                    return error;
                }
                State::Tells(telling) => {
                    telling.await;
                    self.state = State::Over;
                }
                State::Over => pending().await,
            }
        }
    }
}

/// Works until the engines of one fail, and then as it does; where nobody interprets, for ever. Cancel safe.
pub(super) async fn failed(interpreter: &mut Option<Interpreter<'_>>, log: &Record) {
    let Some(interpreter) = interpreter else { return pending().await };
    let error = interpreter.failed().await;
    tracing::warn!(call.id = %log.id(), %error, "an interpreter failed; the two hear each other without it");
    log.event("interpreting_ended", json!({ "error": error.to_string() }));
}

/// Both ways, until engines fail.
async fn work(
    ([caller, called], [cleaning_of_caller, cleaning_of_called]): ([Beside; 2], [Cleaning; 2]),
    [(first, spoken_by_caller), (second, spoken_by_called)]: [(&'static str, Language); 2],
    (house, phrases): (&House, &SetPhrases),
    account: Account<'_>,
) -> EngineError {
    let engines = &*house.engines.in_mode(account.mode());
    let (to_caller, notices_to_caller, for_caller) = ways();
    let (to_called, notices_to_called, for_called) = ways();
    for notices in [&notices_to_caller, &notices_to_called] {
        notices.tell(Notice::Begins);
    }
    let ear = |ears, cleaning| {
        let patience = patience(&house.conversation, None, LONGEST);
        Ear::new(ears, cleaning, engines.activity.stream(), patience).judged_by(engines.end_of_turn.clone())
    };
    let there = Way {
        who: first,
        from: spoken_by_caller,
        to: spoken_by_called,
        speaker: notices_to_caller.clone(),
        other: to_called,
        backlog: Backlog::new(),
        house,
        engines,
        account,
    };
    let back = Way {
        who: second,
        from: spoken_by_called,
        to: spoken_by_caller,
        speaker: notices_to_called.clone(),
        other: to_caller,
        backlog: Backlog::new(),
        house,
        engines,
        account,
    };
    let log = account.log;
    let mouth = |voice, language, sayings, other| Mouth { voice, language, sayings, other, engines, phrases, log };
    let at_caller = mouth(caller.voice, spoken_by_caller, for_caller, notices_to_called);
    let at_called = mouth(called.voice, spoken_by_called, for_called, notices_to_caller);
    select! {
        error = there.follow(ear(caller.ears, cleaning_of_caller)) => error,
        error = back.follow(ear(called.ears, cleaning_of_called)) => error,
        error = at_caller.speak() => error,
        error = at_called.speak() => error,
    }
}
