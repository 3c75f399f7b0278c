//! What a REFER asks Milo for: whether whoever sent it may, and whom it means.

use std::net::IpAddr;

use milo_signaling::{CallKey, Referral, Replaces, Transport, Uri};

use super::{House, about::About, origin::Origin};
use crate::{
    config::TrunkNames,
    trunk::{Emergency, Trunk, Trunks, dialled},
};

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
    pub(super) fn of_whom_they_bring(&self, over: Option<&Trunk>) -> Self {
        match (self, over.map(Self::over)) {
            (_, Some(untrusted @ Self::Trunk { may_refer: false })) => untrusted,
            (Self::Account(_), _) => self.clone(),
            (Self::Called | Self::Trunk { may_refer: true }, Some(trusted)) => trusted,
            _ => Self::Unknown,
        }
    }

    /// The accounts whose call it is that they have placed.
    pub(super) fn payers(&self, about: &About) -> Vec<String> {
        let own = match self {
            Self::Account(account) => Some(account),
            Self::Called | Self::Trunk { .. } | Self::Unknown => None,
        };
        let others = about.account.iter().filter(|account| own != Some(account));
        own.into_iter().chain(others).cloned().collect()
    }

    /// Whether they may have an emergency number called.
    fn may_call_for_help(&self) -> bool {
        match self {
            Self::Account(_) | Self::Called | Self::Trunk { may_refer: true } => true,
            Self::Trunk { may_refer: false } | Self::Unknown => false,
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
    pub(super) uri: Uri,
    /// Whether a trunk may be paid for it.
    pub(super) may_pay: bool,
    /// The dialog there that is to be taken over.
    pub(super) replaces: Option<Replaces>,
    pub(super) origin: Origin,
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
            // As for `dial` no limit of an account keeps such a call out.
            Some((number, Emergency::Pass(trunks))) if standing.may_call_for_help() => {
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

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
