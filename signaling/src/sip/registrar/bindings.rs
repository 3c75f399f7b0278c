//! Where the telephones of our accounts are: their bindings (RFC 3261 section 10.3).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::sip::{
    flow::{ConnectionId, Flow},
    header::NameAddr,
    headers::Name,
    keep_alive::is_behind_nat,
    message::Message,
    screen::Rejection,
    uri::Uri,
};

/// Telephones of one account; when one more comes the one goes that would lapse first.
pub(super) const CONTACTS: usize = 10;
/// Longer than any telephone's.
const LONGEST_CONTACT: usize = 512;

/// A telephone that is registered with us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The account.
    pub user: String,
    /// How it wants to be called.
    pub contact: Uri,
    /// How it is reached: the way that its REGISTER came, also through a NAT.
    pub flow: Flow,
    /// The proxies that it is called by, the nearest first (RFC 3327).
    pub path: Arc<[Uri]>,
    /// When it lapses, unless it comes again.
    pub until: Instant,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

#[derive(Debug)]
struct Binding {
    registered: Registered,
    call_id: String,
    cseq: u32,
}

/// For how long one may be registered, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who asks for less hears 423.
    pub least_s: u32,
    /// Who asks for more gets this.
    pub most_s: u32,
}

/// What a REGISTER wants of one contact.
#[derive(Debug)]
struct Wish {
    contact: Uri,
    /// 0: it leaves.
    seconds: u32,
}

/// All bindings, by account. A change costs what the account has, however many others there are.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    of: BTreeMap<String, Vec<Binding>>,
    /// How many there are.
    total: usize,
    /// How many are reached through a NAT by datagrams.
    behind_nat: usize,
    /// How many came from each address.
    sources: HashMap<IpAddr, usize>,
    /// Whose came by each connection, and how many of each.
    connections: HashMap<ConnectionId, BTreeMap<String, usize>>,
    /// When the first one of each account lapses.
    lapses: BTreeSet<(Instant, String)>,
    /// Accounts whose bindings have changed since they were asked for last.
    changed: BTreeSet<String>,
}

impl Bindings {
    /// Does what an authenticated REGISTER wants. All of it or nothing (section 10.3, steps 6 to 7).
    ///
    /// # Errors
    /// What it deserves instead.
    pub(super) fn register(
        &mut self,
        now: Instant,
        user: &str,
        request: &Message,
        (flow, path): (Flow, Arc<[Uri]>),
        terms: Terms,
    ) -> Result<(), Rejection> {
        let call_id = request.call_id()?.to_owned();
        let (cseq, _) = request.cseq()?;
        let wishes = wishes(request, terms)?;
        let bindings = self.of.get(user).map(Vec::as_slice).unwrap_or_default();
        let is_old = |binding: &Binding| binding.call_id == call_id && binding.cseq >= cseq;
        let wanted = |binding: &Binding| match &wishes {
            None => true,
            Some(wishes) => wishes.iter().any(|wish| wish.contact.is_equivalent(&binding.registered.contact)),
        };
        if bindings.iter().any(|binding| wanted(binding) && is_old(binding)) {
            let mut rejection = Rejection::new(500);
            "CSeq Out Of Order".clone_into(&mut rejection.reason);
            return Err(rejection);
        }
        if wishes.as_ref().is_some_and(Vec::is_empty) {
            // It asks only.
            return Ok(());
        }
        let user_agent: Option<String> =
            request.headers.get(Name::USER_AGENT).map(|agent| agent.chars().take(80).collect());
        self.change(user, |bindings| {
            bindings.retain(|binding| match &wishes {
                None => false,
                Some(wishes) => !wishes.iter().any(|wish| wish.contact.is_equivalent(&binding.registered.contact)),
            });
            for Wish { contact, seconds } in wishes.into_iter().flatten().filter(|wish| wish.seconds > 0) {
                if bindings.len() >= CONTACTS
                    && let Some((first, _)) = bindings.iter().enumerate().min_by_key(|(_, one)| one.registered.until)
                {
                    bindings.swap_remove(first);
                }
                let until = now + Duration::from_secs(seconds.into());
                let (user_agent, path) = (Option::clone(&user_agent), Arc::clone(&path));
                let registered = Registered { user: user.to_owned(), contact, flow, path, until, user_agent };
                bindings.push(Binding { registered, call_id: call_id.clone(), cseq });
            }
        });
        Ok(())
    }

