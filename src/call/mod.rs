//! One call from invitation, or order, to log row: a straight line with one owner. Hanging up is dropping it.

mod about;
mod again;
mod answering;
mod arrival;
mod ask;
mod attend;
mod bridge;
mod brief;
mod course;
mod dial;
mod doubt;
mod early;
mod farewell;
mod hold;
mod house;
mod interpret;
mod ladder;
mod listening;
mod memory;
mod message;
mod notes;
mod order;
mod origin;
mod out;
mod perform;
mod placing;
mod quality;
mod queue;
mod record;
mod recording;
mod reel;
mod refer;
mod registry;
mod retention;
mod ring;
mod seat;
mod seats;
mod spoken;
mod supervisor;
mod talk;
mod target;
mod text;
mod tool;
mod transfer;
mod unanswered;
mod verbs;
mod waiting;
mod wanted;
mod warm;
mod web;
mod webhook;
mod wish;

use std::{ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use milo_signaling::{Dialog, EndReason, Invitation, Reason, SignalingError, Uri};
use serde_json::json;
use tokio::{
    select,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    accounts,
    dialplan::{Action, Edition, Variables},
    error::Error,
    store::HangupBy,
    trunk::{Came, Direction, Emergency, Trunk},
};
use arrival::{believed, facts};
use course::Course;
use listening::Audible;
use perform::perform;
use reel::Reel;
use refer::Standing;
use registry::Entry;
pub(crate) use talk::usual_patience;
use verbs::Line;

pub use again::forget_keys;
pub(crate) use again::{a_day_before, print};
pub use house::{House, cleaning};
pub use interpret::interpreter_sentences;
pub use ladder::{LegSeen, SipSeen};
pub use listening::{Listener, Overheard};
pub use memory::forget_memories;
pub use order::{CallsOut, Placement};
pub use out::place;
pub use record::Record;
pub use recording::{Recordings, recordings_folder};
pub use reel::RecordingNow;
pub use registry::{Done, Live, Unreached};
pub use retention::{daily, delete_recordings, forget_calls, is_recording};
pub use seats::Seats;
pub use supervisor::{Headset, Supervisor};
pub(crate) use target::{Target, first, refusal, target};
pub use tool::{Begun, Report, Ticket, Toolbox};
pub use waiting::{Left, LineReport, WaiterReport, Waiters};
pub use wanted::{NotPlaced, Placed, Wanted};
pub use web::{Over, Room, Visitor, WebCall, WebCalls, WebLine, take_web};

/// How long a verb may take to write down how far it came once the caller has hung up: what was said last may still be transcribed.
const LAST_LINES: Duration = Duration::from_millis(2_500);

/// How much longer than the longest call a verb may take to come to its end.
const OVERTIME: Duration = Duration::from_secs(10);
const HUNG_UP: &str = "somebody ended it by the API";
/// Why a call ends that is up when Milo does, in the words that one has whose goodbye was not waited for.
pub const SHUT_DOWN: &str = "the endpoint was shut down";
const TIME_UP: &str = "the longest call was reached";

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

    /// The dialog with the caller has ended, and they have said so of it.
    fn of(ended: &EndReason, said: &[Reason]) -> Self {
        let by = match ended {
            EndReason::RemoteHangup | EndReason::Cancelled | EndReason::Rejected { .. } => HangupBy::Caller,
            EndReason::Unacknowledged | EndReason::SessionExpired | EndReason::Lost { .. } => HangupBy::Network,
            EndReason::BadMedia(_) | EndReason::Shutdown => HangupBy::Milo,
        };
        Self::new(by, because(ended.to_string(), said))
    }
}

