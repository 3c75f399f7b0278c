//! A call's row as the call writes it: the log and the counters, moved together.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Instant,
};

use milo_media::LegStats;
use milo_models::engine::Language;
use milo_signaling::{Identity, Invitation, Reason};
use serde_json::{Value, json};

use super::{
    House, Reel, SipSeen,
    doubt::Doubt,
    memory::Caller,
    notes::{Notes, UNSAID},
    quality::summary,
};
use crate::{
    after::{Analyses, Exchange, Remember, Wanted},
    agent::{Audience, Followed, Happened, News, Persona},
    dialplan::{Facts, Plan},
    engines::{Mode, Taken},
    metrics::Metrics,
    store::{Ending, HangupBy, Key, LogWriter, NewCall, NewTurn, Outcome, Places, Stamp},
    trunk::Place,
};

/// The account of one call. Dropped before it is closed, it says that the call was cut off.
#[derive(Debug)]
pub struct Record {
    notes: Notes,
    is_closed: bool,
    metrics: Arc<Metrics>,
    sip: Arc<SipSeen>,
    /// How the legs were that have ended, one object each.
    quality: Vec<Value>,
    /// The call's recording, once it is answered.
    reel: Option<Reel>,
    /// What came of it, where Milo places it.
    outcome: Option<(Outcome, Option<u16>)>,
    /// The account that the caller has proved to be, and the call's place among those of it.
    account: Option<(String, Option<Place>)>,
    /// Who follows it besides by ear.
    audience: Option<Audience>,
    /// Who follows its words from outside.
    followed: Followed,
    /// What is to be written down once it is over.
    after: Option<Wanted>,
    /// Whose number it is known by, where it came by SIP.
    caller: Option<Caller>,
    /// What its models took.
    taken: BTreeMap<&'static str, Taken>,
    /// Turns of which it is not known whether a person has heard them.
    doubt: Doubt,
}

/// Where what is known of a call goes.
pub(super) type Writers<'h> = (&'h LogWriter, &'h Arc<Metrics>, &'h Arc<SipSeen>);

impl House {
    fn writers(&self) -> Writers<'_> {
        (&self.log, &self.metrics, &self.sip)
    }
}

impl Record {
    /// The call begins.
    pub(super) fn open(
        house: &House,
        invitation: &Invitation,
        (facts, plan): (&Facts, Option<&Plan>),
        place: Option<Place>,
    ) -> Self {
        let parties = (invitation.from_number(), invitation.to_number());
        let mut record = Self::begin(house.writers(), (invitation.call_id(), true), parties, plan);
        record.account = invitation.account().map(|account| (account.to_owned(), place));
        record.caller = Caller::of(facts, plan);
        let (notes, id) = (&record.notes, record.key());
        house.sip.join(id, "caller", invitation.call_id());
        tracing::info!(call.id = %id, trunk = facts.trunk, dialplan = plan.map(|plan| plan.name.as_str()), "a call comes in");
        if let Some(account) = invitation.account() {
            notes.event("account", json!({ "name": account }));
        }
        if let Some(trunk) = &facts.trunk {
            notes.event("trunk", json!({ "name": trunk }));
        }
        record
    }

