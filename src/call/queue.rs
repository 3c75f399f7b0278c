//! The verb `queue`: the caller waits in a line with music, hears how it moves, and speaks with the first who is free.

use std::{
    collections::VecDeque,
    future::{Future, pending, poll_fn},
    iter,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use milo_media::{Cleaning, FRAME_SAMPLES, Frame, Heard, Leg};
use milo_models::engine::Language;
use milo_signaling::{Dialog, Forked, Progress};
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    House, Record,
    about::About,
    dial::standing,
    interpret::Wanted,
    notes::Notes,
    refer::Standing,
    unanswered::Unanswered,
    verbs::{Line, Waiting, heard},
    waiting::{Engaged, Left, Ticket},
};
use crate::{
    agent::spoken,
    dialplan::{Dial, Queue, Ring},
    trunk::{Place, Trunk},
};

/// How often it is looked who is free whom nobody told of: those who rested.
const LOOK: Duration = Duration::from_secs(1);
/// How long placing a call may take; whom it takes longer to find is not there.
const PLACING: Duration = Duration::from_secs(5);

/// Somebody who is rung.
struct Ringing<'h> {
    engaged: Engaged,
    stage: Stage<'h>,
    /// What it sounds like there, which nobody hears before the answer.
    early: Option<Leg>,
    /// The call's place on the trunk whose gateway was called.
    over: Option<Place>,
    /// What is done to their sound before it is listened to.
    cleaning: Cleaning,
    standing: Standing,
    until: Instant,
}

/// How far the call to them is.
enum Stage<'h> {
    /// DNS may be asked, or a connection be made; whoever waits is listened to meanwhile.
    Placing(Placing<'h>),
    Rings(Forked),
}

type Placed<'h> = Result<(Forked, Option<(&'h Trunk, Place)>), Unanswered>;
type Placing<'h> = Pin<Box<dyn Future<Output = Placed<'h>> + Send + 'h>>;

/// Words on their way to being sound.
type Making<'h> = Pin<Box<dyn Future<Output = Option<Arc<[i16]>>> + Send + 'h>>;

/// What came of ringing.
enum Rang<'h> {
    Placed(Placed<'h>),
    Answered(Dialog, Leg),
    Early(Leg),
    Failed(Unanswered),
}

impl Line {
    /// Waits in the line, and speaks with whoever comes; says how it ended.
    pub(super) async fn queue(
        &mut self,
        queue: &Queue,
        (house, language): (&House, Language),
        log: &mut Record,
    ) -> Left {
        let Some(mut ticket) = house.waiters.join(log.key(), &queue.name, queue.max) else {
            log.event("queued", json!({ "name": queue.name, "result": Left::Full.as_str() }));
            return Left::Full;
        };
        log.event("queued", json!({ "name": queue.name, "before": ticket.outlook().0 }));
        let music = Waiting::of(&queue.files, &self.edition, house, log).await;
        let (left, answered) = self.wait_in_line(queue, &mut ticket, &music, (house, language), log).await;
        let waited = ticket.waited().as_millis() as u64;
        ticket.leave(left);
        self.voice.flush();
        let agent = answered.as_ref().map(|(_, ringing)| ringing.engaged.agent.as_str());
        log.event(
            "queue_left",
            json!({ "name": queue.name, "result": left.as_str(), "waited_ms": waited, "agent": agent }),
        );
        if let Some(((dialog, leg), mut ringing)) = answered {
            let mut seat = self.seat(
                (dialog, &leg.control, leg.voice.announcer()),
                ("called", ringing.standing.clone()),
                (house, language),
                log,
            );
            ringing.over.take().into_iter().for_each(|mut place| {
                place.answered();
                seat.hold(place);
            });
            let cleaning = ringing.cleaning;
            let interpret = queue.interpret.as_ref().map(|interpret| Wanted { interpret, other: "called", cleaning });
            self.join_up((seat, leg), (music, interpret), (house, language), log).await;
            ringing.engaged.rests(Duration::from_secs(queue.rest_seconds));
        }
        left
    }

