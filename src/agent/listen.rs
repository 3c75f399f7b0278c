//! Listening: from the caller's first word to the transcript of a finished turn.

use std::{mem, sync::Arc, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::EngineError,
    language_model::{ChatMessage, ChatRequest},
    queue::{Class, Wanted},
    transcriber::Transcript,
};
use serde_json::Value;
use tokio::{select, time::sleep_until};

use super::{
    Context, Conversation, Ear, Happened,
    begun::{Begun, Heard},
    draft::Draft,
    ear::Noticed,
    endpoint::Decision,
    partial::Partials,
    reply::Reply,
    stopgap::Stopgap,
    tongues::is_known,
};

/// What listening came to.
pub(super) enum Listened {
    Turn(Box<Heard>),
    /// Somebody wants words to be said.
    Prompted(String),
    Silence,
    TimeUp,
    /// Voice activity failed.
    Deaf(EngineError),
    Closed,
    /// Somebody takes the call over. What the caller was saying is theirs.
    TakenOver,
}

/// How long nothing may be understood.
pub(super) struct Quiet {
    patience: Duration,
    until: tokio::time::Instant,
}

impl Quiet {
    pub(super) fn from_now(patience: Duration) -> Self {
        Self { patience, until: tokio::time::Instant::now() + patience }
    }

    fn begin(&mut self) {
        *self = Self::from_now(self.patience);
    }
}

