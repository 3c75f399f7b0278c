//! Who may talk to us without being asked who it is: loopback, the configured trunks and the registrars that we are registered
//! with. Telephones of our accounts are asked (`registrar`), at a limited rate as well. Everybody else is
//! refused at a limited rate, then met with silence, so that a scanner learns nothing and a forged source cannot make us
//! send floods.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::core::CallKey;

/// Refusals that one network gets in a row, and all of them together; how many a second after that.
const REFUSALS: Rates = Rates { burst: 4.0, rate: 0.2, burst_of_all: 40.0, rate_of_all: 10.0 };
/// The same for being asked who one is, and for connections, where telephones may register.
const QUESTIONS: Rates = Rates { burst: 20.0, rate: 2.0, burst_of_all: 200.0, rate_of_all: 50.0 };
/// Wrong answers to challenges that one address may give in a row, and a second after that: beyond it what it answers is not even
/// judged. Of addresses that are never banned nothing else keeps somebody from guessing for ever.
const GUESSES: (f64, f64) = (20.0, 0.1);
/// Networks that are remembered at once; the strangers past them share what is left of the common rate.
const NETWORKS: usize = 4096;
/// How often quiet networks are looked for once the memory is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
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
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant, rate: f64, burst: f64) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    fn holds_at(&self, now: Instant, (burst, rate): (f64, f64)) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * rate).min(burst)
    }

    fn is_full_at(&self, now: Instant, rates: Rates) -> bool {
        self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * rates.rate >= rates.burst
    }
}

#[derive(Clone, Copy, Debug)]
struct Rates {
    burst: f64,
    rate: f64,
    burst_of_all: f64,
    rate_of_all: f64,
}

/// How often strangers get something: each network by itself, and all of them together.
#[derive(Debug)]
struct Limiter {
    rates: Rates,
    networks: HashMap<IpAddr, Bucket>,
    all: Bucket,
    swept: Instant,
}

impl Limiter {
    fn new(now: Instant, rates: Rates) -> Self {
        let all = Bucket { tokens: rates.burst_of_all, at: now };
        Self { rates, networks: HashMap::new(), all, swept: now }
    }

    /// `is_known`: it is somebody whom others cannot use up the common share of.
    fn take(&mut self, now: Instant, address: IpAddr, is_known: bool) -> Verdict {
        let (network, rates) = (network_of(address), self.rates);
        if self.networks.len() >= NETWORKS && now.saturating_duration_since(self.swept) >= SWEEP_EVERY {
            // Those who have been quiet long enough are forgotten.
            self.swept = now;
            self.networks.retain(|_, bucket| !bucket.is_full_at(now, rates));
        }
        let full = self.networks.len() >= NETWORKS;
        let own = match self.networks.get_mut(&network) {
            Some(bucket) => bucket.take(now, rates.rate, rates.burst),
            None if full => true,
            None => {
                self.networks.insert(network, Bucket { tokens: rates.burst - 1.0, at: now });
                true
            }
        };
        let gets = own && (is_known || self.all.take(now, rates.rate_of_all, rates.burst_of_all));
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
    /// Who has guessed: each address by itself, of which as many are remembered as networks.
    guesses: HashMap<IpAddr, Bucket>,
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
            guesses: HashMap::new(),
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
        self.refusals.take(now, address, false)
    }

    /// Whether a stranger who may be a telephone of ours is asked who it is, or its connection taken. `is_known`: a telephone is
    /// registered from there, whom a flood of others does not keep from staying so.
    pub(crate) fn ask(&mut self, now: Instant, address: IpAddr, is_known: bool) -> Verdict {
        self.questions.take(now, address, is_known)
    }

    /// Whether an answer of this address to a challenge is judged: it has not given too many wrong ones.
    pub(crate) fn may_guess(&self, now: Instant, address: IpAddr) -> bool {
        self.guesses.get(&address.to_canonical()).is_none_or(|bucket| bucket.holds_at(now, GUESSES) >= 1.0)
    }

    /// This very address has given a wrong answer.
    pub(crate) fn guessed(&mut self, now: Instant, address: IpAddr) {
        let (burst, rate) = GUESSES;
        if self.guesses.len() >= NETWORKS {
            self.guesses.retain(|_, bucket| bucket.holds_at(now, GUESSES) < burst);
        }
        if self.guesses.len() < NETWORKS || self.guesses.contains_key(&address.to_canonical()) {
            let bucket = self.guesses.entry(address.to_canonical()).or_insert(Bucket { tokens: burst, at: now });
            bucket.take(now, rate, burst);
        }
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
    fn who_guesses_for_long_is_not_judged_for_a_while_and_nobody_else_suffers() {
        let now = Instant::now();
        let mut gate = Gate::new(now, Vec::new());
        let (guesser, neighbour) = ("203.0.113.5".parse().unwrap(), "203.0.113.6".parse().unwrap());
        let judged = (0..100).filter(|_| {
            let judged = gate.may_guess(now, guesser);
            gate.guessed(now, guesser);
            judged
        });
        assert_eq!(judged.count(), 20);
        assert!(gate.may_guess(now, neighbour));
        assert!(gate.may_guess(now + Duration::from_secs(11), guesser));
        for n in 0..10_000_u32 {
            gate.guessed(now, IpAddr::from((0x2000_0000 + n).to_be_bytes()));
        }
        assert!(gate.guesses.len() <= NETWORKS);
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory_and_few_answers() {
        let now = Instant::now();
        let mut gate = Gate::new(now, Vec::new());
        let answered = (0..100_000_u32)
            .filter(|i| gate.meet(now, IpAddr::from((0x2000_0000 + i * 256).to_be_bytes())) == Verdict::Refuse)
            .count();
        assert_eq!(answered, 40);
        assert_eq!(gate.refusals.networks.len(), NETWORKS);
    }
}
