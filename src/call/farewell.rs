//! What a call says that needs no engine, since its sound was made at the start: that something has failed, or takes long, and
//! the goodbye of one that Milo ends from outside of what is being done in it (somebody wants it to end, its time is up, Milo
//! ends, the plan cannot go on).

use std::{sync::Arc, time::Duration};

use milo_media::{Announcer, SAMPLE_RATE};
use milo_models::engine::Language;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, timeout},
};

use super::{House, Line, Record, notes::Notes, seat::Seat};
use crate::{
    agent::{Audience, Due, Persona, Phrase, Stopgap},
    dialplan::Edition,
};

/// So much longer than its sound a goodbye may take: whoever has the call on hold does not hear it.
const SLACK: Duration = Duration::from_secs(1);

/// What is said to the caller before Milo hangs up.
pub(super) struct Farewell {
    announcer: Announcer,
    edition: Arc<Edition>,
    notes: Notes,
    /// Whoever takes replies whole reads why the call has ended.
    is_read: bool,
}

impl Line {
    /// The goodbye to whoever is on this line, for when it is needed.
    pub(super) fn farewell(&self, log: &Record) -> Farewell {
        Farewell {
            announcer: self.voice.announcer(),
            edition: Arc::clone(&self.edition),
            notes: log.notes(),
            is_read: log.audience().is_some_and(Audience::is_patient),
        }
    }

    /// The apology, from the sound that was made at the start: it can be heard when the voice itself has failed.
    pub(super) async fn apologise(&mut self, language: Language) {
        let sound = self.phrase(Phrase::Apology, language);
        self.voice.play_all(&sound).await;
        self.voice.drained().await;
    }

    /// What is heard in place of what a plan waits for: what whoever spoke last says to somebody who waits. Whoever takes replies whole hears
    /// nothing of it.
    pub(super) fn stopgap(&self, house: &House, language: Language, log: &Record) -> Stopgap {
        if log.audience().is_some_and(Audience::is_patient) {
            return Stopgap::default();
        }
        let (name, spoken) = log.notes().speaker();
        let at = Instant::now() + Duration::from_millis(house.conversation.filler_ms);
        let persona = speaker(&self.edition, name.as_deref());
        Stopgap::new(Due::of(persona, &self.edition.phrases, spoken.unwrap_or(language), at))
    }

    /// A sentence of the first persona, as it was made sound at the start; nothing where there is none.
    pub(super) fn phrase(&self, phrase: Phrase, language: Language) -> Arc<[i16]> {
        let persona = self.edition.dialplans.personas().next();
        persona.map(|(_, persona)| self.edition.phrases.sound(persona, phrase, language)).unwrap_or_default()
    }
}

/// The persona of this name, or the first there is.
fn speaker<'e>(edition: &'e Edition, name: Option<&str>) -> Option<&'e Persona> {
    let plans = &edition.dialplans;
    name.and_then(|name| plans.persona(name)).or_else(|| plans.personas().next().map(|(_, one)| one))
}

impl Farewell {
    /// Says goodbye as whoever has spoken last, in the language that was spoken last.
    pub(super) async fn say(&self, why: &str) {
        if self.is_read {
            return;
        }
        let (name, language) = self.notes.speaker();
        let persona = speaker(&self.edition, name.as_deref());
        let sound = self.edition.phrases.goodbye(persona, language.unwrap_or(Language::Mg));
        if sound.is_empty() {
            return;
        }
        let long = Duration::from_secs_f64(sound.len() as f64 / f64::from(SAMPLE_RATE)) + SLACK;
        let is_heard = timeout(long, self.announcer.say(&sound)).await.unwrap_or(false);
        self.notes.event("goodbye", json!({ "why": why, "heard": is_heard }));
    }

    /// The same to somebody who may hang up meanwhile.
    pub(super) async fn say_to(&self, seat: &mut Seat<'_>, why: &str) {
        select! {
            () = self.say(why) => {}
            _ = seat.follow() => {}
        }
    }
}
