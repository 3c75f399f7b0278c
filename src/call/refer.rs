//! What a REFER asks Milo for: whether whoever sent it may, whom it means, and the call to them.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use milo_media::Control;
use milo_signaling::{CallKey, Dialog, Forked, Progress, Referral, Replaces, SignalingError, Transport, Uri};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    House,
    about::About,
    record::Notes,
    unanswered::{RINGING, Unanswered},
};
use crate::trunk::{self, CallingAs, Denied, Emergency, Place, Shown, Trunk, Way, dialled, is_nobody};

/// How long the one who is to be called may ring, at each of several trunks.
const RING: Duration = Duration::from_secs(60);

/// Who sits somewhere, as far as it decides what they may have Milo do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A telephone of this account.
    Account(String),
    /// Somebody whom a plan, or the API, has called at an address.
    Called,
    /// Somebody who came over a trunk, or was called over it; and whether it is trusted with this (`refer`).
    Trunk { may_refer: bool },
    /// Somebody on this machine who was not asked who they are.
    Unknown,
}

impl Standing {
    /// Somebody over this trunk.
    pub(super) fn over(trunk: &Trunk) -> Self {
        Self::Trunk { may_refer: trunk.may_refer() }
    }

    /// That of somebody who has taken their place and was not asked who they are (RFC 3891).
    pub(super) fn of_a_successor(&self) -> Self {
        match self {
            Self::Trunk { .. } => self.clone(),
            Self::Account(_) | Self::Called | Self::Unknown => Self::Unknown,
        }
    }

    /// Whether they may have a call placed over a trunk, to this number.
    fn may_pay(&self, number: &str, about: &About, house: &House) -> bool {
        let own = match self {
            Self::Account(account) => Some(account),
            Self::Called | Self::Trunk { may_refer: true } => None,
            Self::Trunk { may_refer: false } | Self::Unknown => return false,
        };
        // Whoever pays for the call that they are in pays for this one, too.
        !about.is_handed_on
            && own.into_iter().chain(&about.account).all(|account| house.accounts.may_call(account, number))
    }
}

/// What is wanted, by whoever may.
pub(super) enum Wanted {
    Call(Box<Target>),
    /// The two calls of the telephone are to become one.
    Join(CallKey),
}

/// Who is to be called.
pub(super) enum Target {
    Account(String),
    Number(String),
    /// An emergency number, as it is dialled, and the name of the trunk for it.
    Emergency(String, String),
    /// An address, whether a trunk may be paid for a call to it, and the dialog there that is to be taken over.
    Address(Uri, bool, Option<Replaces>),
}

impl Wanted {
    /// Whom a REFER means.
    ///
    /// # Errors
    /// The status with which it is refused, and why.
    pub(super) fn of(
        referral: &Referral,
        standing: &Standing,
        about: &About,
        house: &House,
    ) -> Result<Self, (u16, &'static str)> {
        if *standing == (Standing::Trunk { may_refer: false }) {
            return Err((603, "its trunk is not trusted with it (refer)"));
        }
        if let Some(other) = referral.other {
            return Ok(Self::Join(other));
        }
        if referral.replaces.is_some() && referral.is_here {
            return Err((481, "the call that it names is not up"));
        }
        let to = &referral.to;
        let number = if to.as_sip().is_some() && !referral.is_here { None } else { dialled(to) };
        let account = Some(to.user()).filter(|user| referral.is_here && house.accounts.knows(user));
        let called = number.clone().unwrap_or_else(|| to.user());
        let is_foreign = account.is_none() && number.is_none() && !referral.is_here;
        match house.trunks.emergency(&called) {
            None => {}
            Some((number, Emergency::Pass(trunk))) if standing.may_pay(number, about, house) => {
                return Ok(Self::Call(Box::new(Target::Emergency(number.to_owned(), trunk.clone()))));
            }
            Some(_) => return Err((403, "an emergency number")),
        }
        let may_pay = standing.may_pay(&called, about, house);
        let target = match (account, number) {
            (Some(account), _) => Target::Account(account),
            (None, Some(_)) if !may_pay => return Err((403, "they may not call this number")),
            (None, Some(number)) if house.trunks.ways_out().next().is_some() => Target::Number(number),
            (None, None) if is_foreign && Transport::of_uri(to).is_ok() => {
                Target::Address(to.clone(), may_pay, referral.replaces.clone())
            }
            _ => return Err((404, "there is no such account, and no trunk for such a number")),
        };
        Ok(Self::Call(Box::new(target)))
    }
}

/// Somebody who has answered, and speaks on the leg already.
pub(super) struct Reached {
    pub(super) dialog: Dialog,
    pub(super) standing: Standing,
    /// The call's place on its trunk.
    pub(super) place: Option<Place>,
}

/// A call on its way to an answer.
pub(super) struct Calling<'h> {
    reaching: Pin<Box<dyn Future<Output = Result<Reached, Unanswered>> + Send + 'h>>,
    news: watch::Receiver<u16>,
    pub(super) began: Instant,
    /// `blind` or `attended`.
    pub(super) how: &'static str,
}

impl<'h> Calling<'h> {
    /// Calls somebody for this leg.
    pub(super) fn begin(
        target: Box<Target>,
        (about, notes): (About, Notes),
        leg: &Control,
        (house, how): (&'h House, &'static str),
    ) -> Self {
        let (told, news) = watch::channel(100);
        let placing = Placing { house, about, notes, leg: leg.clone(), told };
        Self { reaching: Box::pin(placing.reach(*target)), news, began: Instant::now(), how }
    }

