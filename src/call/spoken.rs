//! Questions of a plan that may be answered in words: what `gather` and `menu` do besides waiting for keys.

use std::time::Duration;

use milo_models::{engine::Language, transcriber::Transcript};
use serde_json::json;

use super::{House, Record, talk::patience, verbs::Line};
use crate::{
    agent::{Answer, Asked, Ear, Question},
    dialplan::{Gather, Input, Menu, Prompt},
};

/// How words are waited for.
struct Awaited {
    expects: Option<Language>,
    first: Duration,
    /// Silence that ends them; none: as in a conversation, where their sound has a say in it. And how long they may be.
    pause: Option<Duration>,
    longest: Duration,
    takes_keys: bool,
}

/// What a caller answered.
pub(super) enum Reply {
    /// A key; it is the first of those that wait.
    Key,
    Words(Transcript),
    /// Neither, or nothing that could be heard.
    Nothing,
}

/// A sure word is one of a hundred percent; nothing where the transcriber does not say how sure it is.
pub(super) fn percent(transcript: &Transcript) -> Option<u8> {
    transcript.confidence.map(|sure| (sure.clamp(0.0, 1.0) * 100.0).round() as u8)
}

impl Line {
    /// Asks what `gather` asks, for words.
    pub(super) async fn ask_words(
        &mut self,
        gather: &Gather,
        prompts: &[&Prompt],
        (house, language, log): (&House, Language, &Record),
    ) -> Reply {
        let awaited = Awaited {
            expects: gather.language,
            first: Duration::from_secs(gather.first_seconds),
            pause: gather.pause_ms.map(Duration::from_millis),
            longest: Duration::from_secs(gather.speech_seconds),
            takes_keys: gather.input == Input::Both,
        };
        self.ask(&awaited, prompts, (house, language, log)).await
    }

    /// Asks what `menu` asks, for a key or for words that stand for one.
    pub(super) async fn ask_choice(
        &mut self,
        menu: &Menu,
        prompts: &[&Prompt],
        (house, language, log): (&House, Language, &Record),
    ) -> Reply {
        let awaited = Awaited {
            expects: None,
            first: Duration::from_secs(menu.seconds),
            pause: None,
            longest: Duration::from_secs(10),
            takes_keys: true,
        };
        self.ask(&awaited, prompts, (house, language, log)).await
    }

    async fn ask(
        &mut self,
        awaited: &Awaited,
        prompts: &[&Prompt],
        (house, language, log): (&House, Language, &Record),
    ) -> Reply {
        if awaited.takes_keys && !self.typed.is_empty() {
            return Reply::Key;
        }
        let mut asked = Vec::new();
        for prompt in prompts {
            match prompt {
                Prompt::Say(words) => asked.push(Asked::Words(words.clone())),
                Prompt::Play(file) => match house.sound(self.edition.dialplans.sound(file)).await {
                    Ok(sound) => asked.push(Asked::Sound(sound)),
                    Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
                },
            }
        }
        let Some(ears) = self.ears.take() else { return Reply::Nothing };
        let patience = patience(&house.conversation, awaited.pause, awaited.longest);
        let judge = house.engines.end_of_turn.clone().filter(|_| awaited.pause.is_none());
        let ear = Ear::new(ears, self.cleaning, house.engines.activity.stream(), patience);
        let mut ear = ear.judged_by(judge);
        let question = Question {
            engines: &house.engines,
            language,
            expects: awaited.expects,
            first: awaited.first,
            takes_keys: awaited.takes_keys,
            until: self.until,
        };
        let answer = question.ask(&asked, &mut ear, &mut self.voice, |key| log.digit(key)).await;
        if !matches!(answer, Answer::Closed) {
            self.ears = Some(ear.into_ears());
        }
        match answer {
            Answer::Words(transcript) => Reply::Words(transcript),
            Answer::Key(key) => {
                self.typed.push_back(key);
                Reply::Key
            }
            Answer::Failed(error) => {
                tracing::warn!(call.id = %log.id(), %error, "an engine failed in a call");
                log.event("engine_failed", json!({ "error": error.to_string() }));
                self.apologise(language).await;
                Reply::Nothing
            }
            Answer::Silence | Answer::TimeUp | Answer::Closed => Reply::Nothing,
        }
    }
}
