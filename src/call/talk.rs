//! One conversation of the agent on the line.

use std::{sync::Arc, time::Duration};

use milo_media::Ambience;
use milo_models::engine::Language;
use serde_json::json;
use tokio::select;

use super::{House, Record, Toolbox, answering::Watch, memory::recall, verbs::Line};
use crate::{
    agent::{Audience, Conversation, Ear, Ending, Limits, Meanwhile, Patience},
    config,
    dialplan::{Detect, Variables},
    error::Error,
};

/// How a conversation is held.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// Who speaks.
    pub(super) persona: &'a str,
    /// What is done where it is no person who has answered.
    pub(super) detect: Option<&'a Detect>,
    /// Whether a plan goes on where engines fail again and again.
    pub(super) is_relieved: bool,
}

impl Line {
    /// The agent talks, until the conversation ends or it is no person who has answered: then the ear goes on with what
    /// they are saying.
    pub(super) async fn talk(
        &mut self,
        house: &House,
        How { persona: name, detect, is_relieved }: How<'_>,
        (plan, variables): (&str, &mut Variables),
        language: Language,
        log: &mut Record,
    ) -> Result<(Ending, Option<Ear>), Error> {
        let edition = Arc::clone(&self.edition);
        let Some(known) = edition.dialplans.persona(name) else {
            return Err(Error::Dialplan(format!("no persona {name:?}")));
        };
        let language = recall(house, known, variables, (plan, language), log).await;
        let persona = &*known.told_of(variables, language);
        log.wanted(&house.analyses, persona);
        log.notes().speaks(name, persona.mode);
        let engines = &*house.engines.in_mode(persona.mode);
        log.notes().spoken(language);
        if let Some(backdrop) = &persona.ambience {
            match house.sound(edition.dialplans.sound(&backdrop.file)).await {
                Ok(sound) => self.voice.ambience(Ambience::new(sound, backdrop.level_db, backdrop.ducked_db)),
                Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
            }
        }
        let Some(ears) = self.ears.take() else { return Ok((Ending::Lost, None)) };
        let conversation = &persona.turns.within(&house.conversation);
        let patience = usual_patience(conversation);
        // Whoever speaks when it likes is asked nothing.
        let is_patient = log.audience().is_some_and(Audience::is_patient);
        let prompt_s = if is_patient { house.longest.as_secs() } else { conversation.silence_prompt_s };
        let limits = Limits {
            patience,
            ask_after: Duration::from_secs(prompt_s),
            leave_after: Duration::from_secs(
                conversation.silence_hangup_s.saturating_sub(conversation.silence_prompt_s).max(1),
            ),
            until: self.until,
            filler: Duration::from_millis(conversation.filler_ms),
            is_relieved,
            drafts: conversation.early_replies,
        };
        let mut watch = detect.and_then(|_| self.watch.take());
        if watch.as_ref().is_some_and(Watch::doubts) {
            log.doubt();
        }
        let ear = Ear::new(ears, self.cleaning, engines.activity.stream(), patience);
        let ear = ear.watched_by(watch.as_mut().and_then(|watch| watch.detector.take()));
        let mut ear = ear.judged_by(engines.end_of_turn.clone());
        let (key, notes) = (log.key(), log.notes());
        let tools = Toolbox::new((&edition, persona), variables, &mut self.begun, (house, plan, log));
        let (prompts, takers, speaking) = house.live.supervised(key, !is_patient);
        let suspended = self.suspended.take().filter(|suspended| suspended.persona() == name);
        let talk = Conversation {
            name,
            tools,
            suspended: &mut self.suspended,
            engines,
            persona,
            phrases: &edition.phrases,
            record: log,
            limits,
            language,
            prompts,
            takers,
            meanwhile: Meanwhile::default(),
        };
        let holding = talk.hold(suspended, &mut ear, &mut self.voice);
        let ending = match (&mut watch, detect) {
            (Some(watch), Some(detect)) => select! {
                biased;
                who = watch.follow(detect, &notes) => Ending::Answered(who),
                ending = holding => ending,
            },
            _ => holding.await,
        };
        drop(speaking);
        self.voice.ambience(None);
        // An onset at its end may have left it paused, and what the plan does next is to be heard.
        self.voice.resume();
        if matches!(ending, Ending::Answered(_)) {
            self.voice.flush();
            log.settle(false);
        }
        if matches!(ending, Ending::Tool | Ending::TakenOver) {
            // Somebody else gets the call, and is to know what was said so far.
            log.settle(true);
        }
        if matches!(ending, Ending::Answered(_)) {
            self.watch = watch;
            return Ok((ending, Some(ear)));
        }
        let (ears, detector) = ear.into_parts();
        if let Some(mut watch) = watch {
            watch.detector = detector;
            self.watch = Some(watch);
        }
        if ending != Ending::Lost {
            self.ears = Some(ears);
        }
        Ok((ending, None))
    }
}

/// After so much silence a turn has likely ended; after half of what ends it, where that is less.
const LIKELY: Duration = Duration::from_millis(200);
/// So much silence ends a turn that sounds finished: what the model needs to say so, and a little more than the gaps within words.
const SURE: Duration = Duration::from_millis(240);

/// A turn of a conversation that is longer is cut and answered.
const LONGEST_TURN: Duration = Duration::from_secs(20);

/// How a conversation waits for its caller.
pub(crate) fn usual_patience(conversation: &config::Conversation) -> Patience {
    patience(conversation, None, LONGEST_TURN)
}

/// What counts as speech, when silence ends it, or so much of it. A plan's own `end` is the only silence that does.
pub(super) fn patience(conversation: &config::Conversation, end: Option<Duration>, longest: Duration) -> Patience {
    let pause = end.unwrap_or(Duration::from_millis(conversation.longest_pause_ms));
    let end = end.unwrap_or(Duration::from_millis(conversation.end_of_turn_ms));
    Patience {
        onset: Duration::from_millis(64),
        confirm: Duration::from_millis(160),
        likely: (end / 2).min(LIKELY),
        sure: end.min(SURE),
        end,
        pause: pause.max(end),
        longest,
    }
}
