//! One call that Milo places, from the INVITE to its closed row: when it is answered, its plan runs as for somebody who rang.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use milo_media::{
    Heard, Leg,
    tone::{LineTone, Listener},
};
use milo_signaling::{Destination, Dialog, EndReason, Outgoing, Progress, Uri};
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    Course, End, House, Placement, Record,
    order::{Whom, facts},
    refer::Standing,
    unanswered::{RINGING, Unanswered, Why},
    up,
    verbs::Line,
};
use crate::{
    agent::network,
    dialplan::{Action, Plan, Variables},
    store::{HangupBy, Outcome},
    trunk::{CallingAs, Place, Shown, Trunk, Way},
};

/// Somebody who has answered, and how they were reached.
struct Reached<'h> {
    dialog: Dialog,
    leg: Leg,
    trunk: Option<&'h Trunk>,
    /// Who called.
    from: String,
    /// The call's place on its trunk.
    place: Option<Place>,
}

/// Places a call and takes it through its plan. Returns when it is over and its row is closed.
pub async fn place(house: Arc<House>, placement: Placement) {
    let Placement { record: mut log, entry, edition, plan, variables, whom, from, private, headers, ring, room, over } =
        placement;
    // Dropped behind the closing of the row, on every way out of here.
    let _over = over;
    let began = Instant::now();
    let called = match &whom {
        Whom::Number { number, .. } => number.clone(),
        Whom::Address(uri) => uri.user(),
    };
    let listener = edition.dialplans.plan(&plan).is_some_and(Plan::detects).then(Listener::default);
    let from = from.as_deref();
    let early = None;
    let mut calling = Calling { house: &house, log: &log, from, private, headers, ring, began, listener, early };
    let reached = select! {
        reached = calling.reach(whom) => reached,
        why = entry.hung_up() => {
            log.event("dialled", json!({ "result": "cancelled", "after_ms": began.elapsed().as_millis() as u64 }));
            log.outcome(Outcome::Cancelled, None);
            drop(room);
            return log.close(HangupBy::Milo, why);
        }
    };
    let Reached { dialog, leg, trunk, from, place } = match reached {
        Ok(reached) => reached,
        Err(unanswered) => {
            log.outcome(unanswered.outcome(), unanswered.status);
            let End { by, reason } = end(&unanswered);
            drop(room);
            return log.close(by, &reason);
        }
    };
    let early = calling.early;
    log.outcome(Outcome::Answered, Some(200));
    let mut line = Line::new(leg, &dialog, (from.clone(), trunk), (&edition, &log), &house);
    line.early = early;
    let end = match edition.dialplans.plan(&plan) {
        Some(plan) => {
            let mut values = Variables::new(facts(from, called, trunk.map(Trunk::name)), log.id());
            variables.into_iter().for_each(|(name, value)| values.set(&name, value));
            let mut course = Course::new(&edition.dialplans, plan, values);
            pass_to_the_answer(&mut course);
            let standing = trunk.map_or(Standing::Called, Standing::over);
            up(&house, (dialog, line, entry), (trunk, standing), &mut course, &mut log).await
        }
        // It was looked up in this very edition.
        None => Ok(End::new(HangupBy::Milo, "the plan is gone")),
    };
    let end = end.unwrap_or_else(|error| {
        tracing::warn!(call.id = %log.id(), error = %error, "a call failed");
        End::new(HangupBy::Milo, error.to_string())
    });
    // Whoever reads that it is over finds its place free.
    drop((place, room));
    log.close(end.by, &end.reason);
}

/// The verbs up to the answer are for those who ring: whoever is called has answered.
fn pass_to_the_answer(course: &mut Course<'_>) {
    while let Some(action) = course.peek() {
        match action {
            Action::Ring { .. } | Action::Early {} | Action::Play(_) | Action::Music { .. } | Action::Tone { .. } => {
                course.next();
            }
            _ => return,
        }
    }
}

/// Who ended a call that nobody answered, and why.
fn end(unanswered: &Unanswered) -> End {
    let by = match (unanswered.why, unanswered.status) {
        (Why::Failed | Why::NoRoom | Why::Denied(_), _) | (_, None) => HangupBy::Milo,
        // Nothing was heard of them.
        (_, Some(408 | 503)) => HangupBy::Network,
        (_, Some(_)) => HangupBy::Caller,
    };
    let status = unanswered.status.map(|status| format!(": {status}")).unwrap_or_default();
    End::new(by, format!("{}{status}", unanswered.result()))
}

