//! Who is shut out for a time: addresses that guess passwords, and those that scan.
//!
//! An address is proven when its offence came over a stream, or answered a challenge that was sent to it. Over UDP anybody can
//! write any address: an unproven ban therefore leaves the way open to be asked who one is, and the right answer lifts it.
//! Trusted networks, trunks, registrars and addresses from which a telephone of ours is registered offend nobody.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    core::{Core, Output},
    flow::Flow,
    registrar::Registrar,
};

/// Addresses of each kind that are remembered at once. When there are more, newcomers are not: their answers are limited all the
/// same, and a forged crowd takes no room from the proven.
const ADDRESSES: usize = 4096;
/// How often those are looked for that may be forgotten, once the memory is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What scanners call themselves.
const SCANNERS: [&[u8]; 8] = [
    b"friendly-scanner",
    b"sipvicious",
    b"sipcli",
    b"sundayddr",
    b"sip-scan",
    b"vaxsipuseragent",
    b"pplsip",
    b"friendly-request",
];
/// How much a request weighs whose sender calls itself so, and one of a method that no telephone speaks.
const OF_A_SCANNER: f64 = 10.0;
const OF_NO_METHOD: f64 = 5.0;
/// What strangers' requests begin with.
const METHODS: [&[u8]; 14] = [
    b"INVITE ",
    b"ACK ",
    b"BYE ",
    b"CANCEL ",
    b"OPTIONS ",
    b"REGISTER ",
    b"INFO ",
    b"PRACK ",
    b"UPDATE ",
    b"REFER ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"PUBLISH ",
    b"MESSAGE ",
];

/// When somebody is banned, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanTerms {
    /// After so many wrong answers to challenges within [`Self::within`].
    pub wrong_answers: u32,
    /// After so many requests that nobody asked for.
    pub requests: u32,
    /// The time in which they count.
    pub within: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Passwords were guessed.
    WrongAnswers,
    /// Requests of a stranger.
    Requests,
}

impl Offence {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongAnswers => "wrong answers to challenges",
            Self::Requests => "requests of a stranger",
        }
    }
}

/// An address that is shut out: of IPv6 its network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Which.
    pub address: IpAddr,
    /// Why.
    pub why: Offence,
    /// When it ends.
    pub until: Instant,
    /// Whether the offences were not forged for certain.
    pub proven: bool,
    /// What has been dropped since.
    pub dropped: u64,
}

/// Offences that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    level: f64,
    at: Option<Instant>,
}

impl Level {
    fn now(&self, now: Instant, limit: u32, within: Duration) -> f64 {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        (self.level - passed * f64::from(limit) / within.as_secs_f64()).max(0.0)
    }

