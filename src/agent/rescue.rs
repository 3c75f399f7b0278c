//! What becomes of a turn that an engine has lost: it is answered anew, and nobody must say it again.
//!
//! ```text
//!  has failed ─────► asked once more, unheard ─┬─ an answer
//!  nothing comes ──► apology ─► once more ─────┤
//!                       ▲                      └─ fails ─┬─ one failure too many ─► the plan of `failed`, or a goodbye
//!                       └───────────── nothing comes ────┤
//!                                                        └─ by itself ─► apology, and the caller has the floor
//! ```

use std::time::Duration;

use milo_media::Voice;
use milo_models::{
    engine::{EngineError, Language},
    language_model::ChatRequest,
    queue::Wanted,
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Audience, Context, Conversation, Ear, Ending, FAILURES, Phrase,
    again::again,
    answer::Task,
    begun::{Begun, TurnEnd},
    mouth::{Mouth, Spoken},
    reply::Asking,
    speak::Said,
    stopgap::Due,
};
use crate::{
    engines::{Brief, Mode},
    store::Stamp,
};

impl Conversation<'_> {
    /// The model is asked to answer, whoever has answered before first, and shortly where there is little time; where it has no place, for
    /// a while.
    pub(super) fn asking(&self, context: &Context, task: &Task, by: Option<Mode>, wanted: Wanted) -> Asking {
        let mind = self.engines.mind.clone();
        let first = by.unwrap_or_else(|| self.meanwhile.lateness.first(mind.mode()));
        let request = ChatRequest { wanted, ..self.request(context, &task.told, &task.done) };
        let brief = self.brief(task.since.elapsed(), self.language);
        Box::pin(async move { again(|| mind.reply_in_time(request.clone(), brief, first)).await })
    }

    /// That a reply is to be short, where the turn has been over for so long that its budget is at risk. Whoever takes replies whole has
    /// none.
    pub(super) fn brief(&self, spent: Duration, language: Language) -> Option<Brief> {
        if self.record.audience().is_some_and(Audience::is_patient) {
            return None;
        }
        let expected = self.meanwhile.lateness.at_risk(spent, self.limits.filler)?;
        Some(Brief { language, spent, expected })
    }

    /// What is said when nothing has come of a turn by then: that of the budget, or, where the persona has nothing to say to that, the
    /// apology, later.
    pub(super) fn due(&self, since: Instant) -> Option<Due> {
        let is_patient = self.record.audience().is_some_and(Audience::is_patient);
        let due = || Due::of(Some(self.persona), self.phrases, self.language, since + self.limits.filler);
        (!is_patient).then(due).flatten()
    }

    /// A stage has brought nothing for long, and something is said in its place.
    pub(super) fn waits(&mut self, stage: &'static str, times: usize) {
        if times <= 1 {
            self.engines.mind.quicker("filler");
            self.record.event("filler", json!({ "for": stage }));
            return;
        }
        tracing::warn!(call.id = %self.record.id(), stage, times, "a turn stands still");
        self.record.event("stuck", json!({ "stage": stage, "times": times }));
    }

    /// A reply that broke off before anything of it was heard is made anew: at once and once where something has failed, after the apology
    /// and as long as the caller has patience where nothing has come.
    pub(super) async fn replayed(
        &mut self,
        mut said: Said,
        (task, mouth): (&mut Task, &mut Mouth),
        context: &mut Context,
        (ear, voice): (&mut Ear, &mut Voice),
    ) -> Said {
        let mut is_tried = false;
        while let Said::Ended(Spoken::Broken(error)) = &said {
            let (error, is_of_time) = (error.clone(), error.is_of_time());
            if matches!(error, EngineError::Input(_))
                || !mouth.heard(voice).is_empty()
                || self.meanwhile.failures + 1 >= FAILURES
                || (is_tried && !is_of_time)
            {
                break;
            }
            let stage = mouth.waits_for();
            if is_of_time {
                self.meanwhile.failures += 1;
                if let Some(over) = self.apologise(&error, ear, voice).await {
                    *mouth = self.silent(voice);
                    return over;
                }
            }
            is_tried = true;
            self.record.event("replayed", json!({ "stage": stage, "after": error.to_string() }));
            self.chosen(mouth);
            *mouth = self.silent(voice).or_at(self.due(Instant::now()));
            said = self.ask_on(task, mouth, context, (ear, voice)).await;
            said = self.act_on(said, task, mouth, context, (ear, voice)).await;
        }
        said
    }

    /// Tells the caller that something has failed; what that came to, where they do not wait for more.
    async fn apologise(&mut self, error: &EngineError, ear: &mut Ear, voice: &mut Voice) -> Option<Said> {
        self.failed(error);
        let began = Stamp::now();
        let mut apology = self.phrase(Phrase::Apology, voice);
        let said = self.speak(&mut apology, ear, voice).await;
        self.write_own(began, &apology, &said, voice);
        (!matches!(said, Said::Ended(_))).then_some(said)
    }

    /// A turn was not transcribed: the caller is told, and it is heard once more unless they speak meanwhile.
    pub(super) async fn unheard(
        &mut self,
        error: &EngineError,
        end: TurnEnd,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Option<Ending> {
        let sound = ear.turn_aside();
        if let Some(ending) = self.recover(error, ear, voice).await {
            return Some(ending);
        }
        if !error.is_of_time() || sound.is_empty() || ear.speaking() || self.meanwhile.begun.is_begun() {
            ear.answered();
            return None;
        }
        self.record.event("replayed", json!({ "stage": "stt", "after": error.to_string() }));
        self.meanwhile.begun = Begun::anew(end, sound, self.engines);
        None
    }
}
