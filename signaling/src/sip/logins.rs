//! Trunks whose calls come from addresses that nobody knows beforehand: they prove who they are, by digest, as a telephone of
//! ours does. A domain that such a call names chooses only which trunk is asked for; it opens nothing.

use std::{net::IpAddr, time::Instant};

use super::{
    headers::Name,
    message::Message,
    registrar::{Algorithms, Asked, Examiner, Judgement, User},
};

/// Whose domain a call is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainOf {
    /// The host of the Request-URI: who is called.
    To,
    /// The host of From: who calls.
    From,
}

/// What a trunk proves itself with.
#[derive(Clone, Debug)]
pub struct TrunkLogin {
    /// The trunk.
    pub trunk: String,
    /// Its name and hashes, of the realm.
    pub user: User,
    /// The realm that asks.
    pub realm: String,
    /// Only calls with this domain are asked for this trunk; `None`: those that no other trunk's domain fits.
    pub domain: Option<(String, DomainOf)>,
}

impl TrunkLogin {
    /// Whether this INVITE may be its call.
    fn fits(&self, invite: &Message) -> bool {
        let Some((domain, of)) = &self.domain else { return true };
        domain_of(invite, *of).is_some_and(|named| named.eq_ignore_ascii_case(domain))
    }
}

/// The domain that an INVITE names.
fn domain_of(invite: &Message, of: DomainOf) -> Option<String> {
    match of {
        DomainOf::To => Some(invite.uri()?.host()?.as_str().to_owned()),
        DomainOf::From => Some(invite.from().ok()?.uri.host()?.as_str().to_owned()),
    }
}

/// All of them, and who examines those of each realm.
#[derive(Debug)]
pub(super) struct Logins {
    logins: Vec<TrunkLogin>,
    examiners: Vec<(String, Examiner)>,
}

impl Logins {
    /// `key` gives secrets.
    pub(super) fn new(
        now: Instant,
        logins: Vec<TrunkLogin>,
        algorithms: Algorithms,
        mut key: impl FnMut() -> [u8; 32],
    ) -> Self {
        let mut examiners: Vec<(String, Examiner)> = Vec::new();
        for login in &logins {
            if examiners.iter().all(|(realm, _)| *realm != login.realm) {
                let of_realm = logins.iter().filter(|other| other.realm == login.realm);
                let users = of_realm.map(|login| login.user.clone()).collect();
                let examiner = Examiner::new(now, (login.realm.clone(), algorithms), users, key());
                examiners.push((login.realm.clone(), examiner));
            }
        }
        Self { logins, examiners }
    }

    /// Which realm asks whoever sends this INVITE: that of a trunk whose domain it names, else of the trunks without one.
    /// `None`: no trunk is meant.
    pub(super) fn asks(&self, invite: &Message) -> Option<usize> {
        let fitting = || self.logins.iter().filter(|login| login.fits(invite));
        let login = fitting().find(|login| login.domain.is_some()).or_else(|| fitting().next())?;
        self.examiners.iter().position(|(realm, _)| *realm == login.realm)
    }

    /// Judges what it brought to this realm: whose credentials they are, and the trunk whose call it is, `None` where the credentials are those of a trunk that it
    /// does not fit.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        asking: usize,
        invite: &Message,
        from: IpAddr,
    ) -> Result<(String, Option<String>), Asked> {
        let Some((realm, examiner)) = self.examiners.get_mut(asking) else { return Err(Asked::First) };
        let name = match examiner.judge(now, invite, from) {
            Judgement::Known(at) => examiner.name(at),
            Judgement::Ask(asked) => return Err(asked),
        };
        let is_it = |login: &&TrunkLogin| login.realm == *realm && login.user.name == name && login.fits(invite);
        Ok((name.to_owned(), self.logins.iter().find(is_it).map(|login| login.trunk.clone())))
    }

    /// Whose credentials it brought to this realm.
    pub(super) fn claimed(&self, asking: usize, invite: &Message) -> Option<String> {
        self.examiners.get(asking)?.1.claimed(invite)
    }

    /// The fields that ask.
    pub(super) fn challenges(&mut self, now: Instant, asking: usize, to: IpAddr, stale: bool) -> Vec<(Name, String)> {
        let examiner = self.examiners.get_mut(asking);
        examiner.map(|(_, examiner)| examiner.challenges(now, to, stale)).unwrap_or_default()
    }
}