    fn add(&mut self, now: Instant, weight: f64, limit: u32, within: Duration) -> bool {
        self.level = self.now(now, limit, within) + weight;
        self.at = Some(now);
        self.level >= f64::from(limit) - 0.5
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Suspect {
    wrong_answers: Level,
    requests: Level,
    ban: Option<(Offence, Instant)>,
    dropped: u64,
}

#[derive(Debug)]
struct Table {
    suspects: HashMap<IpAddr, Suspect>,
    swept: Instant,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Bans {
    terms: Option<BanTerms>,
    proven: Table,
    unproven: Table,
}

impl Bans {
    pub(super) fn new(now: Instant, terms: Option<BanTerms>) -> Self {
        let table = || Table { suspects: HashMap::new(), swept: now };
        Self { terms, proven: table(), unproven: table() }
    }

    /// An offence; true: the address is banned from now on.
    pub(super) fn note(&mut self, now: Instant, address: IpAddr, (why, weight): (Offence, f64), proven: bool) -> bool {
        let Some(terms) = self.terms else { return false };
        let table = if proven { &mut self.proven } else { &mut self.unproven };
        let Some(suspect) = table.suspect(now, key(address), terms) else { return false };
        if suspect.ban.is_some_and(|(_, until)| now < until) {
            return false;
        }
        let (level, limit) = match why {
            Offence::WrongAnswers => (&mut suspect.wrong_answers, terms.wrong_answers),
            Offence::Requests => (&mut suspect.requests, terms.requests),
        };
        if !level.add(now, weight, limit, terms.within) {
            return false;
        }
        *suspect = Suspect { ban: Some((why, now + terms.length)), ..Suspect::default() };
        true
    }

    /// Whether what comes from this address is dropped, and counts it then. `asks`: it wants to be asked who it is, which an
    /// unproven ban leaves it.
    pub(super) fn drops(&mut self, now: Instant, address: IpAddr, asks: bool) -> bool {
        let address = key(address);
        let tables = [Some(&mut self.proven), (!asks).then_some(&mut self.unproven)];
        for suspect in tables.into_iter().flatten().filter_map(|table| table.suspects.get_mut(&address)) {
            if suspect.ban.is_some_and(|(_, until)| now < until) {
                suspect.dropped += 1;
                return true;
            }
        }
        false
    }

    /// Forgets what an address has done; true: it was banned.
    pub(super) fn pardon(&mut self, now: Instant, address: IpAddr) -> bool {
        let address = key(address);
        let gone = [&mut self.proven, &mut self.unproven].map(|table| table.suspects.remove(&address));
        gone.into_iter().flatten().any(|suspect| suspect.ban.is_some_and(|(_, until)| now < until))
    }

    /// Those that hold now.
    pub(super) fn list(&self, now: Instant) -> Vec<Ban> {
        let mut bans = Vec::new();
        for (table, proven) in [(&self.proven, true), (&self.unproven, false)] {
            for (address, suspect) in &table.suspects {
                if let Some((why, until)) = suspect.ban.filter(|(_, until)| now < *until) {
                    bans.push(Ban { address: *address, why, until, proven, dropped: suspect.dropped });
                }
            }
        }
        bans.sort_by_key(|ban| (ban.until, ban.address));
        bans
    }
}

impl Core {
    /// Whether what comes from this address is dropped: it is banned. `asks`: it is a REGISTER.
    pub(super) fn shuts_out(&mut self, now: Instant, address: IpAddr, asks: bool) -> bool {
        let is_banned = !self.is_spared(address) && self.bans.drops(now, address, asks);
        self.counters.banned += u64::from(is_banned);
        is_banned
    }

    /// An offence of somebody who is not spared. `proven`: the address is not forged.
    pub(super) fn offend(&mut self, now: Instant, flow: &Flow, offence: (Offence, f64), proven: bool) {
        let address = flow.remote.ip();
        if !self.is_spared(address) && self.bans.note(now, address, offence, proven) {
            warn!(%address, why = offence.0.as_str(), "an address is banned");
            if let Some(connection) = flow.connection {
                self.outputs.push_back(Output::Close(connection));
            }
        }
    }

    /// Those who offend nobody: what they send may be forged by whoever wants them banned.
    fn is_spared(&self, address: IpAddr) -> bool {
        let is_from = |registrar: &Registrar| registrar.is_from(address);
        self.gate.trusts(address) || self.registrar.as_ref().is_some_and(is_from)
    }

    /// Who is banned now.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.bans.list(now).into_iter().filter(|ban| !self.is_spared(ban.address)).collect()
    }

    /// Lets an address in again; true: it was banned.
    pub fn pardon(&mut self, now: Instant, address: IpAddr) -> bool {
        self.bans.pardon(now, address)
    }
}

impl Table {
    /// What is known of this address; `None`: there is no room for it.
    fn suspect(&mut self, now: Instant, address: IpAddr, terms: BanTerms) -> Option<&mut Suspect> {
        if self.suspects.len() >= ADDRESSES && !self.suspects.contains_key(&address) {
            if now.saturating_duration_since(self.swept) < SWEEP_EVERY {
                return None;
            }
            self.swept = now;
            let remembered = |suspect: &Suspect| {
                let level = |level: &Level, limit| level.now(now, limit, terms.within) > 0.0;
                suspect.ban.is_some_and(|(_, until)| now < until)
                    || level(&suspect.wrong_answers, terms.wrong_answers)
                    || level(&suspect.requests, terms.requests)
            };
            self.suspects.retain(|_, suspect| remembered(suspect));
            if self.suspects.len() >= ADDRESSES {
                return None;
            }
        }
        Some(self.suspects.entry(address).or_default())
    }
}

/// How much a stranger's request weighs; one that is blank keeps a NAT open (RFC 5626 section 4.4.1).
pub(super) fn weight(request: &[u8]) -> f64 {
    let head = request.get(..2_048).unwrap_or(request);
    let named = |name: &&[u8]| head.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
    if SCANNERS.iter().any(named) {
        OF_A_SCANNER
    } else if METHODS.iter().any(|method| head.starts_with(method)) || head.trim_ascii().is_empty() {
        1.0
    } else {
        OF_NO_METHOD
    }
}

/// An address, or of IPv6 the network that one household has.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    const TERMS: BanTerms = BanTerms {
        wrong_answers: 5,
        requests: 50,
        within: Duration::from_secs(600),
        length: Duration::from_secs(3600),
    };

