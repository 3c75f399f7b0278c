//! One turn of the caller is answered: by the reply that was begun, or the model's, and by what the model has done on the way.
//!
//! ```text
//!  words ─► model ─► words ─► mouth
//!             └─ calls ─┬─ a question first ─► the next turn is a yes? ─┐
//!                       ├─ beside: tasks; words or a filler meanwhile ──┴─► what came of them ─► model ─► …
//!                       └─ on the line: the conversation hands over to the plan, and goes on after it
//! ```

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::EngineError,
    language_model::{ChatMessage, Role},
    queue::{Class, Wanted},
    text::heard,
    tools::{Call, not_done},
    transcriber::Transcript,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Answered, Context, Conversation, Ear, Ending, Happened, Phrase, Reply, Suspended,
    begun::Heard,
    mouth::{Mouth, Spoken},
    news::News,
    reply::Doing,
    speak::Said,
    suspended::{OnTheLine, Waits},
};
use crate::store::Stamp;

/// How often a model may have things done for one turn.
const ROUNDS: usize = 4;
/// How many at once.
const MOST: usize = 8;
/// So much of a question need not be heard to know it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is heard and done in one turn.
pub(super) struct Task {
    /// What the model was told.
    pub(super) told: String,
    /// Calls, and what came of them.
    pub(super) done: Vec<ChatMessage>,
    /// Since when nothing but engines is waited for.
    pub(super) since: Instant,
    rounds: usize,
    /// The caller has said yes to what is called next.
    is_agreed: bool,
    /// The tool that the plan is to do on the line.
    hands_over: Option<String>,
}

impl Task {
    fn new(told: String, done: Vec<ChatMessage>, since: Instant) -> Self {
        Self { told, done, since, rounds: 0, is_agreed: false, hands_over: None }
    }

    fn result(&mut self, told: String) {
        self.done.push(ChatMessage::new(Role::Result, told));
    }
}

