//! Wrong answers to challenges: past some, what comes is not even judged. Of addresses that are never banned nothing else keeps
//! somebody from guessing for ever.
//!
//! They are counted twice: for the name that is guessed at, and for the address, which may try many names. So who guesses at one
//! name locks out nobody else behind the same address, an office's or a carrier's NAT; and who tries many is slowed all the same.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::buckets::{Buckets, Rate};

/// For one name, from one address.
const OF_A_NAME: Rate = Rate { burst: 20.0, a_second: 0.1 };
/// For all names, from one address.
const OF_AN_ADDRESS: Rate = Rate { burst: 60.0, a_second: 0.2 };
/// How often the log hears of answers that were not judged.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Who has guessed, and at what. Names are hashed.
#[derive(Debug)]
pub(super) struct Guesses {
    names: Buckets<(IpAddr, u64)>,
    addresses: Buckets<IpAddr>,
    reported: Option<Instant>,
}

impl Guesses {
    pub(super) fn new(now: Instant) -> Self {
        Self { names: Buckets::new(now, OF_A_NAME), addresses: Buckets::new(now, OF_AN_ADDRESS), reported: None }
    }

    /// Whether an answer is judged. `is_apart`: what other names of its address were guessed does not count.
    pub(super) fn may(&self, now: Instant, address: IpAddr, name: u64, is_apart: bool) -> bool {
        self.names.has(now, &(address, name)) && (is_apart || self.addresses.has(now, &address))
    }

    /// A wrong answer. `is_trusted`: the address is no one person's.
    pub(super) fn note(&mut self, now: Instant, address: IpAddr, name: u64, is_trusted: bool) {
        self.names.take(now, (address, name));
        if !is_trusted {
            self.addresses.take(now, address);
        }
    }

    /// Whether the log has not heard of an answer that was not judged for a while.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        let is_news = self.reported.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_EVERY);
        if is_news {
            self.reported = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    const OFFICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

    /// How many of 100 guesses at these names are judged.
    fn judged(guesses: &mut Guesses, now: Instant, name: impl Fn(u64) -> u64, is_trusted: bool) -> usize {
        let judged = (0..100).filter(|at| {
            let judged = guesses.may(now, OFFICE, name(*at), is_trusted);
            if judged {
                guesses.note(now, OFFICE, name(*at), is_trusted);
            }
            judged
        });
        judged.count()
    }

    #[test]
    fn who_guesses_at_one_name_is_not_judged_for_a_while_and_nobody_else_suffers() {
        let now = Instant::now();
        let mut guesses = Guesses::new(now);
        assert_eq!(judged(&mut guesses, now, |_| 1, false), 20);
        assert!(guesses.may(now, OFFICE, 2, false));
        assert!(guesses.may(now, IpAddr::from([203, 0, 113, 6]), 1, false));
        assert!(guesses.may(now + Duration::from_secs(11), OFFICE, 1, false));
    }

    #[test]
    fn who_tries_many_names_is_slowed_but_for_those_who_are_known() {
        let now = Instant::now();
        let mut guesses = Guesses::new(now);
        assert_eq!(judged(&mut guesses, now, |at| at, false), 60);
        assert!(!guesses.may(now, OFFICE, 1_000, false) && guesses.may(now, OFFICE, 1_000, true));
        // Behind a proxy of ours everybody has one address: each name counts for itself.
        let mut guesses = Guesses::new(now);
        assert_eq!(judged(&mut guesses, now, |at| at, true), 100);
        assert_eq!(judged(&mut guesses, now, |_| 1_000, true), 20);
    }

    #[test]
    fn the_log_hears_once_a_minute() {
        let now = Instant::now();
        let mut guesses = Guesses::new(now);
        let heard = (0..600).filter(|second| guesses.is_news(now + Duration::from_secs(*second))).count();
        assert_eq!(heard, 10);
    }
}
