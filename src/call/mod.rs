//! One call from invitation to log row: a straight line with one owner. Hanging up is dropping it.

mod dial;
mod early;
mod record;
mod recording;
mod retention;
mod verbs;

use std::{ops::ControlFlow, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use milo_media::{Cleaning, Control, MediaError, prompt::Prompts};
use milo_signaling::{Caller, Dialog, DialogEvent, EndReason, Invitation, SignalingError};
use serde_json::json;
use tokio::{
    select,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    agent::{Ending, SetPhrases},
    config,
    dialplan::{Action, Dialplans, Plan},
    engines::Engines,
    error::Error,
    metrics::Metrics,
    store::{HangupBy, LogWriter},
    trunk::{Direction, Trunk, Trunks},
};
use recording::Reel;
use verbs::Line;

pub use record::Record;
pub use recording::Recordings;
pub use retention::daily;

/// How long a verb may take to write down how far it came once the caller has hung up.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How much longer than the longest call a verb may take to come to its end.
const OVERTIME: Duration = Duration::from_secs(10);
const TIME_UP: &str = "the longest call was reached";

/// What every call shares.
pub struct House {
    /// The loaded engines.
    pub engines: Engines,
    /// Plans and personas.
    pub dialplans: Dialplans,
    /// The personas' sentences as sound.
    pub phrases: SetPhrases,
    /// Sound files, decoded.
    pub prompts: Prompts,
    /// What is recorded, and where to.
    pub recordings: Recordings,
    /// Places the calls of the verb `dial`.
    pub caller: Caller,
    /// The one writer of the call log.
    pub log: LogWriter,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whose calls are taken besides this machine's own, and what is different on them.
    pub trunks: Trunks,
    /// What is done to a caller's sound before it is listened to, where its trunk says nothing else.
    pub cleaning: Cleaning,
    /// The rhythm of talking.
    pub conversation: config::Conversation,
    /// The longest call.
    pub longest: Duration,
}

/// What the configuration wants cleaned.
pub fn cleaning(clean: &config::Clean) -> Cleaning {
    Cleaning { echo: clean.echo, noise: clean.noise, gain: clean.gain, high_pass: clean.high_pass }
}

impl House {
    /// A file's sound; read beside the tasks that must not wait.
    async fn sound(&self, file: PathBuf) -> Result<Arc<[i16]>, MediaError> {
        let prompts = self.prompts.clone();
        let named = file.clone();
        let read = tokio::task::spawn_blocking(move || prompts.sound(&named)).await;
        read.unwrap_or_else(|_| Err(MediaError::Sound { path: file, reason: "could not be read to its end".into() }))
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    by: HangupBy,
    reason: String,
}

impl End {
    fn new(by: HangupBy, reason: impl Into<String>) -> Self {
        Self { by, reason: reason.into() }
    }
}

/// Takes one call through its plan. Returns when the call is over and its row is closed.
pub async fn run(house: Arc<House>, invitation: Invitation) {
    let plan = house.dialplans.pick(invitation.to_number()).cloned();
    let trunk = house.trunks.of(invitation.source().ip(), invitation.to_number());
    let place = trunk.map(|trunk| trunk.place(Direction::In));
    if let (Some(trunk), Some(None)) = (trunk, &place) {
        tracing::debug!(trunk = trunk.name(), "a call was turned away: its trunk carries no more");
        // Whoever gave up by itself is away as well.
        invitation.reject(503, "").await.ok();
        return;
    }
    let mut log = Record::open(&house, &invitation, trunk, plan.as_ref());
    let end = match plan {
        Some(plan) => take(&house, invitation, trunk, &plan, &mut log).await,
        None => refuse(invitation, 404, "Not Found").await,
    };
    let end = end.unwrap_or_else(|error| {
        if matches!(error, Error::Signaling(SignalingError::Gone)) {
            return End::new(HangupBy::Caller, "the caller gave up before the answer");
        }
        tracing::warn!(call.id = %log.id(), error = %error, "a call failed");
        End::new(HangupBy::Milo, error.to_string())
    });
    log.close(end.by, &end.reason);
}

/// The verbs before the answer, the answer, the verbs on the line.
async fn take(
    house: &House,
    mut invitation: Invitation,
    trunk: Option<&Trunk>,
    plan: &Plan,
    log: &mut Record,
) -> Result<End, Error> {
    let mut actions = plan.actions.iter().peekable();
    while let Some(Action::Ring { seconds }) = actions.next_if(|action| matches!(action, Action::Ring { .. })) {
        invitation.ring().await?;
        select! {
            () = sleep(Duration::from_secs(*seconds)) => {}
            () = invitation.cancelled() => return Ok(End::new(HangupBy::Caller, "cancelled while ringing")),
        }
    }
    let (mut dialog, mut line) = if actions.next_if_eq(&&Action::Early {}).is_some() {
        match early::play(house, invitation, trunk, &mut actions, log).await? {
            ControlFlow::Continue(up) => up,
            ControlFlow::Break(end) => return Ok(end),
        }
    } else if let Some(Action::Reject { status }) = actions.peek() {
        return refuse(invitation, *status, "").await;
    } else {
        actions.next_if_eq(&&Action::Answer {});
        let caller = invitation.from_number().to_owned();
        let (dialog, leg) = invitation.answer().await?;
        let line = Line::new(leg, dialog.keys(), caller, trunk, house);
        (dialog, line)
    };
    log.answered();
    let call = log.id();
    let control = line.control.clone();
    let recorded = house.recordings.wanted(plan, trunk);
    let until = line.until + OVERTIME;
    let end = {
        let mut verbs = pin!(perform(house, plan, recorded, actions, &mut line, log));
        // When the dialog ends first, the verb that runs hears that the line is closed and writes down how far it came.
        select! {
            end = follow(&mut dialog, &control, &call) => {
                control.end();
                timeout(LAST_LINES, &mut verbs).await.ok();
                Ok(end)
            }
            // A verb that cannot speak, on hold, does not see the time.
            () = sleep_until(until) => {
                control.end();
                timeout(LAST_LINES, &mut verbs).await.ok();
                Ok(End::new(HangupBy::Milo, TIME_UP))
            }
            end = &mut verbs => end,
        }
    };
    log.quality("caller", &control.stats());
    line.reel.stop();
    // Gone when the caller was first.
    dialog.hang_up().await.ok();
    line.reel.finish(log).await;
    end
}

async fn refuse(invitation: Invitation, status: u16, reason: &str) -> Result<End, Error> {
    invitation.reject(status, reason).await?;
    Ok(End::new(HangupBy::Milo, format!("refused with {status}")))
}

/// Watches the dialog: media changes go to the leg, its end is the call's end.
async fn follow(dialog: &mut Dialog, control: &Control, call: &str) -> End {
    loop {
        match dialog.next().await {
            DialogEvent::MediaChange(session) => {
                tracing::debug!(call.id = %call, "the caller changed the media");
                control.change(session);
            }
            DialogEvent::Key(press) => control.hear_key(press.key, press.duration),
            DialogEvent::Ended(reason) => {
                let by = match reason {
                    EndReason::RemoteHangup | EndReason::Cancelled | EndReason::Rejected { .. } => HangupBy::Caller,
                    EndReason::Unacknowledged => HangupBy::Network,
                    EndReason::BadMedia(_) | EndReason::Shutdown => HangupBy::Milo,
                };
                return End::new(by, reason.to_string());
            }
        }
    }
}

/// The verbs on an answered line.
async fn perform<'a>(
    house: &House,
    plan: &Plan,
    recorded: bool,
    actions: impl Iterator<Item = &'a Action>,
    line: &mut Line,
    log: &mut Record,
) -> Result<End, Error> {
    let language = plan.language;
    if recorded {
        line.record(house, language, log).await;
    }
    for action in actions {
        log.event("verb", json!(action));
        match action {
            Action::Ring { .. } | Action::Early {} | Action::Answer {} => {}
            Action::Reject { .. } | Action::Hangup {} => break,
            Action::Converse { persona } => {
                let ending = line.converse(house, persona, language, log).await?;
                let reason = match ending {
                    Ending::Goodbye => continue,
                    Ending::Lost => return Ok(End::new(HangupBy::Network, "no packets came any more")),
                    Ending::Silence => "the caller was silent",
                    Ending::TimeUp => TIME_UP,
                    Ending::Failure => "engines failed again and again",
                };
                return Ok(End::new(HangupBy::Milo, reason));
            }
            Action::Echo {} => line.echo().await,
            Action::Play(_) | Action::Music { .. } | Action::Tone { .. } => line.sound(action, house, log).await,
            Action::Recording(step) => line.turn_recording(*step, house, language, log).await,
            Action::Dial(dial) => line.dial(dial, house, log).await,
            Action::Digits {} => line.digits(house, language, log).await,
            Action::Press { digits, by } => line.press(digits, *by, log).await?,
        }
        if line.lost() {
            return Ok(End::new(HangupBy::Network, "no packets came any more"));
        }
    }
    Ok(End::new(HangupBy::Milo, "the plan is done"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cleaner_has_a_switch_of_its_own() {
        let none = config::Clean { echo: false, noise: false, gain: false, high_pass: false };
        let off = Cleaning::default();
        for (clean, wanted) in [
            (none.clone(), off),
            (config::Clean { echo: true, ..none.clone() }, Cleaning { echo: true, ..off }),
            (config::Clean { noise: true, ..none.clone() }, Cleaning { noise: true, ..off }),
            (config::Clean { gain: true, ..none.clone() }, Cleaning { gain: true, ..off }),
            (config::Clean { high_pass: true, ..none }, Cleaning { high_pass: true, ..off }),
        ] {
            assert_eq!(cleaning(&clean), wanted);
        }
    }
}
