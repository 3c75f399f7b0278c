//! A call's row as the call writes it: the log and the counters, moved together.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use milo_media::{LegStats, OneWay, Quality};
use milo_models::engine::Language;
use milo_signaling::Invitation;
use serde_json::{Value, json};

use super::House;
use crate::{
    dialplan::{Facts, Plan},
    metrics::Metrics,
    store::{CallLog, Ending, HangupBy, Key, NewCall, NewTurn, Stamp},
};

/// What stands in the log for what was said or pressed in private.
const UNSAID: &str = "…";

/// The account of one call. Dropped before it is closed, it says that the call was cut off.
#[derive(Debug)]
pub struct Record {
    /// Taken when the call is closed.
    log: Option<CallLog>,
    id: Key,
    metrics: Arc<Metrics>,
    language: Option<Language>,
    /// How the legs were that have ended, one object each.
    quality: Vec<Value>,
    /// The recording is paused: what is said and pressed is not written down either.
    private: AtomicBool,
}

impl Record {
    /// The call begins.
    pub(super) fn open(house: &House, invitation: &Invitation, (facts, plan): (&Facts, Option<&Plan>)) -> Self {
        house.metrics.call_began();
        let language = plan.map(|plan| plan.language);
        let log = house.log.begin(NewCall {
            call_id: invitation.call_id().into(),
            incoming: true,
            from: invitation.from_number().into(),
            to: invitation.to_number().into(),
            dialplan: plan.map(|plan| plan.name.clone()),
            language: language.map(|language| language.code().into()),
            started: Stamp::now(),
        });
        let id = log.key();
        tracing::info!(call.id = %id, trunk = facts.trunk, dialplan = plan.map(|plan| plan.name.as_str()), "a call comes in");
        let record = Self {
            log: Some(log),
            id,
            metrics: Arc::clone(&house.metrics),
            language,
            quality: Vec::new(),
            private: AtomicBool::new(false),
        };
        if let Some(trunk) = &facts.trunk {
            record.event("trunk", json!({ "name": trunk }));
        }
        record
    }

    /// The call's identifier, in the log, the API and the program's own lines.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The call's key in the log.
    pub(super) fn key(&self) -> Key {
        self.id
    }

    /// The call is recorded into this file.
    pub(super) fn recording(&self, name: &str) {
        self.log.iter().for_each(|log| log.recording(name));
    }

    pub(super) fn answered(&self) {
        self.log.iter().for_each(|log| log.answered(Stamp::now()));
    }

    /// Something happened.
    pub fn event(&self, kind: &str, detail: Value) {
        if let Some(log) = &self.log {
            log.event(Stamp::now(), kind, detail);
        }
    }

    /// A key was pressed; which one is not said in private.
    pub fn digit(&self, key: char) {
        self.event("digit", json!({ "digit": self.masked(&key.to_string()) }));
    }

    /// What is said or pressed, as the log may have it.
    pub(super) fn masked<'a>(&self, said: &'a str) -> &'a str {
        if self.private.load(Ordering::Relaxed) { UNSAID } else { said }
    }

    /// From here on the log keeps to itself what is said and pressed (a card number), or no longer does.
    pub(super) fn keep_private(&self, private: bool) {
        self.private.store(private, Ordering::Relaxed);
    }

    /// A turn is over.
    pub fn turn(&mut self, language: Language, mut turn: NewTurn) {
        if self.private.load(Ordering::Relaxed) {
            let words = [&mut turn.heard, &mut turn.said, &mut turn.said_heard];
            words.into_iter().flatten().for_each(|words| UNSAID.clone_into(words));
        }
        self.language = Some(language);
        for (stage, milliseconds) in turn.stages.named() {
            if let Some(milliseconds) = milliseconds {
                self.metrics.stage(stage, milliseconds / 1e3);
            }
        }
        let (total, interrupted, answered) = (turn.stages.total_ms, turn.interrupted, turn.heard.is_some());
        let Some(number) = self.log.as_ref().map(|log| log.turn(turn)) else { return };
        // What Milo says by itself is a row, and no answer.
        if answered {
            self.metrics.turn(language.code(), interrupted);
            tracing::info!(
                call.id = %self.id,
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
        let Some(log) = self.log.take() else { return };
        self.metrics.call_ended(by);
        tracing::info!(call.id = %self.id, reason, "a call ended");
        let language = self.language.map(|language| language.code().into());
        let quality = (!self.quality.is_empty()).then(|| Value::Array(std::mem::take(&mut self.quality)));
        log.end(Ending { at: Stamp::now(), reason: reason.into(), by, language, quality });
    }
}

/// A leg's quality as the log and the API show it. What was not measured is null.
fn summary(leg: &str, quality: &Quality) -> Value {
    let short = |value: f64| (value * 100.0).round() / 100.0;
    json!({
        "leg": leg,
        "codec": quality.codec,
        "mos": quality.mos,
        "loss_percent": short(quality.loss_percent),
        "concealed_percent": short(quality.concealed_percent),
        "jitter_ms": quality.jitter_ms,
        "jitter_most_ms": quality.jitter_most_ms,
        "round_trip_ms": quality.round_trip_ms.map(short),
        "far_loss_percent": quality.far_loss_percent.map(short),
        "far_jitter_ms": quality.far_jitter_ms,
        "far_mos": quality.far_mos,
        "level_dbfs": quality.level_dbfs,
        "clipping_percent": short(quality.clipping_percent),
        "one_way": quality.one_way.map(OneWay::as_str),
        "ignored": quality.ignored,
        "unauthentic": quality.unauthentic,
        "replayed": quality.replayed,
    })
}

impl Drop for Record {
    fn drop(&mut self) {
        // The row closes itself.
        if self.log.is_some() {
            self.metrics.call_ended(HangupBy::Milo);
        }
    }
}
