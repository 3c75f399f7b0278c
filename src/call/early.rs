//! Before the answer: what the verbs behind `early` play is heard while the caller's telephone still rings.

use std::{iter, ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use milo_media::{Control, SAMPLE_RATE};
use milo_signaling::{Dialog, DialogEvent, Early, Invitation, Reason};
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{Course, End, House, Record, given_up, notes::Notes, refuse, verbs::Line};
use crate::{
    dialplan::{Action, Edition},
    error::Error,
    store::HangupBy,
    texts,
    trunk::Trunk,
};

/// What is said where no verb says how it ends: a plan that does too much is not answered, and costs nobody anything.
const UNDECIDED: u16 = 480;

/// Plays the verbs up to `answer` or `reject`, and does that. The call goes on where it was answered.
pub(super) async fn play(
    house: &House,
    invitation: Invitation,
    trunk: Option<&Trunk>,
    (edition, course): (&Arc<Edition>, &mut Course<'_>),
    log: &mut Record,
) -> Result<ControlFlow<End, (Dialog, Line)>, Error> {
    let caller = course.variables.caller().to_owned();
    let (mut early, leg) = match invitation.early().await? {
        Early::Heard(early, leg) => (early, leg),
        Early::Ringing(mut invitation) => {
            log.event("early", json!({ "heard": false }));
            let last = select! {
                last = ring(house, (edition.as_ref(), course), log) => last,
                () = invitation.cancelled() => {
                    return Ok(ControlFlow::Break(given_up(&invitation, log)));
                }
            };
            if let Some((status, cause)) = refusal(last) {
                if let Some(cause) = cause {
                    invitation.because(Reason::q850(cause)).await;
                }
                return refuse(*invitation, status, "").await.map(ControlFlow::Break);
            }
            let (dialog, leg) = invitation.answer().await?;
            let line = Line::new(leg, &dialog, (caller, trunk), (edition, log), house);
            return Ok(ControlFlow::Continue((dialog, line)));
        }
    };
    log.event("early", json!({ "heard": true }));
    let mut line = Line::new(leg, early.dialog(), (caller, trunk), (edition, log), house);
    let (control, notes) = (line.control.clone(), log.notes());
    let last = {
        let mut playing = pin!(async {
            for action in iter::from_fn(|| course.next()) {
                if ends(action) {
                    return Some(action);
                }
                log.event("verb", json!(action));
                line.sound(action, house, log).await;
            }
            None
        });
        select! {
            end = follow(early.dialog(), &control, (&notes, house)) => {
                log.reasons("caller", &early.dialog().reasons());
                return Ok(ControlFlow::Break(end));
            }
            last = &mut playing => last,
        }
    };
    if let Some((status, cause)) = refusal(last) {
        if let Some(cause) = cause {
            early.dialog().other_side().because(Reason::q850(cause)).await;
        }
        early.reject(status, "").await?;
        return Ok(ControlFlow::Break(End::new(HangupBy::Milo, format!("refused with {status}"))));
    }
    let dialog = early.answer().await?;
    Ok(ControlFlow::Continue((dialog, line)))
}

/// Watches the dialog before the answer; its end is the call's end.
async fn follow(dialog: &mut Dialog, control: &Control, (notes, house): (&Notes, &House)) -> End {
    loop {
        match dialog.next().await {
            DialogEvent::MediaChange(session) => control.change(session),
            DialogEvent::Key(press) => control.hear_key(press.key, press.duration),
            DialogEvent::Text(text) => {
                house.metrics.message("in", texts::RECEIVED);
                notes.texted("caller", &text);
            }
            // Neither is taken before the answer.
            DialogEvent::Transfer(_) | DialogEvent::Replaced(_) => {}
            DialogEvent::Ended(reason) => return End::of(&reason, &dialog.reasons()),
        }
    }
}

/// Whether what is heard early ends with this verb.
fn ends(action: &Action) -> bool {
    matches!(action, Action::Answer {} | Action::Reject { .. })
}

/// The status with which a call is refused that came to this verb, or to none.
fn refusal(last: Option<&Action>) -> Option<(u16, Option<u8>)> {
    match last {
        Some(Action::Answer {}) => None,
        Some(Action::Reject { status, cause }) => Some((*status, *cause)),
        _ => Some((UNDECIDED, None)),
    }
}

/// Lets a caller that cannot be heard early wait as long as it would have listened; the verb that comes then.
async fn ring<'a>(house: &House, (edition, course): (&Edition, &mut Course<'a>), log: &Record) -> Option<&'a Action> {
    let longest = Instant::now() + house.longest;
    for action in iter::from_fn(|| course.next()) {
        if ends(action) {
            return Some(action);
        }
        let until = Instant::now() + length(action, house, edition, log).await;
        sleep_until(until.min(longest)).await;
    }
    None
}

/// How long a verb is heard. A file that cannot be played is written down, and is no longer than nothing.
async fn length(action: &Action, house: &House, edition: &Edition, log: &Record) -> Duration {
    match action {
        Action::Music { seconds, .. } | Action::Tone { seconds, .. } => Duration::from_secs(*seconds),
        Action::Play(file) => match house.sound(edition.dialplans.sound(file)).await {
            Ok(sound) => Duration::from_secs_f64(sound.len() as f64 / f64::from(SAMPLE_RATE)),
            Err(error) => {
                log.event("sound_failed", json!({ "error": error.to_string() }));
                Duration::ZERO
            }
        },
        _ => Duration::ZERO,
    }
}
