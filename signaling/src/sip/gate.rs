//! Who may talk to us without being asked who it is: loopback, the configured trunks and the registrars that we are registered
//! with. Telephones of our accounts are asked (`registrar`), at a limited rate as well. Everybody else is
//! refused at a limited rate, then met with silence, so that a scanner learns nothing and a forged source cannot make us
//! send floods.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::{
    buckets::{Bucket, Buckets, Rate},
    core::CallKey,
    guesses::Guesses,
    proofs::Proofs,
};

/// Refusals that one network gets, and all of them together.
const REFUSALS: Rates =
    Rates { of_one: Rate { burst: 4.0, a_second: 0.2 }, of_all: Rate { burst: 40.0, a_second: 10.0 } };
/// The same for being asked who one is, and for connections, where telephones may register.
const QUESTIONS: Rates =
    Rates { of_one: Rate { burst: 20.0, a_second: 2.0 }, of_all: Rate { burst: 200.0, a_second: 50.0 } };
/// The same for each address from which somebody has proved lately who it is: a trunk that is asked for each call.
const QUESTIONS_OF_KNOWN: Rate = Rate { burst: 100.0, a_second: 20.0 };
/// How often the log hears of refusals.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// What a stranger's request deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 403.
    Refuse,
    /// Nothing at all.
    Silence,
}

#[derive(Clone, Copy, Debug)]
struct Rates {
    of_one: Rate,
    of_all: Rate,
}

/// How often strangers get something: each network by itself, and all of them together.
#[derive(Debug)]
struct Limiter {
    rates: Rates,
    networks: Buckets<IpAddr>,
    all: Bucket,
}

impl Limiter {
    fn new(now: Instant, rates: Rates) -> Self {
        Self { rates, networks: Buckets::new(now, rates.of_one), all: Bucket::full(now, rates.of_all) }
    }

    fn take(&mut self, now: Instant, address: IpAddr) -> Verdict {
        let gets = self.networks.take(now, network_of(address)) && self.all.take(now, self.rates.of_all);
        if gets { Verdict::Refuse } else { Verdict::Silence }
    }
}

/// The door keeper.
#[derive(Debug)]
pub(crate) struct Gate {
    trusted: Vec<IpNet>,
    /// Where we are registered, or ask to be.
    registrars: HashMap<CallKey, IpAddr>,
    refusals: Limiter,
    questions: Limiter,
    /// Those of addresses from which somebody has proved who it is: each by itself, whatever its neighbours do.
    questions_of_known: Buckets<IpAddr>,
    proofs: Proofs,
    names: RandomState,
    guesses: Guesses,
    reported: Option<Instant>,
    unreported: u64,
}

impl Gate {
    pub(crate) fn new(now: Instant, trusted: Vec<IpNet>) -> Self {
        Self {
            trusted,
            registrars: HashMap::new(),
            refusals: Limiter::new(now, REFUSALS),
            questions: Limiter::new(now, QUESTIONS),
            questions_of_known: Buckets::new(now, QUESTIONS_OF_KNOWN),
            proofs: Proofs::default(),
            names: RandomState::new(),
            guesses: Guesses::new(now),
            reported: None,
            unreported: 0,
        }
    }