impl Conversation<'_> {
    /// Listens until the caller has finished a turn, or until it was quiet for too long. The transcript is begun on the
    /// likely end and taken anew when the caller goes on, also after the end, as long as the transcript is awaited; the reply is begun
    /// on the transcript. Where that takes long, something is said meanwhile.
    pub(super) async fn listen(
        &mut self,
        (ear, voice): (&mut Ear, &mut Voice),
        quiet: &mut Quiet,
        context: &Context,
    ) -> Listened {
        // What failed while Milo spoke, and still does, was told to nobody.
        if let Some(error) = ear.deafness() {
            return Listened::Deaf(error.clone());
        }
        let mut begun = mem::take(&mut self.meanwhile.begun);
        let mut stopgap = Stopgap::new(begun.awaited().and_then(|since| self.due(since)));
        let mut partials = Partials::new(self.record.audience().is_some_and(|audience| !audience.is_patient()));
        if !begun.is_over() {
            self.transcribed(&mut begun, &mut partials, ear, context);
            if ear.speaking() {
                partials.begin();
            }
        }
        loop {
            if !begun.is_over()
                && !ear.speaking()
                && let Some(words) = self.meanwhile.to_say.pop_front()
            {
                return Listened::Prompted(words);
            }
            let waits = begun.waits();
            if waits.is_none_or(|until| tokio::time::Instant::now() >= until && !ear.speaking())
                && let Some(heard) = begun.take()
            {
                // What nobody has understood may be heard once more.
                if heard.transcript.is_ok() {
                    ear.answered();
                }
                self.meanwhile.stopgap = stopgap;
                return Listened::Turn(Box::new(heard));
            }
            let (is_new, due) = (!begun.is_transcribed(), partials.due());
            let stopgap_due = stopgap.due().filter(|_| begun.awaited().is_some() && !ear.speaking());
            let noticed = select! {
                noticed = ear.next() => noticed,
                () = begun.work() => {
                    if is_new && !begun.is_over() {
                        self.transcribed(&mut begun, &mut partials, ear, context);
                    }
                    continue;
                }
                () = sleep_until(due.unwrap_or(quiet.until)), if due.is_some() => {
                    partials.transcribe(ear, self.engines);
                    continue;
                }
                (text, language) = partials.next() => {
                    self.record.tell(|| Happened::Heard { text, language, is_partial: true });
                    continue;
                }
                () = sleep_until(stopgap_due.unwrap_or(quiet.until)), if stopgap_due.is_some() => {
                    stopgap.say();
                    self.waits("stt", stopgap.said());
                    continue;
                }
                () = stopgap.speak(voice), if stopgap.is_speaking() => continue,
                Some(prompt) = self.prompts.recv() => {
                    self.prompted(prompt);
                    continue;
                }
                Some(supervisor) = self.takers.recv() => {
                    self.meanwhile.taker = Some(supervisor);
                    return Listened::TakenOver;
                }
                text = self.record.typed(), if !begun.is_over() && !ear.speaking() => {
                    return Listened::Turn(Box::new(Heard::written(text, self.language)));
                }
                // The words came after the silence had decided, and are not all: as much time as if they had come before.
                () = sleep_until(waits.unwrap_or(quiet.until)), if waits.is_some() && !ear.speaking() => continue,
                () = sleep_until(quiet.until), if !begun.is_over() && !ear.speaking() => return Listened::Silence,
                () = sleep_until(self.limits.until) => return Listened::TimeUp,
            };
            match noticed {
                // They had not finished. But a turn that was cut for its length is answered, whatever follows.
                Noticed::Turn(Decision::Confirmed) if begun.is_over() => {
                    if ear.take_up() {
                        self.record.event("went_on", Value::Null);
                        begun.went_on();
                        partials.resume();
                        if stopgap.is_speaking() {
                            voice.flush();
                        }
                        stopgap = Stopgap::default();
                    } else {
                        begun.wait_no_more();
                    }
                }
                Noticed::Turn(Decision::Onset) => {
                    self.meanwhile.withdrawn = false;
                    self.record.tell(|| Happened::Speaking(true));
                }
                Noticed::Turn(Decision::Retracted) => self.record.tell(|| Happened::Speaking(false)),
                Noticed::Turn(_) if begun.is_over() => {}
                Noticed::Turn(Decision::LikelyEnd) => {
                    partials.end();
                    begun.likely_end(ear, self.engines);
                }
                Noticed::Turn(Decision::End) if mem::take(&mut self.meanwhile.withdrawn) => {
                    self.record.tell(|| Happened::Speaking(false));
                }
                Noticed::Turn(Decision::Resumed) => {
                    self.meanwhile.withdrawn = false;
                    self.paused(ear.judgement(), begun.says(), true);
                    begun.resumed();
                    partials.resume();
                }
                Noticed::Turn(Decision::End) => {
                    partials.end();
                    self.ended(&mut begun, ear);
                    stopgap = Stopgap::new(begun.awaited().and_then(|since| self.due(since)));
                }
                Noticed::Turn(Decision::Confirmed) => partials.begin(),
                Noticed::Digit(digit) => {
                    self.record.digit(digit);
                    quiet.begin();
                }
                Noticed::Held => {
                    self.held();
                    if !begun.is_over() {
                        begun.went_on();
                    }
                    partials.end();
                    quiet.until = self.limits.until;
                }
                Noticed::Resumed => {
                    self.resumed();
                    quiet.begin();
                }
                Noticed::Deaf(error) => {
                    self.deaf(&error);
                    // What was said before is answered first.
                    if !begun.is_over() {
                        return Listened::Deaf(error);
                    }
                }
                Noticed::Closed(why) => {
                    self.closed(&why);
                    return Listened::Closed;
                }
            }
        }
    }

    /// What may be all of the turn has its words, if it has: they say whether it is, and a reply to them is begun.
    fn transcribed(&mut self, begun: &mut Begun, partials: &mut Partials, ear: &mut Ear, context: &Context) {
        let Some(Transcript { text, language, .. }) = begun.transcript() else { return };
        ear.reads(begun.says());
        ear.understood(text);
        partials.read(text);
        self.record.tell(|| Happened::Heard { text: text.clone(), language: *language, is_partial: true });
        self.draft(begun, context);
    }

    /// The caller has finished.
    pub(super) fn ended(&mut self, begun: &mut Begun, ear: &mut Ear) {
        self.paused(ear.judgement(), begun.says(), false);
        begun.end(ear, self.engines, self.limits.patience.pause, self.limits.filler);
        self.record.tell(|| Happened::Speaking(false));
    }

    /// Begins the reply to what is transcribed, unless the model must be told something else first.
    fn draft(&mut self, begun: &mut Begun, context: &Context) {
        let may = self.limits.drafts
            && begun.wants_draft()
            && !self.record.has_news()
            && !self.tools.has_news()
            && self.meanwhile.asked.is_none();
        let Some(transcript) = begun.transcript().filter(|_| may) else { return };
        let (class, wanted) = (Class::Speculative, Wanted::perhaps());
        let asked = self.request(context, &transcript.text, &[]);
        let request = ChatRequest { class, wanted: wanted.clone(), ..asked };
        let (mind, first) = (self.engines.mind.clone(), self.meanwhile.lateness.first(self.engines.mind.mode()));
        let (voice, language) = (Arc::clone(&self.engines.voice), transcript.language);
        let (least, dialect) = (self.persona.min_logprob, self.persona.dialect);
        let (words, known) = (transcript.text.clone(), self.meanwhile.is_known || is_known(&transcript.text));
        // The turn is not over yet.
        let brief = self.brief(Duration::ZERO, language);
        begun.drafted(Draft::new(mind.clone(), wanted.clone(), async move {
            let tokens = mind.reply_in_time(request, brief, first).await?;
            let reply = Reply::by_model(tokens, least, &voice, language).in_dialect(dialect);
            Ok(reply.to(known, &words).wanted(class, wanted))
        }));
    }

    /// What the model is asked to answer.
    pub(super) fn request(&self, context: &Context, told: &str, done: &[ChatMessage]) -> ChatRequest {
        ChatRequest {
            messages: context.messages(told, done),
            max_tokens: self.persona.max_tokens,
            temperature: self.persona.temperature,
            seed: 0,
            grammar: None,
            tools: self.tools.tools(),
            class: Class::Call,
            wanted: Wanted::default(),
        }
    }
}
