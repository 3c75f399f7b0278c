//! The verbs that speak and wait for an answer: `say`, `gather`, `menu`, `wait`.

use std::{future::pending, time::Duration};

use jiff::civil::Date;
use milo_media::Heard;
use milo_models::engine::Language;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    House, Record,
    spoken::{Reply, percent},
    verbs::{Line, heard},
};
use crate::{
    agent::{Persona, Suspended, announce},
    dialplan::{Gather, Input, Menu, Prompt, Say},
    error::Error,
};

/// As many keys as are kept that were pressed before they were asked for.
pub(super) const AHEAD: usize = 64;

/// What `gather` has got.
pub(super) struct Gathered {
    /// The keys, or what the words mean.
    pub(super) value: String,
    /// The words, if it was words.
    pub(super) words: String,
    /// The language of the words.
    pub(super) language: Option<Language>,
    /// How sure it is.
    pub(super) percent: Option<u8>,
}

/// What came of one time of asking.
enum Try {
    Right(Gathered),
    Wrong,
    /// It was not what the caller had meant.
    Denied,
}

/// What is asked again where the plan has no words for it.
fn again(language: Language) -> Prompt {
    Prompt::Say(
        match language {
            Language::Mg => "Mba avereno azafady.",
            Language::Fr => "Pouvez-vous répéter, s'il vous plaît?",
        }
        .into(),
    )
}

impl Line {
    /// The persona whose tool the plan is doing.
    pub(super) fn asker(&self) -> Option<&Persona> {
        let name = self.suspended.as_ref().map(Suspended::persona)?;
        self.edition.dialplans.persona(name)
    }

    /// The verb `say`.
    pub(super) async fn say(&mut self, say: &Say, house: &House, language: Language, log: &Record) {
        let language = say.language.unwrap_or(language);
        self.utter(&Prompt::Say(say.text.clone()), say.interruptible, (house, language, log)).await;
    }

    /// Says or plays something. A key ends it if it may, and is kept for whoever asks for keys next; when one is kept already,
    /// nothing is said. What cannot be said is written down, and the plan goes on.
    pub(super) async fn utter(
        &mut self,
        prompt: &Prompt,
        interruptible: bool,
        (house, language, log): (&House, Language, &Record),
    ) {
        if interruptible && !self.typed.is_empty() {
            return;
        }
        let engines = house.engines_of(self.asker());
        let Self { ears, voice, until, typed, edition, .. } = self;
        let speaking = async {
            match prompt {
                Prompt::Say(words) => announce(words, language, &engines.voice, voice).await?,
                Prompt::Play(file) => {
                    let sound = house.sound(edition.dialplans.sound(file)).await?;
                    voice.play_all(&sound).await;
                    voice.drained().await;
                }
            }
            Ok::<(), Error>(())
        };
        let listening = async {
            while let Some(heard) = heard(ears, *until).await {
                if let Heard::Digit(key) = heard {
                    log.digit(key);
                    if interruptible {
                        typed.push_back(key);
                        return;
                    }
                }
            }
        };
        let said = select! {
            said = speaking => said,
            () = listening => Ok(()),
        };
        self.voice.flush();
        match said {
            Ok(()) => {}
            Err(error @ Error::Engine(_)) => {
                log.event("engine_failed", json!({ "error": error.to_string() }));
                self.apologise(language).await;
            }
            Err(error) => log.event("sound_failed", json!({ "error": error.to_string() })),
        }
    }

    /// The next key within so long, of those that were pressed ahead or of those to come.
    async fn key(&mut self, within: Duration, log: &Record) -> Option<char> {
        if let Some(key) = self.typed.pop_front() {
            return Some(key);
        }
        // While the caller has the call on hold the time stands still; it begins anew when they are back.
        let mut late = (!self.control.is_held()).then(|| Instant::now() + within);
        loop {
            let over = async {
                match late {
                    Some(late) => sleep_until(late).await,
                    None => pending().await,
                }
            };
            let heard = select! {
                heard = heard(&mut self.ears, self.until) => heard?,
                () = over => return None,
            };
            match heard {
                Heard::Digit(key) => {
                    log.digit(key);
                    return Some(key);
                }
                Heard::Held => {
                    late = None;
                    log.event("held", json!({ "by": "caller" }));
                }
                Heard::Resumed => {
                    late = Some(Instant::now() + within);
                    log.event("resumed", json!({ "by": "caller" }));
                }
                Heard::Frame(_) | Heard::Closed(_) => {}
            }
        }
    }

    /// Keys until they are complete.
    async fn keys(&mut self, gather: &Gather, log: &Record) -> String {
        let mut keys = String::new();
        let mut within = Duration::from_secs(gather.first_seconds);
        while let Some(key) = self.key(within, log).await {
            if gather.ends.contains(key) {
                break;
            }
            keys.push(key);
            if keys.len() == gather.most_keys() {
                break;
            }
            within = Duration::from_secs(gather.next_seconds);
        }
        keys
    }

