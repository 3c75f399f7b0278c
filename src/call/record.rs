//! A call's row as the call writes it: the log and the counters, moved together.

use std::sync::Arc;

use milo_media::LegStats;
use milo_models::engine::Language;
use milo_signaling::Invitation;
use serde_json::{Value, json};

use super::House;
use crate::{
    dialplan::Plan,
    metrics::Metrics,
    store::{CallLog, Ending, HangupBy, NewCall, NewTurn, Stamp},
};

/// The account of one call. Dropped before [`Record::close`], it says that the call was cut off.
#[derive(Debug)]
pub struct Record {
    log: CallLog,
    metrics: Arc<Metrics>,
    language: Option<Language>,
}

impl Record {
    /// The call begins.
    pub(super) fn open(house: &House, invitation: &Invitation, plan: Option<&Plan>) -> Self {
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
        tracing::info!(call.id = %log.key(), dialplan = plan.map(|plan| plan.name.as_str()), "a call comes in");
        Self { log, metrics: Arc::clone(&house.metrics), language }
    }

    /// The call's identifier, in the log, the API and the program's own lines.
    pub fn id(&self) -> String {
        self.log.key().to_string()
    }

    pub(super) fn answered(&self) {
        self.log.answered(Stamp::now());
    }

    /// Something happened.
    pub fn event(&self, kind: &str, detail: Value) {
        self.log.event(Stamp::now(), kind, detail);
    }

    /// A turn is over.
    pub fn turn(&mut self, language: Language, turn: NewTurn) {
        self.language = Some(language);
        for (stage, milliseconds) in turn.stages.named() {
            if let Some(milliseconds) = milliseconds {
                self.metrics.stage(stage, milliseconds / 1e3);
            }
        }
        self.metrics.turn(language.code(), turn.interrupted);
        let (total, interrupted) = (turn.stages.total_ms, turn.interrupted);
        let number = self.log.turn(turn);
        tracing::info!(
            call.id = %self.log.key(),
            turn.id = number,
            duration_ms = total.map(f64::round),
            interrupted,
            "a turn was answered"
        );
    }

    /// Packets of the whole call.
    pub(super) fn quality(&self, stats: &LegStats) {
        self.metrics.packets(stats.received, stats.lost, stats.concealed);
        let detail = json!({
            "received": stats.received,
            "lost": stats.lost,
            "concealed": stats.concealed,
            "late": stats.late,
            "duplicate": stats.duplicate,
            "sent": stats.sent,
        });
        self.log.event(Stamp::now(), "quality", detail);
    }

    /// The call is over.
    pub(super) fn close(self, by: HangupBy, reason: &str) {
        self.metrics.call_ended(by);
        tracing::info!(call.id = %self.log.key(), reason, "a call ended");
        let language = self.language.map(|language| language.code().into());
        self.log.end(Ending { at: Stamp::now(), reason: reason.into(), by, language });
    }
}
