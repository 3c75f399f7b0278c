//! The call to somebody whom a REFER has named: to an account, over trunks, to an address.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use milo_media::Control;
use milo_signaling::{Dialog, Forked, Progress, Replaces, SignalingError};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    House,
    about::About,
    notes::Notes,
    refer::{Address, Standing, Target},
    unanswered::{RINGING, Unanswered},
};
use crate::{
    accounts,
    trunk::{self, CallingAs, Denied, Place, Shown, Trunk, Way, dialled, is_nobody},
};

/// How long the one who is to be called may ring, at each of several trunks.
const RING: Duration = Duration::from_secs(60);
/// How long all of it may take: the one who asked is told of the end within three minutes, or takes it for failed.
const LONGEST: Duration = Duration::from_secs(170);

/// Somebody who has answered, and speaks on the leg already.
pub(super) struct Reached {
    pub(super) dialog: Dialog,
    pub(super) standing: Standing,
    /// The call's places: on its trunk, and among the calls of the accounts whose it is.
    pub(super) places: Vec<Place>,
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
        target: Target,
        (standing, about, notes): (Standing, About, Notes),
        leg: &Control,
        (house, how): (&'h House, &'static str),
    ) -> Self {
        let (told, news) = watch::channel(100);
        let placing = Placing {
            house,
            standing,
            about,
            notes,
            leg: leg.clone(),
            told,
            until: Instant::now() + LONGEST,
            was_sent: false,
        };
        Self { reaching: Box::pin(placing.reach(target)), news, began: Instant::now(), how }
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
    /// That of whoever has asked for it.
    standing: Standing,
    about: About,
    notes: Notes,
    leg: Control,
    told: watch::Sender<u16>,
    /// When it is given up.
    until: Instant,
    /// Whether an INVITE has left.
    was_sent: bool,
}