    /// The verb `gather`: what was pressed or said, or `None` when nothing came that is right, however often it was asked for.
    pub(super) async fn gather(
        &mut self,
        gather: &Gather,
        house: &House,
        (language, today): (Language, Date),
        log: &Record,
    ) -> Option<Gathered> {
        let again = again(self.suspended.as_ref().map_or(language, Suspended::language));
        let mut last = None;
        for attempt in 0..=gather.retries {
            if attempt > 0 {
                // Keys that went wrong are not the first of the next try.
                self.typed.clear();
            }
            let was_wrong = matches!(last, Some(Try::Wrong));
            let mut prompts: Vec<_> = gather.invalid.iter().filter(|_| was_wrong).chain(&gather.prompt).collect();
            if attempt > 0 && prompts.is_empty() {
                prompts.push(&again);
            }
            let tried = self.gather_once(gather, &prompts, (house, language, today), log).await;
            if self.lost() {
                return None;
            }
            last = match tried {
                Try::Right(gathered) if gather.confirm => {
                    let is_meant = self.is_meant(gather, &gathered, (house, language, log)).await;
                    if self.lost() {
                        return None;
                    }
                    if is_meant {
                        return Some(gathered);
                    }
                    Some(Try::Denied)
                }
                Try::Right(gathered) => return Some(gathered),
                tried => Some(tried),
            };
        }
        None
    }

    async fn gather_once(
        &mut self,
        gather: &Gather,
        prompts: &[&Prompt],
        (house, language, today): (&House, Language, Date),
        log: &Record,
    ) -> Try {
        let reply = if gather.input == Input::Digits {
            for prompt in prompts {
                self.utter(prompt, true, (house, language, log)).await;
            }
            Reply::Key
        } else {
            self.ask_words(gather, prompts, (house, language, log)).await
        };
        let gathered = match reply {
            Reply::Key => {
                let keys = self.keys(gather, log).await;
                let meaning = gather.pressed(&keys, today);
                // Which keys, stands in the log key by key, or not at all where it is private.
                log.event("gathered", json!({ "into": gather.into, "keys": keys.len(), "right": meaning.is_some() }));
                let (words, language, percent) = (String::new(), None, Some(100));
                meaning.map(|value| Gathered { value, words, language, percent })
            }
            Reply::Words(transcript) => {
                let percent = percent(&transcript);
                let meaning = gather
                    .meaning(&transcript.text, today)
                    .filter(|_| percent.is_none_or(|percent| percent >= gather.min_confidence));
                log.answered_by(&transcript.text);
                let heard = log.words(&transcript.text);
                let detail = json!({
                    "into": gather.into,
                    "heard": heard,
                    "language": transcript.language,
                    "confidence": percent,
                    "right": meaning.is_some(),
                });
                log.event("gathered", detail);
                let (words, language) = (transcript.text, Some(transcript.language));
                meaning.map(|value| Gathered { value, words, language, percent })
            }
            Reply::Nothing => {
                log.event("gathered", json!({ "into": gather.into, "heard": null, "right": false }));
                None
            }
        };
        gathered.map_or(Try::Wrong, Try::Right)
    }

    /// The verb `menu`: the key that was chosen, if one was.
    pub(super) async fn menu(&mut self, menu: &Menu, house: &House, language: Language, log: &Record) -> Option<char> {
        for attempt in 0..=menu.retries {
            let prompts: Vec<_> = menu.invalid.iter().filter(|_| attempt > 0).chain([&menu.prompt]).collect();
            let reply = if menu.words.is_empty() {
                for prompt in prompts {
                    self.utter(prompt, true, (house, language, log)).await;
                }
                Reply::Key
            } else {
                self.ask_choice(menu, &prompts, (house, language, log)).await
            };
            let (key, heard) = match reply {
                Reply::Key => (self.key(Duration::from_secs(menu.seconds), log).await, None),
                Reply::Words(transcript) => (menu.key_of(&transcript.text), Some(transcript.text)),
                Reply::Nothing => (None, None),
            };
            if self.lost() {
                return None;
            }
            let heard = heard.as_deref().map(|heard| log.words(heard));
            if let Some(key) = key.filter(|key| menu.keys.contains_key(key)) {
                log.event("chosen", json!({ "key": log.masked(&key.to_string()), "heard": heard }));
                return Some(key);
            }
            if heard.is_some() {
                log.event("not_chosen", json!({ "heard": heard }));
            }
        }
        log.event("chosen", json!({ "key": null }));
        None
    }

    /// The verb `wait`: silence; keys are kept for whoever asks for them next.
    pub(super) async fn wait(&mut self, duration: Duration, log: &Record) {
        let late = self.until.min(Instant::now() + duration);
        while let Some(heard) = heard(&mut self.ears, late).await {
            if let Heard::Digit(key) = heard {
                log.digit(key);
                if self.typed.len() < AHEAD {
                    self.typed.push_back(key);
                }
            }
        }
    }
}
