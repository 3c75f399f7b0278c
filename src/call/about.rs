//! What a call is like, for whoever is called in it: who calls, and for whose account; and the calls that are placed so.

use milo_signaling::{Forked, Newcomer, OtherSide, SignalingError};
use tokio::time::Instant;

use super::{House, notes::Notes, unanswered::Unanswered};
use crate::{
    dialplan::Dial,
    trunk::{self, CallingAs, Came, Denied, Place, Shown, Trunk, Way},
};

/// What a call is like.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// The caller's number, as whoever is called may see it.
    pub(super) caller: String,
    /// The account that the caller has proved to be.
    pub(super) account: Option<String>,
    /// Somebody without an account sits where an account has called from: its rights are not handed on.
    pub(super) is_handed_on: bool,
    /// The call, where it came in.
    pub(super) came: Option<Came>,
    /// When the longest call is reached.
    pub(super) until: Instant,
}

impl About {
    /// What it is like by now.
    pub(super) fn now(&self, caller: &OtherSide) -> Self {
        match caller.newcomer() {
            None => self.clone(),
            // What is known of the caller says nothing of who has taken its place.
            Some(newcomer) => self.clone().of_a_newcomer(&newcomer),
        }
    }

    /// The same once somebody else has taken the caller's place (RFC 3891): with the rights of their own account.
    fn of_a_newcomer(self, newcomer: &Newcomer) -> Self {
        let account = newcomer.account().map(str::to_owned);
        let is_handed_on = account.is_none() && (self.account.is_some() || self.is_handed_on);
        let caller = if self.caller.is_empty() { self.caller } else { newcomer.uri.user() };
        Self { caller, account, is_handed_on, came: None, ..self }
    }

    /// Whether the caller's account may call this number over a trunk.
    pub(super) fn may_call(&self, number: &str, house: &House) -> Result<(), Unanswered> {
        match &self.account {
            Some(account) if !house.accounts.may_call(account, number) => Err(Denied::Account.into()),
            None if self.is_handed_on => Err(Denied::Account.into()),
            _ => Ok(()),
        }
    }

    /// Places the call: every telephone of an account, or this way.
    pub(super) async fn place(
        &self,
        dial: &Dial,
        way: Option<Way<'_>>,
        house: &House,
        notes: &Notes,
    ) -> Result<Forked, Unanswered> {
        let shown = Shown {
            from: dial.says(),
            caller: &self.caller,
            is_private: dial.is_private(),
            came: self.came.as_ref(),
            fields: &dial.headers,
            replaces: None,
        };
        let placed = match (way, &dial.account) {
            (Some(Way::Over(trunk)), _) => {
                let number = dial.number();
                trunk.call(&house.caller_for(&number), &number, &shown).await.map(Forked::from)
            }
            (_, Some(account)) => {
                let from = shown.from.or_else(|| trunk::number(&self.caller)).unwrap_or("milo");
                let all = house.accounts.call(&house.caller, account, &shown.introduce(from)).await.transpose();
                all.ok_or_else(Unanswered::not_registered)?
            }
            (Some(Way::Direct(there)), None) => {
                let target = dial.target().map_err(|_| Unanswered::not_placed())?;
                let introduction = shown.introduce(shown.from.unwrap_or("milo"));
                house.caller.call_at(&target, introduction, there).await.map(Forked::from)
            }
            (None, None) => return Err(Unanswered::not_placed()),
        };
        let outgoing = placed.map_err(|error| not_placed(&error, notes))?;
        outgoing.call_ids().for_each(|call_id| house.sip.join(notes.key(), "called", call_id));
        Ok(outgoing)
    }

    /// How whom this means is called; none: they are an account.
    pub(super) async fn way_to<'h>(
        dial: &Dial,
        house: &'h House,
        notes: &Notes,
    ) -> Result<Option<Way<'h>>, Unanswered> {
        if dial.account.is_some() {
            return Ok(None);
        }
        let address = dial.target().map_err(|_| Unanswered::not_placed())?;
        let way = house.trunks.way_to(&address, &house.caller).await;
        way.map(Some).map_err(|error| not_placed(&error, notes))
    }

    /// Places a call to an account, or an address: over the trunk, and with a place on it, where that is at a trunk's gateway.
    pub(super) async fn place_to<'h>(
        &self,
        dial: &Dial,
        house: &'h House,
        notes: &Notes,
    ) -> Result<(Forked, Option<(&'h Trunk, Place)>), Unanswered> {
        let number = dial.target().ok().filter(|_| dial.account.is_none()).map(|address| address.user());
        if number.as_ref().is_some_and(|number| house.trunks.emergency(number).is_some()) {
            // Nobody there waits for a caller of ours.
            return Err(Unanswered::not_placed());
        }
        let way = Self::way_to(dial, house, notes).await?;
        let (Some(trunk), Some(number)) = (way.as_ref().and_then(Way::trunk), number) else {
            return Ok((self.place(dial, way, house, notes).await?, None));
        };
        self.may_call(&number, house)?;
        let place = trunk.admit(&number, dial.says().map_or(CallingAs::Trunk, CallingAs::Plan))?;
        match self.place(dial, way, house, notes).await {
            Ok(outgoing) => Ok((outgoing, Some((trunk, place)))),
            Err(why) => {
                if why.is_unsent() {
                    place.unused();
                }
                Err(why)
            }
        }
    }
}

/// A call of a plan's could not be placed.
fn not_placed(error: &SignalingError, notes: &Notes) -> Unanswered {
    // The error may name whom it was to be, which is for a developer's eyes.
    tracing::warn!(call.id = %notes.key(), "a plan placed no call; `debug` says why");
    tracing::debug!(call.id = %notes.key(), %error, "a plan placed no call");
    Unanswered::unplaced(error)
}