    /// Until somebody answers, or the caller or the time says that it is enough.
    async fn wait_in_line<'h>(
        &mut self,
        queue: &Queue,
        ticket: &mut Ticket,
        music: &Waiting,
        (house, language): (&'h House, Language),
        log: &Record,
    ) -> (Left, Option<((Dialog, Leg), Ringing<'h>)>) {
        let agents = queue.agents();
        let names: Vec<String> = agents.iter().map(name).collect();
        let late = Instant::now() + Duration::from_secs(queue.seconds);
        let every = (queue.announce_seconds > 0).then(|| Duration::from_secs(queue.announce_seconds));
        let mut moved = house.waiters.moved();
        let mut ringing: Vec<Ringing<'h>> = Vec::new();
        let notes = log.notes();
        let (mut frames, mut words) = (music.frames(), VecDeque::new());
        let mut next: Option<Frame> = None;
        let mut announce_at = every.map(|_| Instant::now());
        let mut announcing: Option<Making<'_>> = None;
        loop {
            // Where all are rung, whoever becomes free meanwhile is, too.
            let looks = ringing.is_empty() || queue.ring == Ring::All;
            if looks {
                for engaged in ticket.engage(&names, queue.ring == Ring::All) {
                    let agent = agents.get(engaged.at).cloned();
                    ringing.extend(agent.map(|agent| ring(engaged, agent, (self.about(), &notes), queue, house)));
                }
                if ringing.is_empty() {
                    ticket.rings_no_more();
                }
            }
            next = next.or_else(|| words.pop_front()).or_else(|| frames.next());
            let rings_until = ringing.iter().map(|one| one.until).min();
            let Self { ears, voice, until, .. } = self;
            let until = late.min(*until);
            let speaking = async {
                if let Some(frame) = next {
                    voice.play(frame).await;
                }
            };
            let made = async {
                match &mut announcing {
                    Some(making) => making.await,
                    None => pending().await,
                }
            };
            let unanswered = async {
                match rings_until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            let due = async {
                match announce_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            select! {
                (at, rang) = progress(&mut ringing) => match rang {
                    Rang::Placed(Ok((outgoing, over))) => {
                        let (one, ring) = (&mut ringing[at], Duration::from_secs(queue.ring_seconds));
                        one.standing = standing(&agents[one.engaged.at], over.as_ref().map(|(trunk, _)| *trunk));
                        one.cleaning = over.as_ref().map_or(house.cleaning, |(trunk, _)| trunk.cleaning());
                        one.over = over.map(|(_, place)| place);
                        (one.stage, one.until) = (Stage::Rings(outgoing), Instant::now() + ring);
                    }
                    Rang::Placed(Err(why)) => give_up(ringing.swap_remove(at), why, queue, log),
                    Rang::Answered(dialog, leg) => {
                        let one = ringing.swap_remove(at);
                        answered_elsewhere(ringing);
                        return (Left::Answered, Some(((dialog, leg), one)));
                    }
                    Rang::Early(leg) => ringing[at].early = Some(leg),
                    Rang::Failed(why) => give_up(ringing.swap_remove(at), why, queue, log),
                },
                () = unanswered => {
                    let now = Instant::now();
                    while let Some(at) = ringing.iter().position(|one| one.until <= now) {
                        give_up(ringing.swap_remove(at), Unanswered::no_answer(true), queue, log);
                    }
                }
                taker = ticket.offered() => {
                    answered_elsewhere(std::mem::take(&mut ringing));
                    if self.lend(taker, log).await {
                        return (Left::Answered, None);
                    }
                    ticket.again();
                }
                heard = heard(ears, until) => match heard {
                    Some(Heard::Digit(key)) => {
                        log.digit(key);
                        if queue.leave.contains(key) {
                            return (Left::Left, None);
                        }
                    }
                    Some(_) => {}
                    None if ears.is_none() => return (Left::Abandoned, None),
                    None => return (Left::Timeout, None),
                },
                () = due => {
                    announce_at = every.map(|every| Instant::now() + every);
                    let (before, wait) = ticket.outlook();
                    let text = outlook(before, wait, language);
                    announcing = Some(Box::pin(async move { spoken(&house.engines.voice, &text, language).await.ok() }));
                }
                sound = made => {
                    announcing = None;
                    let sound = sound.unwrap_or_else(|| Arc::new([]));
                    log.event("queue_told", json!({ "samples": sound.len() }));
                    words.extend(sound.chunks(FRAME_SAMPLES).map(Frame::padded));
                }
                () = speaking => next = None,
                // The sender is in the house.
                _ = moved.changed(), if looks => {}
                () = sleep(LOOK), if looks => {}
            }
        }
    }
}

/// Begins to ring somebody.
fn ring<'h>(
    engaged: Engaged,
    agent: Dial,
    (about, notes): (About, &Notes),
    queue: &Queue,
    house: &'h House,
) -> Ringing<'h> {
    let notes = notes.clone();
    let standing = standing(&agent, None);
    let placing = Box::pin(async move {
        let placing = timeout(PLACING, about.place_to(&agent, house, &notes));
        placing.await.unwrap_or_else(|_| Err(Unanswered::not_placed()))
    });
    let until = Instant::now() + PLACING + Duration::from_secs(queue.ring_seconds);
    let (early, over, cleaning) = (None, None, house.cleaning);
    Ringing { engaged, stage: Stage::Placing(placing), early, over, cleaning, standing, until }
}

/// Whoever is rung and is not needed any more shows no missed call.
fn answered_elsewhere(ringing: Vec<Ringing<'_>>) {
    for one in ringing {
        if let Stage::Rings(outgoing) = one.stage {
            outgoing.answered_elsewhere();
        }
    }
}

/// An agent as the log and the API call them.
fn name(agent: &Dial) -> String {
    agent.account.clone().unwrap_or_else(|| agent.to.clone())
}

/// Somebody did not come to the telephone.
fn give_up(mut ringing: Ringing<'_>, why: Unanswered, queue: &Queue, log: &Record) {
    let Unanswered { status, phrase, .. } = &why;
    let agent = &ringing.engaged.agent;
    log.event("agent", json!({ "agent": agent, "result": why.result(), "status": status, "phrase": phrase }));
    ringing.engaged.rests(Duration::from_secs(queue.rest_seconds));
}

/// The next that happens to one of those who are rung. Cancel safe.
async fn progress<'h>(ringing: &mut [Ringing<'h>]) -> (usize, Rang<'h>) {
    loop {
        let (at, progress) = poll_fn(|context| {
            for (at, one) in ringing.iter_mut().enumerate() {
                let progress = match &mut one.stage {
                    Stage::Placing(placing) => placing.as_mut().poll(context).map(Err),
                    Stage::Rings(outgoing) => pin!(outgoing.next()).poll(context).map(Ok),
                };
                if let Poll::Ready(progress) = progress {
                    return Poll::Ready((at, progress));
                }
            }
            Poll::Pending
        })
        .await;
        let progress = match progress {
            Ok(progress) => progress,
            Err(placed) => return (at, Rang::Placed(placed)),
        };
        let rang = match progress {
            Progress::Ringing(_) => continue,
            Progress::Early(leg) => Rang::Early(leg),
            Progress::Answered(dialog, leg) => Rang::Answered(dialog, leg),
            Progress::AnsweredEarly(dialog) => match ringing[at].early.take() {
                Some(leg) => Rang::Answered(dialog, leg),
                None => Rang::Failed(Unanswered::not_up()),
            },
            Progress::Rejected { code, reason } => Rang::Failed(Unanswered::refused(code, true).saying(&reason)),
            Progress::Failed(_) | Progress::Over => Rang::Failed(Unanswered::not_up()),
        };
        return (at, rang);
    }
}