    /// Changes the bindings of an account, and all that is known of them besides.
    fn change(&mut self, user: &str, change: impl FnOnce(&mut Vec<Binding>)) {
        let mut bindings = self.of.remove(user).unwrap_or_default();
        self.count(user, &bindings, false);
        change(&mut bindings);
        self.count(user, &bindings, true);
        self.changed.insert(user.to_owned());
        if !bindings.is_empty() {
            self.of.insert(user.to_owned(), bindings);
        }
    }

    /// Counts the bindings of an account in, or out.
    fn count(&mut self, user: &str, bindings: &[Binding], is_in: bool) {
        let step = |count: &mut usize| *count = if is_in { *count + 1 } else { count.saturating_sub(1) };
        for Binding { registered, .. } in bindings {
            let (address, connection) = (registered.flow.remote.ip().to_canonical(), registered.flow.connection);
            step(&mut self.total);
            if is_behind_nat(registered) {
                step(&mut self.behind_nat);
            }
            let of_address = self.sources.entry(address).or_default();
            step(of_address);
            if *of_address == 0 {
                self.sources.remove(&address);
            }
            let Some(connection) = connection else { continue };
            let users = self.connections.entry(connection).or_default();
            let of_user = users.entry(user.to_owned()).or_default();
            step(of_user);
            if *of_user == 0 {
                users.remove(user);
            }
            if users.is_empty() {
                self.connections.remove(&connection);
            }
        }
        if let Some(first) = bindings.iter().map(|binding| binding.registered.until).min() {
            let lapse = (first, user.to_owned());
            if is_in {
                self.lapses.insert(lapse)
            } else {
                self.lapses.remove(&lapse)
            };
        }
    }

    /// Those of an account, as a response lists them (section 10.3, step 8).
    pub(super) fn contacts(&self, now: Instant, user: &str) -> impl Iterator<Item = String> {
        let bindings = self.of.get(user).into_iter().flatten();
        bindings.map(move |Binding { registered, .. }| {
            let left = registered.until.saturating_duration_since(now).as_secs_f64().round();
            format!("<{}>;expires={left}", registered.contact)
        })
    }