    fn guesses(bans: &mut Bans, at: Instant, address: &str, proven: bool) -> bool {
        bans.note(at, address.parse().unwrap(), (Offence::WrongAnswers, 1.0), proven)
    }

    #[test]
    fn whoever_guesses_is_banned_for_a_time_and_who_mistypes_is_not() {
        let now = Instant::now();
        let mut bans = Bans::new(now, Some(TERMS));
        let address: IpAddr = "203.0.113.5".parse().unwrap();
        for minute in 0..60 {
            assert!(!guesses(&mut bans, now + Duration::from_secs(minute * 130), "203.0.113.9", true), "now and then");
        }
        assert_eq!((0..5).filter(|_| guesses(&mut bans, now, "203.0.113.5", true)).count(), 1);
        assert!(bans.drops(now, address, false) && bans.drops(now, address, true));
        assert!(!bans.drops(now, "203.0.113.6".parse().unwrap(), false));
        let list = bans.list(now);
        assert_eq!((list.len(), list[0].address, list[0].dropped, list[0].proven), (1, address, 2, true));
        assert!(!bans.drops(now + TERMS.length, address, false) && bans.list(now + TERMS.length).is_empty());
        assert!(bans.pardon(now, address) && !bans.drops(now, address, false) && !bans.pardon(now, address));
    }

    #[test]
    fn a_forged_address_can_still_prove_itself() {
        let now = Instant::now();
        let mut bans = Bans::new(now, Some(TERMS));
        let address: IpAddr = "2001:db8::5".parse().unwrap();
        let banned = (0..10).any(|_| bans.note(now, address, (Offence::Requests, 5.0), false));
        assert!(banned && bans.drops(now, "2001:db8::6".parse().unwrap(), false), "the household's network");
        assert!(!bans.drops(now, address, true));
        let mut off = Bans::new(now, None);
        assert!(!(0..1_000).any(|_| guesses(&mut off, now, "203.0.113.5", true)));
    }

    #[test]
    fn a_forged_crowd_takes_bounded_memory_and_no_room_from_the_proven() {
        let now = Instant::now();
        let mut bans = Bans::new(now, Some(TERMS));
        for n in 0..50_000_u32 {
            bans.note(now, IpAddr::from(n.to_be_bytes()), (Offence::Requests, 1.0), false);
        }
        assert_eq!(bans.unproven.suspects.len(), ADDRESSES);
        assert!((0..5).any(|_| guesses(&mut bans, now, "203.0.113.5", true)));
        let later = now + Duration::from_secs(601);
        bans.note(later, "198.51.100.1".parse().unwrap(), (Offence::Requests, 1.0), false);
        assert_eq!(bans.unproven.suspects.len(), 1, "what has faded is forgotten");
    }

    #[test]
    fn scanners_weigh_more_than_a_telephone_that_is_lost() {
        assert_eq!(weight(b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nUser-Agent: friendly-SCANNER\r\n\r\n"), OF_A_SCANNER);
        assert_eq!(weight(b"INVITE sip:100@192.0.2.1 SIP/2.0\r\nUser-Agent: Phone\r\n\r\n"), 1.0);
        assert_eq!(weight(b"GET / HTTP/1.1\r\n\r\n"), OF_NO_METHOD);
        assert_eq!((weight(b"\r\n\r\n"), weight(b"\x00\x01")), (1.0, OF_NO_METHOD));
    }
}