    /// A call comes by another way than SIP: `way` says which, and `detail` what is known of it.
    pub(super) fn come(
        house: &House,
        (facts, plan): (&Facts, &Plan),
        (way, detail): (&'static str, Value),
        audience: Audience,
    ) -> Self {
        let mut record = Self::begin(house.writers(), ("", true), (&facts.from, &facts.to), Some(plan));
        record.audience = Some(audience);
        tracing::info!(call.id = %record.key(), way, dialplan = plan.name, "a call comes in");
        record.notes.event(way, detail);
        record
    }

    /// Milo begins to place a call.
    pub(super) fn place(writers: Writers<'_>, facts: &Facts, plan: &Plan) -> Self {
        let record = Self::begin(writers, ("", false), (&facts.from, &facts.to), Some(plan));
        tracing::info!(call.id = %record.key(), trunk = facts.trunk, dialplan = plan.name, "a call goes out");
        record
    }

    fn begin(
        (log, metrics, sip): Writers<'_>,
        (call_id, incoming): (&str, bool),
        (from, to): (&str, &str),
        plan: Option<&Plan>,
    ) -> Self {
        metrics.call_began();
        let language = plan.map(|plan| plan.language);
        let log = log.begin(NewCall {
            call_id: call_id.into(),
            incoming,
            from: from.into(),
            to: to.into(),
            dialplan: plan.map(|plan| plan.name.clone()),
            language: language.map(|language| language.code().into()),
            started: Stamp::now(),
        });
        Self {
            notes: Notes::of(log, language),
            is_closed: false,
            metrics: Arc::clone(metrics),
            sip: Arc::clone(sip),
            quality: Vec::new(),
            reel: None,
            outcome: None,
            account: None,
            audience: None,
            followed: Followed::default(),
            after: None,
            caller: None,
            taken: BTreeMap::new(),
            doubt: Doubt::default(),
        }
    }

    /// A model took so many tokens for it.
    pub(crate) fn took(&mut self, mode: Mode, taken: Taken) {
        self.taken.entry(mode.as_str()).or_default().add(taken);
    }

    /// Who follows it besides by ear.
    pub fn audience(&self) -> Option<&Audience> {
        self.audience.as_ref()
    }

    /// What they write next, in place of saying it. Cancel safe.
    pub async fn typed(&self) -> String {
        match &self.audience {
            Some(audience) => audience.typed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether anybody reads what is heard while it is heard.
    pub fn is_read(&self) -> bool {
        self.followed.is_followed() || self.audience.as_ref().is_some_and(|audience| !audience.is_patient())
    }

    /// What whoever listens follows it by.
    pub(super) fn followed(&self) -> Followed {
        self.followed.clone()
    }

    /// Tells those who follow of something; what is private is the caller's alone.
    pub fn tell(&self, happened: impl FnOnce() -> Happened) {
        let is_followed = self.followed.is_followed() && !self.notes.is_private();
        if self.audience.is_none() && !is_followed {
            return;
        }
        let happened = happened();
        if is_followed {
            self.followed.tell(&happened);
        }
        if let Some(audience) = &self.audience {
            audience.tell(happened);
        }
    }

    /// The account that the caller has proved to be.
    pub(super) fn account(&self) -> Option<String> {
        self.account.as_ref().map(|(account, _)| account.clone())
    }

    /// An INVITE with this Call-ID has left.
    pub(super) fn placed(&self, call_id: &str) {
        self.notes.log.placed(call_id);
        self.leg("called", call_id);
    }

    /// What came of a call that Milo places, and the SIP status that said so.
    pub(super) fn outcome(&mut self, outcome: Outcome, status: Option<u16>) {
        self.outcome = Some((outcome, status));
    }

    /// The call's identifier, in the log, the API and the program's own lines.
    pub fn id(&self) -> String {
        self.key().to_string()
    }

    /// The call's key in the log.
    pub(super) fn key(&self) -> Key {
        self.notes.key()
    }

    /// The same account for somebody else who sees what happens.
    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// The call is up, and this is its recording.
    pub(super) fn answered(&mut self, reel: &Reel) {
        self.notes.log.answered(Stamp::now());
        if let Some((_, Some(place))) = &mut self.account {
            place.answered();
        }
        self.reel = Some(reel.clone());
    }

    /// A leg of this call begins, with this Call-ID: its SIP is the call's.
    pub(super) fn leg(&self, name: &str, call_id: &str) {
        self.sip.join(self.key(), name, call_id);
    }

    /// What is believed of the caller beside From, if anything is.
    pub(super) fn identity(&self, identity: &Identity) {
        if *identity == Identity::default() {
            return;
        }
        let asserted: Vec<_> = identity.asserted.iter().map(ToString::to_string).collect();
        let diverted = identity.diverted.iter().map(|one| json!({ "from": one.from.to_string(), "why": one.why }));
        let diverted: Vec<_> = diverted.collect();
        self.event("identity", json!({ "asserted": asserted, "private": identity.is_private, "diverted": diverted }));
    }

    /// What a party has said of why it ends the call.
    pub(super) fn reasons(&self, party: &str, reasons: &[Reason]) {
        for Reason { protocol, cause, text } in reasons {
            self.event("reason", json!({ "by": party, "protocol": protocol, "cause": cause, "text": text }));
        }
    }

    /// Something happened.
    pub fn event(&self, kind: &str, detail: Value) {
        self.notes.event(kind, detail);
    }

    /// Something that the language model is to know when it answers next.
    pub fn news(&self, news: News) {
        self.notes.news(news);
    }

    /// Whether there is something that it does not know yet.
    pub fn has_news(&self) -> bool {
        !self.notes.news.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What it does not know yet.
    pub fn take_news(&self) -> Vec<News> {
        self.notes.news.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// A key was pressed; which one is not said in private.
    pub fn digit(&self, key: char) {
        self.event("digit", json!({ "digit": self.masked(&key.to_string()) }));
        self.pressed(key);
    }

    /// When it is over, what came of it is to be written down as this persona wants it: not where the log keeps no words.
    pub(super) fn wanted(&mut self, analyses: &Analyses, persona: &Persona) {
        let Some(form) = &persona.after else { return };
        let known = persona.memory.zip(self.caller.as_ref());
        let remember = known.map(|(memory, caller)| Remember { number: caller.number.clone(), days: memory.days });
        match &mut self.after {
            Some(after) => after.by((form, remember)),
            None => self.after = self.notes.log.keeps_words().then(|| Wanted::new(analyses, (form, remember))),
        }
    }

    /// Who calls, where it came by SIP and they show it.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// What is said or pressed, as the log may have it.
    pub(super) fn masked<'a>(&self, said: &'a str) -> &'a str {
        if self.notes.is_private() { UNSAID } else { said }
    }

    /// What was heard, as the log may have it.
    pub fn words<'a>(&self, heard: &'a str) -> &'a str {
        self.notes.words(heard)
    }

    /// A question of the plan was answered in these words.
    pub(super) fn answered_by(&self, words: &str) {
        self.notes.said(Exchange { heard: Some(self.masked(words).into()), ..Exchange::default() });
    }

    /// The language that is spoken: that of the last turn, before it that of the plan.
    pub(super) fn language(&self) -> Option<Language> {
        self.notes.speaker().1
    }

    /// A key was pressed that is not written down; it may be one of those that pause the recording.
    pub(super) fn pressed(&self, key: char) {
        self.reel.iter().for_each(|reel| reel.pressed(key));
    }

    /// Where in the recording stands what was heard and sent at these moments.
    pub fn places(&self, heard: (Option<Instant>, Option<Instant>), said: Option<Instant>) -> Places {
        let place = |moment: Option<Instant>| self.reel.as_ref()?.position(moment?);
        Places { heard_from: place(heard.0), heard_to: place(heard.1), said_from: place(said) }
    }

    /// From here on it is not known whether it is a person who hears what is said.
    pub(super) fn doubt(&mut self) {
        self.doubt.begin();
    }

    /// It is known now.
    pub fn settle(&mut self, is_heard: bool) {
        for (language, turn) in self.doubt.settle(is_heard) {
            self.write_turn(language, turn);
        }
    }

    /// The answer to a turn was beyond its budget.
    pub fn turn_was_late(&self) {
        self.metrics.turn_was_late();
    }

    /// A turn is over.
    pub fn turn(&mut self, language: Language, mut turn: NewTurn) {
        if self.notes.is_private() {
            let words = [&mut turn.heard, &mut turn.said, &mut turn.said_heard];
            words.into_iter().flatten().for_each(|words| UNSAID.clone_into(words));
        }
        if let Some(turn) = self.doubt.keep(language, turn) {
            self.write_turn(language, turn);
        }
    }

    fn write_turn(&mut self, language: Language, turn: NewTurn) {
        let (heard, said, by_person) = (turn.heard.clone(), turn.said_heard.clone(), turn.said_by.is_some());
        self.notes.said(Exchange { heard, said, by_person, heard_from: None });
        self.notes.spoken(language);
        for (stage, milliseconds) in turn.stages.named() {
            if let Some(milliseconds) = milliseconds {
                self.metrics.stage(stage, milliseconds / 1e3);
            }
        }
        let (total, interrupted) = (turn.stages.total_ms, turn.interrupted);
        let (heard, answered) = (turn.heard.is_some(), turn.heard.is_some() && turn.said.is_some());
        let number = self.notes.log.turn(turn);
        if heard {
            self.after.iter_mut().for_each(|after| after.answered(language));
        }
        // What Milo says by itself is a row, and no answer, and so is what is said to somebody who has taken the call over.
        if answered {
            self.metrics.turn(language.code(), interrupted);
            tracing::info!(
                call.id = %self.key(),
                turn.id = number,
                duration_ms = total.map(f64::round),
                interrupted,
                "a turn was answered"
            );
        }
    }

    /// A leg has ended: what it counted, and how it sounded. `leg` says whose it was.
    pub(super) fn quality(&mut self, leg: &str, stats: &LegStats) {
        let quality = stats.quality();
        self.metrics.packets(stats.received, stats.lost, stats.concealed);
        self.metrics.leg(&quality, stats.rtcp_ignored);
        self.quality.push(summary(leg, &quality));
        let detail = json!({
            "received": stats.received,
            "lost": stats.lost,
            "concealed": stats.concealed,
            "late": stats.late,
            "duplicate": stats.duplicate,
            "sent": stats.sent,
        });
        self.event("quality", detail);
    }

    /// The call is over.
    pub(super) fn close(mut self, by: HangupBy, reason: &str) {
        self.is_closed = true;
        self.settle(true);
        // Whoever reads that it is over finds its place free, and its minutes counted.
        self.account = None;
        self.metrics.call_ended(by);
        tracing::info!(call.id = %self.key(), reason, "a call ended");
        let language = self.language().map(|language| language.code().into());
        let quality = (!self.quality.is_empty()).then(|| Value::Array(std::mem::take(&mut self.quality)));
        if !self.taken.is_empty() {
            self.event("tokens", json!(self.taken));
        }
        let place = self.after.take().and_then(|after| after.place(self.notes.mode()));
        if let Some(Err(_)) = place {
            tracing::warn!(call.id = %self.key(), "a call is not analysed: too many wait for it");
            self.event("not_analysed", json!({ "why": "too many calls wait for the model" }));
        }
        self.notes.log.end(Ending {
            at: Stamp::now(),
            reason: reason.into(),
            by,
            language,
            quality,
            outcome: self.outcome,
        });
        if let Some(Ok(place)) = place {
            place.take(self.key());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.settle(true);
        self.sip.end(self.key());
        // The row closes itself.
        if !self.is_closed {
            self.metrics.call_ended(HangupBy::Milo);
        }
    }
}
