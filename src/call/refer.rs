//! What a REFER asks Milo for: whether whoever sent it may, whom it means, and the call to them.

use std::{collections::BTreeMap, net::IpAddr, pin::Pin, time::Duration};

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
    origin::Origin,
    record::Notes,
    unanswered::{RINGING, Unanswered},
};
use crate::{
    accounts,
    config::TrunkNames,
    trunk::{self, CallingAs, Denied, Emergency, Place, Shown, Trunk, Trunks, Way, dialled, is_nobody, is_number},
};

/// How long the one who is to be called may ring, at each of several trunks.
const RING: Duration = Duration::from_secs(60);
/// How long all of it may take: the one who asked is told of the end within three minutes, or takes it for failed.
const LONGEST: Duration = Duration::from_secs(170);

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

    /// That of somebody who has taken their place from there, and was not asked who they are (RFC 3891): of a trunk's at most what
    /// both may.
    pub(super) fn of_a_successor(&self, from: IpAddr, trunks: &Trunks) -> Self {
        match trunks.heard_from(from) {
            Some(trunk) => {
                let may_refer = matches!(self, Self::Trunk { may_refer: true }) && trunk.may_refer();
                Self::Trunk { may_refer }
            }
            None => Self::Unknown,
        }
    }

    /// That of whoever knows the identifiers of their dialog, which somebody else was told.
    pub(super) fn of_anybody(&self) -> Self {
        match self {
            Self::Trunk { .. } => Self::Trunk { may_refer: false },
            Self::Account(_) | Self::Called | Self::Unknown => Self::Unknown,
        }
    }

    /// That of somebody whom they have had called at an address, or over a trunk: no more than theirs.
    fn of_whom_they_bring(&self, over: Option<&Trunk>) -> Self {
        match (self, over.map(Self::over)) {
            (_, Some(untrusted @ Self::Trunk { may_refer: false })) => untrusted,
            (Self::Account(_), _) => self.clone(),
            (Self::Called | Self::Trunk { may_refer: true }, Some(trusted)) => trusted,
            _ => Self::Unknown,
        }
    }

    /// The accounts whose call it is that they have placed.
    fn payers(&self, about: &About) -> Vec<String> {
        let own = match self {
            Self::Account(account) => Some(account),
            Self::Called | Self::Trunk { .. } | Self::Unknown => None,
        };
        let others = about.account.iter().filter(|account| own != Some(account));
        own.into_iter().chain(others).cloned().collect()
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
    Call(Target),
    /// The two calls of the telephone are to become one.
    Join(CallKey),
}

/// Who is to be called.
pub(super) enum Target {
    Account(String),
    Number(String),
    /// An emergency number, as it is dialled, and the trunks for it.
    Emergency(String, TrunkNames),
    Address(Box<Address>),
}

/// An address that is called as it is.
pub(super) struct Address {
    uri: Uri,
    /// Whether a trunk may be paid for it.
    may_pay: bool,
    /// The dialog there that is to be taken over.
    replaces: Option<Replaces>,
    origin: Origin,
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
            Some((number, Emergency::Pass(trunks))) if standing.may_pay(number, about, house) => {
                return Ok(Self::Call(Target::Emergency(number.to_owned(), trunks.clone())));
            }
            Some(_) => return Err((403, "an emergency number")),
        }
        let may_pay = standing.may_pay(&called, about, house);
        let target = match (account, number) {
            (Some(account), _) => Target::Account(account),
            (None, Some(_)) if !may_pay => return Err((403, "they may not call this number")),
            (None, Some(number)) if house.trunks.ways_out().next().is_some() => Target::Number(number),
            (None, None) if is_foreign && Transport::of_uri(to).is_ok() => {
                let (uri, replaces, origin) = (to.clone(), referral.replaces.clone(), Origin::of(referral));
                Target::Address(Box::new(Address { uri, may_pay, replaces, origin }))
            }
            _ => return Err((404, "there is no such account, and no trunk for such a number")),
        };
        Ok(Self::Call(target))
    }
}

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
        let placing =
            Placing { house, standing, about, notes, leg: leg.clone(), told, until: Instant::now() + LONGEST };
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
                if unanswered.is_unsent() {
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
        let (house, fields) = (self.house, BTreeMap::new());
        let calling_as = CallingAs::Trunk;
        match target {
            Target::Account(account) => {
                let caller = self.about.caller.clone();
                let introduction = self.shown(&fields, None).introduce(trunk::number(&caller).unwrap_or("milo"));
                let placed = house.accounts.call(&house.caller, &account, &introduction).await.transpose();
                let dialog = self.ring(placed.ok_or_else(Unanswered::not_registered)?, None).await?;
                Ok(Reached { dialog, standing: Standing::Account(account), places: Vec::new() })
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
            Target::Emergency(number, trunks) => {
                if is_nobody(&self.about.caller) {
                    // Whoever comes to help must be able to call back.
                    self.about.caller.clear();
                }
                let caller = house.caller_for(&number);
                let mut last = Unanswered::not_placed();
                for trunk in trunks.names().iter().filter_map(|name| house.trunks.named(name)) {
                    last = match trunk.admit_emergency() {
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
            Target::Address(address) => self.call_address(*address).await,
        }
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
                let target = if house.accounts.knows(&user) {
                    Target::Account(user)
                } else if may_pay && is_number(&user) {
                    Target::Number(user)
                } else {
                    return Err(Denied::Address.into());
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
                    Some(trunk) => Some((trunk, trunk.admit(&uri.user(), CallingAs::Trunk)?)),
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
        &self,
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
    async fn ring(&self, placed: Result<Forked, SignalingError>, trunk: Option<&Trunk>) -> Result<Dialog, Unanswered> {
        let placed = placed.map_err(|error| self.not_placed(&error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn about(account: Option<&str>) -> About {
        let account = account.map(str::to_owned);
        About { caller: String::new(), account, is_handed_on: false, came: None, until: Instant::now() }
    }

    #[tokio::test]
    async fn whoever_is_brought_in_has_no_more_rights_and_the_same_payers() {
        let rina = Standing::Account("rina".into());
        assert_eq!(rina.of_whom_they_bring(None), rina);
        for other in [Standing::Called, Standing::Unknown, Standing::Trunk { may_refer: true }] {
            assert_eq!(other.of_whom_they_bring(None), Standing::Unknown);
            assert_eq!(other.payers(&about(None)), Vec::<String>::new());
            assert_eq!(other.payers(&about(Some("rina"))), ["rina"], "it is her call");
        }
        assert_eq!(rina.payers(&about(Some("rina"))), ["rina"], "once");
        assert_eq!(rina.payers(&about(Some("lala"))), ["rina", "lala"]);
    }
}