/// Takes one call through its plan. Returns when the call is over and its row is closed.
pub async fn run(house: Arc<House>, mut invitation: Invitation) {
    // The call keeps this edition, whatever is reloaded meanwhile.
    let edition = house.editions.current();
    let trunk = house.trunks.of(&invitation);
    // Nothing keeps a call for help out.
    let emergency = house.trunks.emergency(invitation.to_number());
    let is_urgent = emergency.is_some_and(|(_, what)| *what != Emergency::Refuse);
    let place = trunk.map(|trunk| if is_urgent { Ok(trunk.place_emergency()) } else { trunk.place(Direction::In) });
    if let (Some(trunk), Some(Err(_))) = (trunk, &place) {
        tracing::debug!(trunk = trunk.name(), "a call was turned away: its trunk carries no more");
        // Whoever gave up by itself is away as well.
        invitation.reject(503, "").await.ok();
        return;
    }
    let of_account = match invitation.account() {
        Some(account) if is_urgent => house.accounts.admit_for_help(account),
        Some(account) => house.accounts.admit(account),
        None => Ok(None),
    };
    let of_account = match of_account {
        Ok(place) => place,
        Err(denied) => {
            let why = accounts::phrase(denied);
            tracing::info!(account = invitation.account(), why, "a call of an account was turned away");
            invitation.reject(403, why).await.ok();
            return;
        }
    };
    if let Some(trunk) = trunk {
        invitation.speak(trunk.codecs()).await;
    }
    let identity = believed(&invitation, trunk);
    let facts = facts(&invitation, trunk, &identity, &edition);
    let plan = edition.dialplans.choose(&facts);
    let mut log = Record::open(&house, &invitation, (&facts, plan), of_account);
    log.identity(&identity);
    let came = Came { called: invitation.to_number().to_owned(), identity };
    let end = match plan {
        Some(plan) => {
            let variables = Variables::new(facts, log.id());
            let course = Course::new(&edition.dialplans, plan, variables);
            take(&house, (invitation, came), trunk, (&edition, course), &mut log).await
        }
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
    (mut invitation, came): (Invitation, Came),
    trunk: Option<&Trunk>,
    (edition, mut course): (&Arc<Edition>, Course<'_>),
    log: &mut Record,
) -> Result<End, Error> {
    while let Some(Action::Ring { seconds }) = course.peek() {
        course.next();
        invitation.ring().await?;
        select! {
            () = sleep(Duration::from_secs(*seconds)) => {}
            () = invitation.cancelled() => return Ok(given_up(&invitation, log)),
        }
    }
    let (dialog, mut line) = match course.peek() {
        Some(Action::Reject { status, cause }) => {
            if let Some(cause) = cause {
                invitation.because(Reason::q850(*cause)).await;
            }
            return refuse(invitation, *status, "").await;
        }
        Some(action @ Action::Redirect { .. }) => return redirect(invitation, action, &course.variables, log).await,
        Some(Action::Early {}) => match early::play(house, invitation, trunk, (edition, &mut course), log).await? {
            ControlFlow::Continue(up) => up,
            ControlFlow::Break(end) => return Ok(end),
        },
        first => {
            if first == Some(&Action::Answer {}) {
                course.next();
            }
            let caller = course.variables.caller().to_owned();
            let (dialog, leg) = invitation.answer().await?;
            let line = Line::new(leg, &dialog, (caller, trunk), (edition, log), house);
            (dialog, line)
        }
    };
    line.came = Some(came);
    let entry = house.live.place(log.key());
    let standing = match (&line.account, trunk) {
        (Some(account), _) => Standing::Account(account.clone()),
        (None, Some(trunk)) => Standing::over(trunk),
        (None, None) => Standing::Unknown,
    };
    up(house, (dialog, line, entry), (trunk, standing), &mut course, log).await
}

/// The verbs on a line that is up, whoever called whom.
async fn up(
    house: &House,
    (dialog, mut line, entry): (Dialog, Line, Entry),
    (trunk, standing): (Option<&Trunk>, Standing),
    course: &mut Course<'_>,
    log: &mut Record,
) -> Result<End, Error> {
    // Whoever reads that it is answered can listen to it.
    entry.audible(Audible::new(&line.control, log.notes(), log.followed()));
    log.answered(&line.reel);
    let orders = entry.answered();
    let serving = line.reel.clone().serve(orders, house, course.language());
    let control = line.control.clone();
    let recorded = house.recordings.wanted(course.plan(), trunk);
    let until = line.until + OVERTIME;
    let with = (dialog, &control, line.voice.announcer());
    let mut seat = line.seat(with, ("caller", standing), (house, course.language()), log);
    let farewell = line.farewell(log);
    let end = {
        let serving = pin!(serving);
        let mut verbs = pin!(perform(house, recorded, course, &mut line, log));
        // When the dialog ends first, the verb that runs hears that the line is closed and writes down how far it came.
        select! {
            ended = seat.follow() => {
                control.end();
                timeout(LAST_LINES, &mut verbs).await.ok();
                Ok(End::of(&ended, &seat.reasons()))
            }
            why = entry.hung_up() => {
                farewell.say_to(&mut seat, why).await;
                control.end();
                timeout(LAST_LINES, &mut verbs).await.ok();
                Ok(End::new(HangupBy::Milo, why))
            }
            // A verb that cannot speak, on hold, does not see the time.
            () = sleep_until(until) => {
                farewell.say_to(&mut seat, TIME_UP).await;
                control.end();
                timeout(LAST_LINES, &mut verbs).await.ok();
                Ok(End::new(HangupBy::Milo, TIME_UP))
            }
            end = &mut verbs => {
                if let Err(error) = &end {
                    farewell.say_to(&mut seat, &error.to_string()).await;
                }
                end
            }
            never = serving => match never {},
        }
    };
    log.reasons("caller", &seat.reasons());
    log.quality("caller", &control.stats());
    line.reel.stop();
    seat.leave().await;
    line.reel.finish().await;
    end
}

/// The caller did not wait for the answer.
fn given_up(invitation: &Invitation, log: &Record) -> End {
    let reasons = invitation.reasons();
    log.reasons("caller", &reasons);
    End::new(HangupBy::Caller, because("cancelled while ringing".into(), &reasons))
}

/// The end of a call, with what the other side has said of it where that is more than that it hangs up.
fn because(ended: String, reasons: &[Reason]) -> String {
    let said: Vec<_> = reasons.iter().filter(|reason| !reason.is_normal()).map(Reason::said).collect();
    if said.is_empty() { ended } else { format!("{ended}: {}", said.join("; ")) }
}

async fn refuse(invitation: Invitation, status: u16, reason: &str) -> Result<End, Error> {
    invitation.reject(status, reason).await?;
    Ok(End::new(HangupBy::Milo, format!("refused with {status}")))
}

/// The verb `redirect`: whoever calls may call elsewhere.
async fn redirect(invitation: Invitation, action: &Action, variables: &Variables, log: &Record) -> Result<End, Error> {
    let to = match variables.fill(action) {
        Ok(Action::Redirect { to }) => to.parse::<Uri>().map_err(|fault| fault.to_string()),
        Ok(_) => Err("no redirect".into()),
        Err(why) => Err(why),
    };
    match to {
        Ok(to) => {
            invitation.redirect(&to).await?;
            Ok(End::new(HangupBy::Milo, "redirected with 302"))
        }
        Err(why) => {
            log.event("verb_failed", json!({ "verb": "redirect", "why": why }));
            refuse(invitation, 404, "").await
        }
    }
}