    /// The next status from 180 to 199, or what came of it. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<u16, Result<Reached, Unanswered>> {
        select! {
            biased;
            Ok(()) = self.news.changed() => Ok(*self.news.borrow_and_update()),
            reached = &mut self.reaching => Err(reached),
        }
    }
}

/// What a call is placed with.
struct Placing<'h> {
    house: &'h House,
    about: About,
    notes: Notes,
    leg: Control,
    told: watch::Sender<u16>,
}

impl Placing<'_> {
    async fn reach(mut self, target: Target) -> Result<Reached, Unanswered> {
        let (house, fields) = (self.house, BTreeMap::new());
        let calling_as = CallingAs::Trunk;
        match target {
            Target::Account(account) => {
                let caller = self.about.caller.clone();
                let introduction = self.shown(&fields, None).introduce(trunk::number(&caller).unwrap_or("milo"));
                let placed = house.accounts.call(&house.caller, &account, &introduction).await.transpose();
                let dialog = self.ring(placed.ok_or_else(Unanswered::not_registered)?, None).await?;
                Ok(Reached { dialog, standing: Standing::Account(account), place: None })
            }
            Target::Number(number) => {
                let caller = house.caller_for(&number);
                let mut last = Unanswered::not_placed();
                for trunk in house.trunks.ways_out() {
                    last = match trunk.admit(&number, calling_as) {
                        Err(denied) => denied.into(),
                        Ok(place) => {
                            let placed = trunk.call(&caller, &number, &self.shown(&fields, None)).await;
                            match self.ring_over(placed, trunk, place).await {
                                Err(unanswered) => unanswered,
                                reached => return reached,
                            }
                        }
                    };
                    if !last.elsewhere {
                        break;
                    }
                }
                Err(last)
            }
            Target::Emergency(number, name) => {
                let trunk = house.trunks.named(&name).ok_or_else(Unanswered::not_placed)?;
                let place = trunk.admit_emergency()?;
                if is_nobody(&self.about.caller) {
                    // Whoever comes to help must be able to call back.
                    self.about.caller.clear();
                }
                let caller = house.caller_for(&number);
                let placed = trunk.call(&caller, &number, &self.shown(&fields, None)).await;
                self.ring_over(placed, trunk, place).await
            }
            Target::Address(uri, may_pay, replaces) => match self.way_to(&uri).await? {
                Way::Over(_) if !may_pay => Err(Denied::Destination.into()),
                Way::Over(trunk) => {
                    let place = trunk.admit(&uri.user(), calling_as)?;
                    let placed = trunk.call(&house.caller, &uri.user(), &self.shown(&fields, replaces.as_ref())).await;
                    self.ring_over(placed, trunk, place).await
                }
                Way::Direct(there) => {
                    let introduction = self.shown(&fields, replaces.as_ref()).introduce("milo");
                    let placed = house.caller.call_at(&uri, introduction, there).await.map(Forked::from);
                    let dialog = self.ring(placed, None).await?;
                    Ok(Reached { dialog, standing: Standing::Called, place: None })
                }
            },
        }
    }

    async fn way_to(&self, uri: &Uri) -> Result<Way<'_>, Unanswered> {
        let way = self.house.trunks.way_to(uri, &self.house.caller).await;
        way.map_err(|error| Unanswered::unplaced(&error))
    }

    fn shown<'s>(&'s self, fields: &'s BTreeMap<String, String>, replaces: Option<&'s Replaces>) -> Shown<'s> {
        let About { caller, came, .. } = &self.about;
        Shown { from: None, caller, is_private: false, came: came.as_ref(), fields, replaces }
    }

    async fn ring_over(
        &self,
        placed: Result<milo_signaling::Outgoing, SignalingError>,
        trunk: &Trunk,
        mut place: Place,
    ) -> Result<Reached, Unanswered> {
        match self.ring(placed.map(Forked::from), Some(trunk)).await {
            Ok(dialog) => {
                place.answered();
                Ok(Reached { dialog, standing: Standing::over(trunk), place: Some(place) })
            }
            Err(unanswered) => {
                if unanswered.is_unsent() {
                    place.unused();
                }
                Err(unanswered)
            }
        }
    }

    /// Waits for the answer; then the leg is with whoever gave it.
    async fn ring(&self, placed: Result<Forked, SignalingError>, trunk: Option<&Trunk>) -> Result<Dialog, Unanswered> {
        let placed = placed.map_err(|error| {
            // The error may name whom it was to be, which is for a developer's eyes.
            tracing::warn!(call.id = %self.notes.key(), "a transfer placed no call; `debug` says why");
            tracing::debug!(call.id = %self.notes.key(), %error, "a transfer placed no call");
            Unanswered::unplaced(&error)
        })?;
        placed.call_ids().for_each(|call_id| self.house.sip.join(self.notes.key(), "called", call_id));
        let mut outgoing = placed.heard_on(&self.leg);
        let until = self.about.until.min(Instant::now() + RING);
        let mut rang = false;
        loop {
            select! {
                progress = outgoing.next() => match progress {
                    Progress::Ringing(status) => {
                        rang |= status == RINGING;
                        self.told.send_replace(status);
                    }
                    // It is not listened to before the answer.
                    Progress::Early(_) => {}
                    Progress::AnsweredEarly(dialog) | Progress::Answered(dialog, _) => return Ok(dialog),
                    Progress::Rejected { code, reason } => {
                        return Err(Unanswered::refused_over(trunk, (code, &reason), rang));
                    }
                    Progress::Failed(_) | Progress::Over => return Err(Unanswered::not_up()),
                },
                () = sleep_until(until) => return Err(Unanswered::no_answer(rang)),
            }
        }
    }
}