/// What whoever waits is told: how many are before, and how long it may take.
fn outlook(before: usize, wait: Option<Duration>, language: Language) -> String {
    let minutes = wait.map(|wait| wait.as_secs().div_ceil(60));
    let place = match (language, before) {
        (Language::Mg, 0) => "Ianao no manaraka.".to_owned(),
        (Language::Mg, before) => format!("Misy {before} miandry eo alohanao."),
        (Language::Fr, 0) => "Vous êtes en première position.".into(),
        (Language::Fr, 1) => "Il y a une personne avant vous.".into(),
        (Language::Fr, before) => format!("Il y a {before} personnes avant vous."),
    };
    let time = match (language, minutes) {
        (_, None) => None,
        (Language::Mg, Some(0 | 1)) => Some("Latsaky ny iray minitra ny fiandrasana.".to_owned()),
        (Language::Mg, Some(minutes)) => Some(format!("Sahabo ho {minutes} minitra ny fiandrasana.")),
        (Language::Fr, Some(0 | 1)) => Some("L'attente est de moins d'une minute.".into()),
        (Language::Fr, Some(minutes)) => Some(format!("L'attente est d'environ {minutes} minutes.")),
    };
    iter::once(place).chain(time).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_in_their_language() {
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        for (before, wait, language, told) in [
            (0, None, Language::Mg, "Ianao no manaraka."),
            (2, minutes(3), Language::Mg, "Misy 2 miandry eo alohanao. Sahabo ho 3 minitra ny fiandrasana."),
            (1, minutes(0), Language::Fr, "Il y a une personne avant vous. L'attente est de moins d'une minute."),
            (4, minutes(5), Language::Fr, "Il y a 4 personnes avant vous. L'attente est d'environ 5 minutes."),
        ] {
            assert_eq!(outlook(before, wait, language), told);
        }
    }
}