/// A call on its way to an answer.
struct Calling<'h, 'l> {
    house: &'h House,
    log: &'l Record,
    from: Option<&'l str>,
    private: bool,
    headers: BTreeMap<String, String>,
    ring: Duration,
    began: Instant,
    /// What listens to the network before the answer, where the plan asks who answers; and the tone that it has heard.
    listener: Option<Listener>,
    early: Option<LineTone>,
}

impl<'h, 'l> Calling<'h, 'l> {
    fn shown<'s>(&'s self, from: Option<&'s str>) -> Shown<'s> {
        Shown { from, caller: "", is_private: self.private, came: None, fields: &self.headers, replaces: None }
    }

    async fn reach(&mut self, whom: Whom) -> Result<Reached<'h>, Unanswered> {
        let reached = match whom {
            Whom::Address(uri) => self.at(&uri).await,
            Whom::Number { number, trunks, place } => self.over(&number, &trunks, place).await,
        };
        let (result, status) = match &reached {
            Ok(_) => ("answered", Some(200)),
            Err(unanswered) => (unanswered.result(), unanswered.status),
        };
        let after_ms = self.began.elapsed().as_millis() as u64;
        let phrase = reached.as_ref().err().and_then(|unanswered| unanswered.phrase.as_deref());
        let dialled = json!({ "result": result, "status": status, "phrase": phrase, "after_ms": after_ms });
        self.log.event("dialled", dialled);
        reached
    }

    /// Calls an address: where it leads to a trunk, by another name than the trunk's own, its number over that one.
    async fn at(&mut self, uri: &Uri) -> Result<Reached<'h>, Unanswered> {
        let (caller, trunks) = (&self.house.caller, &self.house.trunks);
        let calling_as = self.calling_as();
        let there = match trunks.way_to(uri, caller).await {
            Ok(Way::Over(trunk)) => {
                let number = uri.user();
                let place = trunk.admit(&number, calling_as)?;
                return self.over(&number, &[trunk.name().to_owned()], place).await;
            }
            Ok(Way::Direct(there)) => Ok(there),
            Err(error) => Err(error),
        };
        // What may take Milo for a trunk is called under the trunk's rules.
        let around = there.iter().flat_map(Destination::places).find_map(|place| trunks.around(place.ip()));
        let mut place = around.map(|trunk| trunk.admit_there(&uri.user(), calling_as)).transpose()?;
        let from = match around {
            Some(trunk) => trunk.caller_id(self.from, ""),
            None => self.from.unwrap_or("milo").to_owned(),
        };
        self.log.event("dialling", json!({ "trunk": around.map(Trunk::name), "caller_id": from }));
        let placed = match there {
            Ok(there) => caller.call_at(uri, self.shown(Some(&from)).introduce(&from), there).await,
            Err(error) => Err(error),
        };
        match self.answer(placed, around).await {
            Ok((dialog, leg)) => {
                place.iter_mut().for_each(Place::answered);
                if let Some(trunk) = around {
                    self.log.event("trunk", json!({ "name": trunk.name() }));
                }
                Ok(Reached { dialog, leg, trunk: around, from, place })
            }
            Err(unanswered) => {
                if unanswered.is_unsent() {
                    place.into_iter().for_each(Place::unused);
                }
                Err(unanswered)
            }
        }
    }

    fn calling_as(&self) -> CallingAs<'l> {
        self.from.map_or(CallingAs::Trunk, CallingAs::Request)
    }

    /// Calls a number over the first of these trunks that gets through; the first of them has given a place already.
    async fn over(&mut self, number: &str, trunks: &[String], place: Place) -> Result<Reached<'h>, Unanswered> {
        let calling_as = self.calling_as();
        let (caller, for_help) = (self.house.caller_for(number), self.house.trunks.emergency(number).is_some());
        let (mut last, mut place) = (Unanswered::not_placed(), Some(place));
        for trunk in trunks.iter().filter_map(|name| self.house.trunks.named(name)) {
            let began = Instant::now();
            let admit = || if for_help { trunk.admit_emergency() } else { trunk.admit(number, calling_as) };
            last = match place.take().map_or_else(admit, Ok) {
                Err(denied) => denied.into(),
                Ok(mut place) => {
                    let from = trunk.caller_id(self.from, "");
                    self.log.event("dialling", json!({ "trunk": trunk.name(), "caller_id": from }));
                    let placed = trunk.call(&caller, number, &self.shown(Some(&from))).await;
                    match self.answer(placed, Some(trunk)).await {
                        Ok((dialog, leg)) => {
                            place.answered();
                            self.log.event("trunk", json!({ "name": trunk.name() }));
                            return Ok(Reached { dialog, leg, trunk: Some(trunk), from, place: Some(place) });
                        }
                        Err(unanswered) => {
                            if unanswered.is_unsent() {
                                place.unused();
                            }
                            unanswered
                        }
                    }
                }
            };
            if trunks.len() > 1 {
                self.log.event("tried", last.tried(trunk.name(), began.elapsed()));
            }
            if !last.elsewhere {
                break;
            }
        }
        Err(last)
    }

    /// The network is heard before the answer: its tones say why nobody will come.
    fn heard_early(&mut self, heard: &Heard) {
        let (Some(listener), Heard::Frame(heard)) = (&mut self.listener, heard) else { return };
        let tone = listener.push(&heard.frame).filter(|tone| network(*tone).is_some());
        if let (None, Some(why)) = (self.early, tone.and_then(network)) {
            self.early = tone;
            let (why, after_ms) = (format!("{why}, before the answer"), self.began.elapsed().as_millis() as u64);
            self.log.event("answered_by", json!({ "who": "network", "why": why, "after_ms": after_ms }));
        }
    }

    /// Waits for the answer. Of what the network plays before it, tones are heard.
    async fn answer(
        &mut self,
        placed: Result<Outgoing, milo_signaling::SignalingError>,
        trunk: Option<&Trunk>,
    ) -> Result<(Dialog, Leg), Unanswered> {
        let mut outgoing = placed.map_err(|error| {
            // The error may name whom it was to be, which is for a developer's eyes.
            tracing::warn!(call.id = %self.log.id(), "a call could not be placed; `debug` says why");
            tracing::debug!(call.id = %self.log.id(), %error, "a call could not be placed");
            Unanswered::unplaced(&error)
        })?;
        self.log.placed(outgoing.call_id());
        // What another trunk's network has said is over.
        (self.listener, self.early) = (self.listener.take().map(|_| Listener::default()), None);
        let until = Instant::now() + self.ring;
        let (mut early, mut rang, mut was_heard) = (None::<Leg>, false, false);
        loop {
            let playing = async {
                match &mut early {
                    Some(leg) => leg.ears.next().await,
                    None => pending().await,
                }
            };
            select! {
                progress = outgoing.next() => match progress {
                    Progress::Ringing(status) => {
                        rang |= status == RINGING;
                        was_heard = true;
                        self.log.event("progress", json!({ "status": status, "heard": false }));
                    }
                    Progress::Early(leg) => {
                        was_heard = true;
                        self.log.event("progress", json!({ "status": 183, "heard": true }));
                        early = Some(leg);
                    }
                    Progress::Answered(dialog, leg) => return Ok((dialog, leg)),
                    Progress::AnsweredEarly(dialog) => {
                        return early.map(|leg| (dialog, leg)).ok_or_else(Unanswered::not_up);
                    }
                    Progress::Rejected { code, reason } => {
                        return Err(Unanswered::refused_over(trunk, (code, &reason), rang));
                    }
                    Progress::Failed(EndReason::Rejected { code, reason }) => {
                        return Err(Unanswered::refused(code, rang).saying(&reason));
                    }
                    Progress::Failed(reason) => {
                        tracing::info!(call.id = %self.log.id(), %reason, "a call that was placed did not come up");
                        return Err(Unanswered::not_up());
                    }
                    Progress::Over => return Err(Unanswered::not_up()),
                },
                heard = playing => match heard {
                    Heard::Closed(_) => return Err(Unanswered::not_up()),
                    heard => self.heard_early(&heard),
                },
                // Letting go of `outgoing` gives up the call: CANCEL, or BYE should the answer win the race.
                () = sleep_until(until) => return Err(Unanswered::no_answer(was_heard)),
            }
        }
    }
}
