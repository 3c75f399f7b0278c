//! Questions of a plan that may be answered in words: what `gather` and `menu` do besides waiting for keys.

use std::time::Duration;

use milo_models::{engine::Language, text::heard, transcriber::Transcript};
use serde_json::json;

use super::{House, Record, ask::Gathered, talk::patience, verbs::Line};
use crate::{
    agent::{Answer, Asked, Ear, Phrase, Question, Suspended},
    dialplan::{Gather, Input, Menu, Prompt},
};

/// How often it is asked whether something is meant that is answered neither by yes nor by no.
const ASKED: usize = 2;
/// The keys that say so, as where a colleague is asked to take a call.
const YES: char = '1';
const NO: char = '2';

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

    /// Reads back what `gather` has understood, in the language of the answer: true when the caller says that they have meant it.
    pub(super) async fn is_meant(
        &mut self,
        gather: &Gather,
        gathered: &Gathered,
        (house, language, log): (&House, Language, &Record),
    ) -> bool {
        let language = gathered.language.or(self.suspended.as_ref().map(Suspended::language)).unwrap_or(language);
        let value = gather.read_back(&gathered.value, gathered.language.is_none(), language);
        let takes_keys = gather.input != Input::Speech;
        let prompt = Prompt::Say(question(&value, takes_keys, language));
        let awaited = Awaited {
            expects: None,
            first: Duration::from_secs(gather.first_seconds),
            pause: None,
            longest: Duration::from_secs(10),
            takes_keys,
        };
        let (mut asked, mut has_ended) = (0, false);
        while asked < ASKED {
            // What was pressed before says nothing about what is read back now.
            self.typed.clear();
            let answer = match self.ask(&awaited, &[&prompt], (house, language, log)).await {
                Reply::Key => match self.typed.pop_front() {
                    Some(YES) => Some(true),
                    Some(NO) => Some(false),
                    // A value that was complete by itself is ended once more by who is used to it.
                    Some(key) if !has_ended && gather.ends.contains(key) => {
                        has_ended = true;
                        continue;
                    }
                    _ => None,
                },
                Reply::Words(transcript) => meant(&transcript.text),
                Reply::Nothing => None,
            };
            asked += 1;
            log.event("read_back", json!({ "into": gather.into, "right": answer }));
            match answer {
                Some(is_meant) => return is_meant,
                None if self.lost() => return false,
                None => {}
            }
        }
        false
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
        let engines = house.engines_of(self.asker());
        let usual = house.conversation.filler_ms;
        let filler = self.asker().map_or(usual, |one| one.limits.within(&house.conversation).filler_ms);
        let Some(ears) = self.ears.take() else { return Reply::Nothing };
        let patience = patience(&house.conversation, awaited.pause, awaited.longest);
        let judge = engines.end_of_turn.clone().filter(|_| awaited.pause.is_none());
        let ear = Ear::new(ears, self.cleaning, engines.activity.stream(), patience);
        let mut ear = ear.judged_by(judge);
        let question = Question {
            engines: &engines,
            language,
            expects: awaited.expects,
            first: awaited.first,
            takes_keys: awaited.takes_keys,
            until: self.until,
            wait: (self.phrase(Phrase::Wait, language), Duration::from_millis(filler)),
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

/// Whether it was said that something is meant: only by a yes and nothing else. `None`: by neither yes nor no.
fn meant(words: &str) -> Option<bool> {
    if heard::agrees(words) { Some(true) } else { heard::yes(words).filter(|is_yes| !is_yes) }
}

/// What is asked about a value.
fn question(value: &str, takes_keys: bool, language: Language) -> String {
    let (asks, keys) = match language {
        Language::Mg => ("marina ve izany?", format!(" Tsindrio {YES} raha eny, {NO} raha tsia.")),
        Language::Fr => ("c'est bien ça?", format!(" Appuyez sur {YES} pour oui, sur {NO} pour non.")),
    };
    format!("{value}, {asks}{}", if takes_keys { keys.as_str() } else { "" })
}

#[cfg(test)]
mod tests {
    use milo_models::text::speakable;

    use super::*;

    #[test]
    fn only_a_yes_means_it_and_a_no_with_more_is_a_no() {
        for (said, wanted) in [
            ("eny", Some(true)),
            ("oui c'est ça", Some(true)),
            ("tsia, alarobia", Some(false)),
            ("non, le cinq", Some(false)),
            ("eny fa ny talata", None),
            ("inona?", None),
            ("", None),
        ] {
            assert_eq!(meant(said), wanted, "{said}");
        }
    }

    #[test]
    fn what_is_asked_about_can_be_said() {
        let said = speakable(&question("034 12 345 67", true, Language::Mg), Language::Mg);
        assert!(said.starts_with("aotra telo efatra, iray roa") && said.contains("Tsindrio iray raha eny"), "{said}");
        let said = speakable(&question("mercredi 6 janvier 2027", false, Language::Fr), Language::Fr);
        assert!(
            said.contains("six janvier deux mille vingt-sept, c'est bien ça?") && !said.contains("pour oui"),
            "{said}"
        );
    }
}
