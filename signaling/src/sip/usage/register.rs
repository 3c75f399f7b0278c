//! The registrations of this endpoint: their REGISTER requests go through the same transactions as calls, and their keys
//! come from the same series.

use std::{sync::Arc, time::Instant};

use ipnet::IpNet;

use crate::sip::{
    account::Account,
    core::{CallKey, Core, Event, Output},
    flow::Ways,
    headers::Name,
    registration::{Next, Registration},
    transaction::table::{Told, TransactionId},
    uri::Uri,
};

impl Core {
    /// Registers an account and keeps it registered until [`Self::unregister`]; what becomes of it is told as
    /// [`Event::Registration`].
    pub fn register(&mut self, now: Instant, account: Account) -> CallKey {
        let key = self.new_call_key();
        let (call_id, tag) = (format!("{}{}", self.word(), self.word()), self.word());
        self.registrations.insert(key, Registration::new(now, account, (call_id, tag), self.keep_alive.every()));
        self.expire_registrations(now);
        key
    }

    /// The answer to [`Output::Locate`]: the ways to the registrar or to the next hop of the call, or why there is none.
    pub fn located(&mut self, now: Instant, key: CallKey, uri: &Uri, mut found: Result<Ways, String>) {
        if self.calls.contains_key(&key) {
            return self.found_next_hop(now, key, uri, found);
        }
        let dice = self.dice();
        if let Ok(ways) = &mut found {
            self.deaf.put_last(now, ways);
        }
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        let next = registration.located(now, found, dice);
        self.go_on(now, key, next);
    }

    /// Takes every binding of ours away.
    pub fn unregister(&mut self, now: Instant) {
        let keys: Vec<_> = self.registrations.keys().copied().collect();
        for key in keys {
            if let Some(registration) = self.registrations.get_mut(&key) {
                let next = registration.leave();
                self.go_on(now, key, next);
            }
        }
    }

    /// Whether no call is up, and no registrar owes us the answer to a farewell.
    pub fn is_at_rest(&self) -> bool {
        self.calls.is_empty() && !self.registrations.values().any(Registration::is_leaving)
    }

    /// When the next of them has something to do.
    pub(in crate::sip) fn registration_timer(&self) -> Option<Instant> {
        self.registrations.values().filter_map(Registration::deadline).min()
    }

    pub(in crate::sip) fn expire_registrations(&mut self, now: Instant) {
        let due = self.registrations.iter().filter(|(_, one)| one.deadline().is_some_and(|at| at <= now));
        let keys: Vec<_> = due.map(|(key, _)| *key).collect();
        for key in keys {
            let Some(registration) = self.registrations.get_mut(&key) else { continue };
            let (before, path) = (registration.asking(), registration.path);
            let next = registration.expire(now);
            if let (Next::Send, Some(unheard)) = (next, before) {
                self.transactions.forget(unheard);
                path.iter().for_each(|path| self.deaf.note(now, path));
            }
            self.go_on(now, key, next);
        }
    }

    /// What a transaction says to its registration.
    pub(in crate::sip) fn registrar_told(&mut self, now: Instant, key: CallKey, id: TransactionId, told: Told) {
        let (dice, cnonce) = (self.dice(), self.word());
        let ours = self.registered_contact(key);
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        let next = match told {
            Told::Response(response) if response.status().is_some_and(|code| code < 200) => {
                registration.heard();
                Next::Nothing
            }
            Told::Response(response) => registration.answered(now, id, &response, &ours, (cnonce.as_str(), dice)),
            Told::TimedOut => registration.unanswered(now, id, "the registrar does not answer", dice),
            Told::Unreachable(why) => {
                registration.unanswered(now, id, &format!("the registrar cannot be reached: {why}"), dice)
            }
            Told::Unacknowledged => Next::Nothing,
        };
        self.go_on(now, key, next);
    }

    fn go_on(&mut self, now: Instant, key: CallKey, next: Next) {
        if let Some(state) = self.registrations.get_mut(&key).and_then(Registration::news) {
            self.event(Event::Registration(key, state));
        }
        match next {
            Next::Nothing => {}
            Next::Send => self.send_register(now, key),
            Next::Locate => {
                let Some(registration) = self.registrations.get(&key) else { return };
                let account = &registration.account;
                self.outputs.push_back(Output::Locate(key, account.first_hop().clone(), account.trust.clone()));
            }
        }
    }

    fn send_register(&mut self, now: Instant, key: CallKey) {
        self.welcome_registrar(key);
        let contact = self.registered_contact(key);
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        let Some(path) = registration.path else { return };
        let mut request = registration.request(&contact);
        let branch = self.put_via(&mut request, &path);
        if self.keep_alive.every().is_some()
            && let Some(via) = request.headers.get(Name::VIA).map(str::to_owned)
        {
            // RFC 6223 section 4.1: we can keep the way open, as often as the registrar says.
            request.headers.set_first(Name::VIA, format!("{via};keep"));
        }
        let id = self.transactions.send(now, request, &branch, path, Some(key), &mut self.packets);
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.sent(now, id);
        }
    }

    /// The Contact that we register.
    fn registered_contact(&self, key: CallKey) -> String {
        let registration = self.registrations.get(&key);
        let known = registration.and_then(|one| Some((&one.account.user, one.path?)));
        known.map(|(user, path)| self.contact_as(user, &path.flow)).unwrap_or_default()
    }

    /// What comes from where the registrar is now is the registrar's, and nothing from where it was before.
    fn welcome_registrar(&mut self, key: CallKey) {
        let Some(registration) = self.registrations.get(&key) else { return };
        let Some(remote) = registration.path.map(|path| path.flow.remote) else { return };
        self.gate.serve(key, remote.ip());
        if let Some(codecs) = &registration.account.codecs {
            self.config.peer_codecs.retain(|(_, others)| !Arc::ptr_eq(others, codecs));
            self.config.peer_codecs.push((IpNet::from(remote.ip().to_canonical()), Arc::clone(codecs)));
        }
    }

    /// A random share of one.
    fn dice(&mut self) -> f64 {
        f64::from(self.pick(0..=1_000)) / 1_000.0
    }
}