    /// Whether requests from this address are served.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback()
            || self.trusted.iter().any(|net| net.contains(&address))
            || self.registrars.values().any(|registrar| *registrar == address)
    }

    /// The registrar of this registration is at this address now, and no longer where it was.
    pub(crate) fn serve(&mut self, registration: CallKey, address: IpAddr) {
        self.registrars.insert(registration, address.to_canonical());
    }

    /// What to do with a request of a stranger.
    pub(crate) fn meet(&mut self, now: Instant, address: IpAddr) -> Verdict {
        self.unreported += 1;
        self.refusals.take(now, address)
    }

    /// Whether a stranger who may be a telephone of ours is asked who it is, or its connection taken. `is_known`: a telephone is
    /// registered from there. It, and whoever has proved itself lately, is kept out by no flood of others.
    pub(crate) fn ask(&mut self, now: Instant, address: IpAddr, is_known: bool) -> Verdict {
        if !is_known && !self.has_proof(now, address) {
            return self.questions.take(now, address);
        }
        let gets = self.questions_of_known.take(now, address.to_canonical());
        if gets { Verdict::Refuse } else { Verdict::Silence }
    }

    /// Somebody of this name has proved from this address who it is.
    pub(crate) fn proved(&mut self, now: Instant, address: IpAddr, name: &str) {
        self.proofs.note(now, address.to_canonical(), self.names.hash_one(name));
    }

    /// Whether anybody has, lately.
    pub(crate) fn has_proof(&self, now: Instant, address: IpAddr) -> bool {
        self.proofs.has(now, address.to_canonical())
    }

    /// Whether an answer of this name, from this address, to a challenge is judged: too many wrong ones have not come before.
    pub(crate) fn may_guess(&self, now: Instant, address: IpAddr, name: &str) -> bool {
        let (address, name) = (address.to_canonical(), self.names.hash_one(name));
        // Others of the same address make nobody a stranger who has come in from there; and behind a trusted one, a proxy of ours
        // for instance, everybody may be.
        let is_apart = self.trusts(address) || self.proofs.has_name(now, address, name);
        self.guesses.may(now, address, name, is_apart)
    }

    /// This name was answered for, from this very address, and wrongly.
    pub(crate) fn guessed(&mut self, now: Instant, address: IpAddr, name: &str) {
        let (is_trusted, address) = (self.trusts(address), address.to_canonical());
        self.guesses.note(now, address, self.names.hash_one(name), is_trusted);
    }

    /// An answer of this address was not judged. True: the log has not heard of any for a while.
    pub(crate) fn unjudged(&mut self, now: Instant) -> bool {
        self.guesses.is_news(now)
    }

    /// How many requests were refused since the last report, once an interval, for the log.
    pub(crate) fn report(&mut self, now: Instant) -> Option<u64> {
        let due = self.reported.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_EVERY);
        if !due || self.unreported == 0 {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.unreported))
    }
}

/// The network that shares a bucket: /24, or /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::from((u32::from(v4) & !0xff).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn strangers_hear_403_a_few_times_then_nothing() {
        let now = Instant::now();
        let mut gate = Gate::new(now, vec!["192.0.2.0/24".parse().unwrap()]);
        assert!(gate.trusts("127.0.0.9".parse().unwrap()));
        assert!(gate.trusts("::ffff:127.0.0.1".parse().unwrap()));
        assert!(gate.trusts("192.0.2.77".parse().unwrap()));
        let stranger = "203.0.113.5".parse().unwrap();
        assert!(!gate.trusts(stranger));
        let refused = (0..100).filter(|_| gate.meet(now, stranger) == Verdict::Refuse).count();
        assert_eq!(refused, 4);
        let neighbour = "203.0.113.6".parse().unwrap();
        assert_eq!(gate.meet(now, neighbour), Verdict::Silence, "the network shares one bucket");
        assert_eq!(gate.meet(now + Duration::from_secs(5), neighbour), Verdict::Refuse);
        assert_eq!(gate.report(now), Some(102));
        assert_eq!(gate.report(now + Duration::from_secs(59)), None);
        gate.meet(now, stranger);
        assert_eq!(gate.report(now + REPORT_EVERY), Some(1));
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory_and_few_answers() {
        let now = Instant::now();
        let mut gate = Gate::new(now, Vec::new());
        let answered = (0..100_000_u32)
            .filter(|i| gate.meet(now, IpAddr::from((0x2000_0000 + i * 256).to_be_bytes())) == Verdict::Refuse)
            .count();
        assert_eq!(answered, 40);
        assert_eq!(gate.refusals.networks.len(), 4096);
    }
}