impl Placing<'_> {
    async fn reach(mut self, target: Target) -> Result<Reached, Unanswered> {
        let mut of_accounts = self.admit(matches!(target, Target::Emergency(..)))?;
        match self.call(target).await {
            Ok(mut reached) => {
                of_accounts.iter_mut().for_each(Place::answered);
                reached.places.append(&mut of_accounts);
                Ok(reached)
            }
            Err(unanswered) => {
                if !self.was_sent {
                    of_accounts.into_iter().for_each(Place::unused);
                }
                Err(unanswered)
            }
        }
    }

    /// A place for one more call of each account whose it is.
    fn admit(&self, is_for_help: bool) -> Result<Vec<Place>, Unanswered> {
        let (accounts, mut places) = (&self.house.accounts, Vec::new());
        for account in self.standing.payers(&self.about) {
            // The account that called has a place for this call already: another party of it is no further call at once.
            let is_its_own = self.about.account.as_ref() == Some(&account);
            let place = match is_for_help {
                true => accounts.admit_for_help(&account),
                false if is_its_own => accounts.admit_further(&account),
                false => accounts.admit(&account),
            };
            match place {
                Ok(place) => places.extend(place),
                Err(denied) => {
                    places.into_iter().for_each(Place::unused);
                    return Err(Unanswered::from(denied).saying(accounts::phrase(denied)));
                }
            }
        }
        Ok(places)
    }

    async fn call(&mut self, target: Target) -> Result<Reached, Unanswered> {
        let house = self.house;
        match target {
            Target::Account(account) => {
                let fields = BTreeMap::new();
                let caller = self.about.caller.clone();
                let introduction = self.shown(&fields, None).introduce(trunk::number(&caller).unwrap_or("milo"));
                let placed = house.accounts.call(&house.caller, &account, &introduction).await.transpose();
                let dialog = self.ring(placed.ok_or_else(Unanswered::not_registered)?, None).await?;
                Ok(Reached { dialog, standing: Standing::Account(account), places: Vec::new() })
            }
            Target::Number(number) => {
                let ways = house.trunks.ways_out();
                self.over(ways, &number, |trunk| trunk.admit(&number, CallingAs::Trunk)).await
            }
            Target::Emergency(number, trunks) => {
                if is_nobody(&self.about.caller) {
                    // Whoever comes to help must be able to call back.
                    self.about.caller.clear();
                }
                let ways = trunks.names().iter().filter_map(|name| house.trunks.named(name));
                self.over(ways, &number, Trunk::admit_emergency).await
            }
            Target::Address(address) => self.call_address(*address).await,
        }
    }

    /// Calls over the first of these trunks that gets through.
    async fn over<'t>(
        &mut self,
        ways: impl Iterator<Item = &'t Trunk> + Send,
        number: &str,
        admit: impl Fn(&Trunk) -> Result<Place, Denied> + Send,
    ) -> Result<Reached, Unanswered> {
        let (caller, fields) = (self.house.caller_for(number), BTreeMap::new());
        let mut last = Unanswered::not_placed();
        for trunk in ways {
            last = match admit(trunk) {
                Err(denied) => denied.into(),
                Ok(place) => {
                    let placed = trunk.call(&caller, number, &self.shown(&fields, None)).await;
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

    async fn call_address(&mut self, address: Address) -> Result<Reached, Unanswered> {
        let (house, fields) = (self.house, BTreeMap::new());
        let Address { uri, may_pay, replaces, origin } = address;
        let way = house.trunks.way_to(&uri, &house.caller).await.map_err(|error| self.not_placed(&error))?;
        let shown = self.shown(&fields, replaces.as_ref());
        match way {
            Way::Over(_) if !may_pay => Err(Denied::Destination.into()),
            Way::Over(trunk) => {
                let place = trunk.admit(&uri.user(), CallingAs::Trunk)?;
                let placed = trunk.call(&house.caller, &uri.user(), &shown).await;
                self.ring_over(placed, trunk, place).await
            }
            // Whoever called Milo by a name of ours names its accounts and numbers by it, too.
            Way::Direct(there) if there.places().all(|place| origin.is_milo(place.ip())) => {
                let user = uri.user();
                // As it was judged: a number that is written otherwise was not.
                let is_number = dialled(&uri).as_ref() == Some(&user);
                let target = match house.accounts.knows(&user) {
                    true => Target::Account(user),
                    false if may_pay && is_number => Target::Number(user),
                    false => return Err(Denied::Address.into()),
                };
                Box::pin(self.call(target)).await
            }
            Way::Direct(there) if !there.places().all(|place| origin.may_reach(place.ip())) => {
                Err(Denied::Address.into())
            }
            Way::Direct(there) => {
                let around = there.places().find_map(|place| house.trunks.around(place.ip()));
                // What may take us for a trunk is called under the trunk's rules.
                let place = match around {
                    Some(_) if !may_pay => return Err(Denied::Destination.into()),
                    Some(trunk) => Some((trunk, trunk.admit_there(&uri.user(), CallingAs::Trunk)?)),
                    None => None,
                };
                let placed = house.caller.call_at(&uri, shown.introduce("milo"), there).await;
                match place {
                    Some((trunk, place)) => self.ring_over(placed, trunk, place).await,
                    None => {
                        let dialog = self.ring(placed.map(Forked::from), None).await?;
                        Ok(Reached { dialog, standing: self.standing.of_whom_they_bring(None), places: Vec::new() })
                    }
                }
            }
        }
    }

    fn shown<'s>(&'s self, fields: &'s BTreeMap<String, String>, replaces: Option<&'s Replaces>) -> Shown<'s> {
        let About { caller, came, .. } = &self.about;
        Shown { from: None, caller, is_private: false, came: came.as_ref(), fields, replaces }
    }

    async fn ring_over(
        &mut self,
        placed: Result<milo_signaling::Outgoing, SignalingError>,
        trunk: &Trunk,
        mut place: Place,
    ) -> Result<Reached, Unanswered> {
        match self.ring(placed.map(Forked::from), Some(trunk)).await {
            Ok(dialog) => {
                place.answered();
                let standing = self.standing.of_whom_they_bring(Some(trunk));
                Ok(Reached { dialog, standing, places: vec![place] })
            }
            Err(unanswered) => {
                if unanswered.is_unsent() {
                    place.unused();
                }
                Err(unanswered)
            }
        }
    }

    fn not_placed(&self, error: &SignalingError) -> Unanswered {
        // The error may name whom it was to be, which is for a developer's eyes.
        tracing::warn!(call.id = %self.notes.key(), "a transfer placed no call; `debug` says why");
        tracing::debug!(call.id = %self.notes.key(), %error, "a transfer placed no call");
        Unanswered::unplaced(error)
    }

    /// Waits for the answer; then the leg is with whoever gave it.
    async fn ring(
        &mut self,
        placed: Result<Forked, SignalingError>,
        trunk: Option<&Trunk>,
    ) -> Result<Dialog, Unanswered> {
        let placed = placed.map_err(|error| self.not_placed(&error))?;
        self.was_sent = true;
        placed.call_ids().for_each(|call_id| self.house.sip.join(self.notes.key(), "called", call_id));
        let mut outgoing = placed.heard_on(&self.leg);
        let until = self.about.until.min(self.until).min(Instant::now() + RING);
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
