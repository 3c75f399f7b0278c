//! Before the answer: what the verbs behind `early` play is heard while the caller's telephone still rings.

use std::{iter, ops::ControlFlow, pin::pin, sync::Arc};

use milo_signaling::{Dialog, Early, Invitation};
use serde_json::json;
use tokio::select;

use super::{Course, End, House, Record, follow, refuse, verbs::Line};
use crate::{
    dialplan::{Action, Edition},
    error::Error,
    store::HangupBy,
    trunk::Trunk,
};

/// Plays the verbs up to `answer` or `reject`, and does that. The call goes on where it was answered.
pub(super) async fn play(
    house: &House,
    invitation: Invitation,
    trunk: Option<&Trunk>,
    (edition, course): (&Arc<Edition>, &mut Course<'_>),
    log: &mut Record,
) -> Result<ControlFlow<End, (Dialog, Line)>, Error> {
    let ends = |action: &&Action| matches!(action, Action::Answer {} | Action::Reject { .. });
    let caller = invitation.from_number().to_owned();
    let (mut early, leg) = match invitation.early().await? {
        Early::Heard(early, leg) => (early, leg),
        Early::Ringing(invitation) => {
            log.event("early", json!({ "heard": false }));
            if let Some(Action::Reject { status }) = iter::from_fn(|| course.next()).find(ends) {
                return refuse(*invitation, *status, "").await.map(ControlFlow::Break);
            }
            let (dialog, leg) = invitation.answer().await?;
            let line = Line::new(leg, &dialog, (caller, trunk), (edition, log), house);
            return Ok(ControlFlow::Continue((dialog, line)));
        }
    };
    log.event("early", json!({ "heard": true }));
    let mut line = Line::new(leg, early.dialog(), (caller, trunk), (edition, log), house);
    let (control, call) = (line.control.clone(), log.id());
    let last = {
        let mut playing = pin!(async {
            for action in iter::from_fn(|| course.next()) {
                if ends(&action) {
                    return Some(action);
                }
                log.event("verb", json!(action));
                line.sound(action, house, log).await;
            }
            None
        });
        select! {
            end = follow(early.dialog(), &control, &call) => return Ok(ControlFlow::Break(end)),
            last = &mut playing => last,
        }
    };
    if let Some(Action::Reject { status }) = last {
        early.reject(*status, "").await?;
        return Ok(ControlFlow::Break(End::new(HangupBy::Milo, format!("refused with {status}"))));
    }
    let dialog = early.answer().await?;
    Ok(ControlFlow::Continue((dialog, line)))
}
