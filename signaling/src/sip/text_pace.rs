//! How many texts an account may send within a minute.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What accounts may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextPace {
    /// Texts within a minute, by the name of the account.
    pub own: HashMap<String, u32>,
    /// Those of each account that is not named; `None`: as many as it likes.
    pub others: Option<u32>,
}

/// What they have sent. Whoever was quiet may send as many in a row as in a minute.
#[derive(Debug, Default)]
pub(super) struct TextPaces {
    terms: TextPace,
    /// Of those who have a limit: texts that are left, and since when. As many as there are accounts.
    left: HashMap<String, (f64, Instant)>,
}

impl TextPaces {
    pub(super) fn new(terms: TextPace) -> Self {
        Self { terms, left: HashMap::new() }
    }

    /// Counts a text of this account.
    ///
    /// # Errors
    /// It has sent too many: how long until the next.
    pub(super) fn take(&mut self, now: Instant, account: &str) -> Result<(), Duration> {
        let Some(most) = self.terms.own.get(account).copied().or(self.terms.others) else { return Ok(()) };
        let (most, a_second) = (f64::from(most.max(1)), f64::from(most.max(1)) / 60.0);
        let (left, since) = self.left.entry(account.to_owned()).or_insert((most, now));
        *left = (*left + now.saturating_duration_since(*since).as_secs_f64() * a_second).min(most);
        *since = now;
        if *left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - *left) / a_second));
        }
        *left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_texts_may_come_at_once_and_then_at_their_pace() {
        let start = Instant::now();
        let own = HashMap::from([("rina".to_owned(), 2)]);
        let mut paces = TextPaces::new(TextPace { own, others: Some(1) });
        assert_eq!([(); 2].map(|()| paces.take(start, "rina")), [Ok(()); 2]);
        assert_eq!(paces.take(start, "rina"), Err(Duration::from_secs(30)));
        assert_eq!(paces.take(start, "bao"), Ok(()), "each has its own");
        assert!(paces.take(start, "bao").is_err());
        assert_eq!(paces.take(start + Duration::from_secs(30), "rina"), Ok(()));
        assert!(paces.take(start + Duration::from_secs(30), "rina").is_err());
        let mut free = TextPaces::default();
        assert!((0..1_000).all(|_| free.take(start, "rina").is_ok()));
    }
}