impl Conversation<'_> {
    /// Replies to one turn and writes its row.
    pub(super) async fn answer(
        &mut self,
        heard: &mut Heard,
        transcript: &Transcript,
        context: &mut Context,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Answered {
        let Transcript { text, language, .. } = transcript;
        if heard.draft.is_none() {
            // What a reply was begun with stays as it is until it is heard.
            self.summed_up(context);
        }
        self.record.tell(|| Happened::Heard { text: text.clone(), language: *language, is_partial: false });
        // A yes has done what was asked about; any other word is answered as ever.
        let agreed = self.meanwhile.asked.take().filter(|_| heard::agrees(text));
        // What happened meanwhile is told before what was said.
        let mut task = Task::new(self.news(text), Vec::new(), heard.since());
        task.is_agreed = agreed.is_some();
        let (mut mouth, said) = match agreed {
            Some(call) => (self.silent(voice), Said::Ended(Spoken::Calls(vec![call]))),
            None => self.reply(heard, &task, text, context, (ear, voice)).await,
        };
        let said = self.act_on(said, &mut task, &mut mouth, context, (ear, voice)).await;
        let said = self.replayed(said, (&mut task, &mut mouth), context, (ear, voice)).await;
        let (marks, mode) = (mouth.marks(), mouth.mode());
        self.chosen(&mut mouth);
        let said = self.doubted(said, &mut mouth, &task, ear, voice).await;
        self.write_turn(heard, transcript, &mouth, (marks, mode), &said, voice);
        self.conclude(task, said, &mouth, context, voice)
    }

    /// Goes on after the plan has done on the line what the model had asked for.
    pub(super) async fn carry_on(
        &mut self,
        OnTheLine { tool, failed, heard, mut done }: OnTheLine,
        context: &mut Context,
        ear: &mut Ear,
        voice: &mut Voice,
    ) -> Answered {
        let began = Stamp::now();
        let (words, told) = match self.tools.done(&tool, failed.as_deref()) {
            Some((tool, report)) => (tool.says(self.language).filter(|_| report.is_done), report.told),
            None => (None, not_done("there is no such tool any more")),
        };
        self.record.event("tool", json!({ "name": tool, "told": self.record.words(&told) }));
        done.push(ChatMessage::new(Role::Result, told));
        // It knows that already.
        let others = self.record.take_news().into_iter().filter(|news| !matches!(news, News::CameBack(_)));
        others.for_each(|news| self.record.news(news));
        let mut task = Task::new(heard, done, Instant::now());
        let mut mouth = self.silent(voice);
        let said = match words {
            Some(words) => {
                mouth.go_on(Some(&self.tools.filled(words, &BTreeMap::new())), None);
                self.speak(&mut mouth, ear, voice).await
            }
            None => self.ask_on(&task, &mut mouth, context, (ear, voice)).await,
        };
        let said = self.act_on(said, &mut task, &mut mouth, context, (ear, voice)).await;
        let said = self.replayed(said, (&mut task, &mut mouth), context, (ear, voice)).await;
        self.chosen(&mut mouth);
        let said = self.doubted(said, &mut mouth, &task, ear, voice).await;
        self.write_own(began, &mouth, &said, voice);
        self.conclude(task, said, &mouth, context, voice)
    }

    /// A reply of which nothing is known yet.
    pub(super) fn silent(&self, voice: &Voice) -> Mouth {
        let reply = Reply::words("", &self.engines.voice, self.language).in_dialect(self.persona.dialect);
        Mouth::new(reply.to(self.meanwhile.is_known, ""), voice).before(self.record.audience())
    }

    /// The reply that was begun, or the model's.
    async fn reply(
        &mut self,
        heard: &mut Heard,
        task: &Task,
        text: &str,
        context: &mut Context,
        (ear, voice): (&mut Ear, &mut Voice),
    ) -> (Mouth, Said) {
        // A reply that was begun early answers what was said, and not what happened meanwhile.
        let deadline = (heard.since() + self.limits.filler).into_std();
        let mut drafted = match heard.draft.take() {
            Some(draft) if task.told == text => draft.keep(deadline),
            Some(draft) => {
                draft.discard();
                None
            }
            None => None,
        };
        if heard.drafts > 0 {
            self.record.event("early_reply", json!({ "begun": heard.drafts, "kept": drafted.is_some() }));
        }
        let is_ready = drafted.as_ref().is_some_and(Reply::is_ready);
        let (mut by, mut due) = (None, self.due_opened(heard.since(), is_ready));
        loop {
            let reply = drafted.take().unwrap_or_else(|| {
                let wanted = Wanted::by(deadline);
                let asking = self.asking(context, task, by, wanted.clone());
                Reply::by_asking(asking, self.persona.min_logprob, &self.engines.voice, self.language)
                    .in_dialect(self.persona.dialect)
                    .to(self.meanwhile.is_known, text)
                    .wanted(Class::Call, wanted)
            });
            let mut mouth = Mouth::new(reply, voice).before(self.record.audience()).or_at(due.take());
            let said = self.speak(&mut mouth, ear, voice).await;
            match said {
                // The conversation has outgrown the model's context: without its oldest exchange it may fit.
                Said::Ended(Spoken::Broken(EngineError::Input(_))) if mouth.text().is_empty() && context.forget() => {
                    by = mouth.mode();
                }
                said => return (mouth, said),
            }
        }
    }

    /// The model goes on, knowing what came of its calls.
    pub(super) async fn ask_on(
        &mut self,
        task: &Task,
        mouth: &mut Mouth,
        context: &mut Context,
        (ear, voice): (&mut Ear, &mut Voice),
    ) -> Said {
        loop {
            mouth
                .go_on_by_asking(self.asking(context, task, mouth.mode(), Wanted::default()), self.persona.min_logprob);
            match self.speak(mouth, ear, voice).await {
                // With what came of the call the conversation is too long for the model.
                Said::Ended(Spoken::Broken(EngineError::Input(_))) if context.forget() => {}
                said => return said,
            }
        }
    }

    /// Has done what the model wants, until it wants no more.
    pub(super) async fn act_on(
        &mut self,
        mut said: Said,
        task: &mut Task,
        mouth: &mut Mouth,
        context: &mut Context,
        (ear, voice): (&mut Ear, &mut Voice),
    ) -> Said {
        while let Said::Ended(Spoken::Calls(calls)) = said {
            said = self.act(calls, task, mouth, context, (ear, voice)).await;
        }
        said
    }

    /// Has done what the model wants, and lets it go on.
    async fn act(
        &mut self,
        mut calls: Vec<Call>,
        task: &mut Task,
        mouth: &mut Mouth,
        context: &mut Context,
        (ear, voice): (&mut Ear, &mut Voice),
    ) -> Said {
        task.rounds += 1;
        if task.rounds > ROUNDS {
            self.refused(&calls[0].tool, "too many in one turn");
            return Said::Ended(Spoken::Nothing);
        }
        // The first that is too many is told to be; of more nobody need know.
        calls.truncate(MOST + 1);
        let is_agreed = mem::take(&mut task.is_agreed);
        if let ([call], false) = (&calls[..], is_agreed)
            && let Some(question) = self.question(call)
        {
            self.record.event("tool_asked", json!({ "name": call.tool }));
            mouth.go_on(Some(&question), None);
            let said = self.speak(mouth, ear, voice).await;
            // Whoever speaks into its last words knows what is asked.
            let is_heard = match &said {
                Said::Ended(Spoken::Whole) => true,
                Said::Interrupted => mouth.asks(voice, LAST_WORDS),
                _ => false,
            };
            self.meanwhile.asked = is_heard.then(|| call.clone());
            return said;
        }
        let (mut words, mut line, mut begun, mut says) = (None, None, Vec::new(), None);
        for call in &calls {
            let wanted = match self.tools.of(call) {
                Ok(_) if begun.len() >= MOST => {
                    begun.push((call, Err("too many at once".to_owned())));
                    continue;
                }
                Ok(_) if line.is_some() => {
                    begun.push((call, Err("one at a time; ask for it again".to_owned())));
                    continue;
                }
                Ok(wanted) if !is_agreed && self.tools.question(&wanted, self.language).is_some() => {
                    begun.push((call, Err("the caller must be asked first; call it alone".to_owned())));
                    continue;
                }
                Ok(wanted) => wanted,
                Err(why) => {
                    self.refused(&call.tool, &why);
                    begun.push((call, Err(why)));
                    continue;
                }
            };
            self.record.event("tool_called", self.detail(&wanted.name, &wanted.arguments));
            words = words.or_else(|| self.tools.meanwhile(&wanted, self.language));
            if wanted.is_beside() {
                let said = self.tools.says(&wanted, self.language).filter(|_| calls.len() == 1);
                says = said.map(|says| (says, wanted.arguments.clone()));
                begun.push((call, Ok(self.tools.begin(wanted))));
            } else {
                if wanted.hangs_up() && mouth.text().is_empty() {
                    words = words.or_else(|| Some(self.persona.phrase(Phrase::Goodbye, self.language).to_owned()));
                }
                line = Some((call, wanted));
            }
        }
        task.done.extend(begun.iter().map(|(call, _)| call.message()));
        task.done.extend(line.iter().map(|(call, _)| call.message()));
        let begun: Vec<_> = begun.into_iter().map(|(_, begun)| begun.map(Arc::new)).collect();
        let waited: Vec<_> = begun.iter().flatten().map(Arc::clone).collect();
        let is_waiting = !waited.is_empty();
        let doing: Doing = Box::pin(async move {
            for ticket in waited {
                ticket.over().await;
            }
        });
        mouth.go_on(words.as_deref(), is_waiting.then_some(doing));
        if is_waiting {
            // Where the caller hears words first, they put it off.
            mouth.fill_at(self.due(Instant::now()));
        }
        let said = if is_waiting || words.is_some() {
            self.speak(mouth, ear, voice).await
        } else {
            Said::Ended(Spoken::Whole)
        };
        let over =
            Some(said).filter(|said| !matches!(said, Said::Ended(Spoken::Done | Spoken::Whole | Spoken::Nothing)));
        for begun in begun {
            let told = match begun.map(|ticket| self.tools.take(&ticket)) {
                Err(why) => not_done(&why),
                Ok(Some(report)) => {
                    says = says.filter(|_| report.is_done);
                    report.told
                }
                Ok(None) => not_done("it is not over yet; you are told when it is"),
            };
            task.result(told);
        }
        task.since = Instant::now();
        if let Some(over) = over {
            // Nobody waits any more: what comes of it is news.
            mouth.go_on(None, None);
            let why = match over {
                Said::TakenOver => "it was not done: a person has taken the call over before it began",
                _ => "it was not done: the caller spoke before it began",
            };
            line.iter().for_each(|_| task.result(not_done(why)));
            return over;
        }
        if let Some((_, wanted)) = line {
            task.hands_over = Some(wanted.name.clone());
            self.tools.prepare(wanted);
            return Said::Ended(Spoken::Whole);
        }
        if let Some((says, arguments)) = says {
            mouth.go_on(Some(&self.tools.filled(&says, &arguments)), None);
            return self.speak(mouth, ear, voice).await;
        }
        self.ask_on(task, mouth, context, (ear, voice)).await
    }

    /// What the caller is asked before this is done.
    fn question(&self, call: &Call) -> Option<String> {
        self.tools.question(&self.tools.of(call).ok()?, self.language)
    }

    fn detail(&self, name: &str, arguments: &BTreeMap<String, String>) -> Value {
        let arguments: serde_json::Map<_, _> =
            arguments.iter().map(|(name, value)| (name.clone(), self.record.words(value).into())).collect();
        json!({ "name": name, "arguments": arguments })
    }

    fn refused(&self, name: &str, why: &str) {
        self.record.event("tool_refused", json!({ "name": name, "why": self.record.words(why) }));
    }

    /// Where the model was too unsure or silent, the caller hears that they were not understood.
    async fn doubted(&mut self, said: Said, mouth: &mut Mouth, task: &Task, ear: &mut Ear, voice: &mut Voice) -> Said {
        if let Some(error) = mouth.broke_off() {
            tracing::warn!(call.id = %self.record.id(), %error, "a reply was cut off; it ends at what was said");
            self.record.event("reply_cut", json!({ "error": error.to_string() }));
        }
        if !matches!(said, Said::Ended(Spoken::Doubtful | Spoken::Nothing)) || task.hands_over.is_some() {
            return said;
        }
        self.doubtful(&said, mouth);
        *mouth = self.phrase(Phrase::NotUnderstood, voice);
        self.speak(mouth, ear, voice).await
    }

    /// The turn is remembered, and its end is the conversation's if it is one.
    fn conclude(&mut self, task: Task, said: Said, mouth: &Mouth, context: &mut Context, voice: &Voice) -> Answered {
        let Task { told, done, hands_over, .. } = task;
        if let (Some(tool), Said::Ended(_)) = (hands_over, &said) {
            self.meanwhile.failures = 0;
            let (persona, language, context) = (self.name.to_owned(), self.language, mem::take(context));
            let waits = Waits::Tool(Box::new(OnTheLine { tool, failed: None, heard: told, done }));
            *self.suspended = Some(Suspended { persona, language, context, waits });
            return Answered::End(Ending::Tool);
        }
        let heard = mouth.heard(voice);
        context.remember(&told, done, &heard);
        if !heard.is_empty() && !matches!(said, Said::Ended(Spoken::Broken(_))) {
            self.meanwhile.failures = 0;
        }
        match said {
            Said::Closed => Answered::End(Ending::Lost),
            Said::TakenOver => Answered::End(Ending::TakenOver),
            Said::Ended(Spoken::Broken(error)) => Answered::Failed(error),
            Said::Ended(_) if mouth.hangs_up() => Answered::End(Ending::Goodbye),
            Said::Ended(_) | Said::Interrupted => Answered::GoOn,
        }
    }
}