    /// Lets those go whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((at, user)) = self.lapses.first().cloned()
            && at <= now
        {
            self.change(&user, |bindings| bindings.retain(|binding| binding.registered.until > now));
        }
    }

    /// Lets those go that came by this connection, which is no more.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        let users: Vec<String> =
            self.connections.get(&connection).into_iter().flatten().map(|(user, _)| user.clone()).collect();
        for user in users {
            self.change(&user, |bindings| {
                bindings.retain(|binding| binding.registered.flow.connection != Some(connection));
            });
        }
    }

    /// Lets those go whose account is none of ours any more, or has another password.
    pub(super) fn keep(&mut self, stays: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.of.keys().filter(|user| !stays(user)).cloned().collect();
        gone.iter().for_each(|user| self.change(user, Vec::clear));
    }

    /// When the next one lapses.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lapses.first().map(|(at, _)| *at)
    }

    /// Whether a telephone of this account is registered.
    pub(super) fn has(&self, user: &str) -> bool {
        self.of.contains_key(user)
    }

    /// Whether any of them is reached through a NAT by datagrams.
    pub(super) fn is_anybody_behind_nat(&self) -> bool {
        self.behind_nat > 0
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Registered> {
        self.of.values().flatten().map(|binding| &binding.registered)
    }

    /// Whether a telephone is registered from this address.
    pub(super) fn is_from(&self, address: IpAddr) -> bool {
        self.sources.contains_key(&address.to_canonical())
    }

    /// Whether this connection carries the calls of a telephone.
    pub(super) fn uses(&self, connection: Option<ConnectionId>) -> bool {
        connection.is_some_and(|connection| self.connections.contains_key(&connection))
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// An account whose telephones have changed since this was asked last, and what they are now.
    pub(super) fn news(&mut self) -> Option<(String, Arc<[Registered]>)> {
        let user = self.changed.pop_first()?;
        let telephones = self.of.get(&user).into_iter().flatten().map(|binding| binding.registered.clone()).collect();
        Some((user, telephones))
    }
}

/// What a REGISTER wants; `None`: that every binding goes (`Contact: *`).
fn wishes(request: &Message, terms: Terms) -> Result<Option<Vec<Wish>>, Rejection> {
    let malformed = || {
        let mut rejection = Rejection::new(400);
        "Contact is malformed".clone_into(&mut rejection.reason);
        rejection
    };
    // A time that cannot be read counts as an hour (section 20.19), and so does one that is left out (10.2.1.1).
    let read = |text: &str| text.trim().parse::<u64>().map_or(3600, |seconds| seconds.min(u64::from(u32::MAX)) as u32);
    let usual = request.headers.get(Name::EXPIRES).map(read);
    let fields: Vec<&str> = request.headers.get_all(Name::CONTACT).collect();
    if fields.iter().any(|field| field.trim() == "*") {
        return if fields.len() == 1 && usual == Some(0) { Ok(None) } else { Err(malformed()) };
    }
    if fields.len() > CONTACTS {
        return Err(malformed());
    }
    let mut wishes = Vec::new();
    for field in fields {
        let contact: NameAddr = field.parse().map_err(|()| malformed())?;
        if field.len() > LONGEST_CONTACT || contact.uri.as_sip().is_none_or(|sip| sip.headers.is_some()) {
            return Err(malformed());
        }
        let asked = contact.params.get("expires").map(read).or(usual).unwrap_or(3600);
        if (1..terms.least_s).contains(&asked) {
            let mut rejection = Rejection::new(423);
            rejection.headers.push((Name::MIN_EXPIRES, terms.least_s.to_string()));
            return Err(rejection);
        }
        wishes.push(Wish { contact: contact.uri, seconds: asked.min(terms.most_s) });
    }
    Ok(Some(wishes))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;
    use crate::sip::{flow::Transport, parse};

    const TERMS: Terms = Terms { least_s: 60, most_s: 600 };

    fn register(cseq: u32, contacts: &str) -> Message {
        let text = format!(
            "REGISTER sip:milo SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:rina@milo>;tag=1\r\nTo: <sip:rina@milo>\r\n\
             Call-ID: 1\r\nCSeq: {cseq} REGISTER\r\nUser-Agent: Phone\r\n{contacts}\r\n\r\n"
        );
        parse(text.as_bytes()).unwrap()
    }

    fn flow() -> Flow {
        let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), "203.0.113.5:40000".parse().unwrap());
        Flow { transport: Transport::Udp, local, remote, connection: None }
    }

    fn done(bindings: &mut Bindings, now: Instant, cseq: u32, contacts: &str) -> Result<Vec<String>, u16> {
        let done = bindings.register(now, "rina", &register(cseq, contacts), (flow(), Arc::default()), TERMS);
        done.map(|()| bindings.contacts(now, "rina").collect()).map_err(|rejection| rejection.code)
    }

    #[test]
    fn a_telephone_is_gone_with_its_connection() {
        let (now, mut bindings) = (Instant::now(), Bindings::default());
        let by = |connection| Flow { connection: Some(ConnectionId(connection)), ..flow() };
        for (connection, contact) in [(1, "Contact: <sip:a@10.0.0.9>"), (2, "Contact: <sip:b@10.0.0.9>")] {
            let request = register(connection as u32, contact);
            bindings.register(now, "rina", &request, (by(connection), Arc::default()), TERMS).unwrap();
        }
        assert_eq!(bindings.news().map(|(user, all)| (user, all.len())), Some(("rina".to_owned(), 2)));
        bindings.closed(ConnectionId(3));
        assert_eq!(bindings.news(), None);
        bindings.closed(ConnectionId(1));
        let (_, left) = bindings.news().unwrap();
        assert_eq!((left.len(), left[0].flow.connection), (1, Some(ConnectionId(2))));
    }

    #[test]
    fn telephones_come_stay_as_long_as_they_are_granted_and_go() {
        let now = Instant::now();
        let mut bindings = Bindings::default();
        let mut wants = |at, cseq, contacts: &str| done(&mut bindings, at, cseq, contacts);
        assert_eq!(
            wants(now, 1, "Contact: <sip:a@10.0.0.9>;expires=90"),
            Ok(vec!["<sip:a@10.0.0.9>;expires=90".into()])
        );
        let both = wants(now, 2, "Contact: <sip:b@10.0.0.9>\r\nExpires: 7200").unwrap();
        assert_eq!(both[1], "<sip:b@10.0.0.9>;expires=600", "cut to the most");
        assert_eq!(wants(now, 3, "Subject: x").unwrap().len(), 2, "asks only");
        assert_eq!(wants(now, 4, "Contact: <sip:c@d>;expires=59"), Err(423));
        assert_eq!(wants(now, 2, "Contact: <sip:b@10.0.0.9>"), Err(500), "an old one");
        assert_eq!(wants(now, 5, "Contact: *"), Err(400));
        assert_eq!(wants(now, 5, "Contact: *\r\nExpires: 60"), Err(400));
        assert_eq!(wants(now, 5, "Contact: <tel:1>"), Err(400));
        assert_eq!(wants(now, 6, "Contact: <sip:b@10.0.0.9>;expires=0").unwrap().len(), 1);
        assert!(bindings.is_from([203, 0, 113, 5].into()));
        bindings.expire(now + Duration::from_secs(89));
        assert_eq!(bindings.news().unwrap().1.len(), 1);
        assert_eq!(bindings.news(), None);
        bindings.expire(now + Duration::from_secs(90));
        assert_eq!(bindings.news().unwrap().1.len(), 0);
        assert!(!bindings.is_from([203, 0, 113, 5].into()) && bindings.of.is_empty());
    }

    #[test]
    fn what_is_known_of_bindings_besides_stays_true_whatever_comes_and_goes() {
        let (now, mut bindings, mut seed) = (Instant::now(), Bindings::default(), 7_u64);
        let mut dice = |sides: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % sides
        };
        for step in 0..3_000_u32 {
            let at = now + Duration::from_secs(u64::from(step));
            let (user, connection) = (format!("u{}", dice(20)), ConnectionId(dice(10)));
            let remote = format!("203.0.113.{}:5060", dice(9)).parse().unwrap();
            let by = Flow { remote, connection: Some(connection).filter(|_| dice(2) == 0), ..flow() };
            let seconds = [0, 60, 90, 600][dice(4) as usize];
            let contact = format!("Contact: <sip:p{}@10.0.0.9>;expires={seconds}", dice(12));
            match dice(8) {
                0 => bindings.closed(connection),
                1 => bindings.expire(at),
                2 => bindings.keep(|name| name != user),
                _ => drop(bindings.register(at, &user, &register(step, &contact), (by, Arc::default()), TERMS)),
            }
            let all: Vec<_> = bindings.of.values().flatten().map(|binding| &binding.registered).collect();
            assert_eq!(bindings.total(), all.len());
            assert_eq!(bindings.deadline(), all.iter().map(|one| one.until).min());
            for last in 0..9 {
                let address = IpAddr::from([203, 0, 113, last]);
                assert_eq!(bindings.is_from(address), all.iter().any(|one| one.flow.remote.ip() == address));
            }
            for connection in (0..10).map(|id| Some(ConnectionId(id))) {
                assert_eq!(bindings.uses(connection), all.iter().any(|one| one.flow.connection == connection));
            }
            assert!(bindings.of.values().all(|of_one| !of_one.is_empty()));
        }
    }

    #[test]
    fn all_go_at_a_star_and_no_more_than_ten_are_kept() {
        let now = Instant::now();
        let mut bindings = Bindings::default();
        for n in 0..30 {
            let contact = format!("Contact: <sip:p{n}@10.0.0.9>;expires={}", 100 + n);
            assert!(done(&mut bindings, now, n + 1, &contact).unwrap().len() <= CONTACTS);
        }
        let left: Vec<_> = bindings.contacts(now, "rina").collect();
        assert!(left.len() == CONTACTS && left.iter().all(|contact| !contact.contains("p19@")), "{left:?}");
        assert_eq!(done(&mut bindings, now, 99, "Contact: *\r\nExpires: 0"), Ok(Vec::new()));
        assert!(bindings.of.is_empty());
    }
}
