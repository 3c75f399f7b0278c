//! The UDP ports of connections: the one used longest ago comes first, so that a new connection seldom hears the tail of an old one.
//! Each has one port, on every address that it is bound to.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The ports of a range.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    /// `None` when the system chooses. The lock is taken once as a connection begins and once as it ends.
    free: Option<Arc<Mutex<VecDeque<u16>>>>,
}

/// A port of the range; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    port: u16,
    free: Option<Arc<Mutex<VecDeque<u16>>>>,
}

impl Ports {
    /// The ports of `range`, or `0..=0` to let the system choose.
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        let free = (range != (0..=0)).then(|| Arc::new(Mutex::new(range.filter(|port| *port > 0).collect())));
        Self { free }
    }

    /// A port that no other connection has; `None` when all are taken.
    pub(super) fn take(&self) -> Option<Lease> {
        let Some(free) = &self.free else { return Some(Lease { port: 0, free: None }) };
        let port = lock(free).pop_front()?;
        Some(Lease { port, free: Some(free.clone()) })
    }

    /// How many there are to take now.
    pub(super) fn left(&self) -> usize {
        self.free.as_ref().map_or(1, |free| lock(free).len())
    }
}

impl Lease {
    /// The port; 0: one of the system's choice.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free.iter().for_each(|free| lock(free).push_back(self.port));
    }
}

fn lock(free: &Mutex<VecDeque<u16>>) -> MutexGuard<'_, VecDeque<u16>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_comes_back_behind_the_others() {
        let ports = Ports::new(20_000..=20_001);
        let (one, two) = (ports.take().expect("free"), ports.take().expect("free"));
        assert_eq!((one.port(), two.port(), ports.left()), (20_000, 20_001, 0));
        assert!(ports.take().is_none());
        drop(two);
        drop(one);
        assert_eq!(ports.take().expect("free").port(), 20_001);
        assert_eq!(Ports::new(0..=0).take().expect("the system's").port(), 0);
    }
}
