//! Whether a trunk takes a call: who is said to call, whom, and whether there is room.

use std::sync::atomic::Ordering;

use super::{CALLER, Denied, Place, Trunk};

/// Who a call out is said to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallingAs<'a> {
    /// As the trunk has it.
    Trunk,
    /// A plan says so, which the operator has written: it may, unless the trunk's `caller_ids` say who may.
    Plan(&'a str),
    /// Whoever has Milo place the call says so: one of the trunk's own, or of its `caller_ids`.
    Request(&'a str),
}

impl<'a> CallingAs<'a> {
    /// The number or name that is said.
    pub fn said(self) -> Option<&'a str> {
        match self {
            Self::Trunk => None,
            Self::Plan(said) | Self::Request(said) => Some(said),
        }
    }
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It comes over the trunk.
    In,
    /// It goes out over it.
    Out,
}

impl Trunk {
    /// A place for a call out to this number that begins now.
    ///
    /// # Errors
    /// Why the trunk does not take it.
    pub fn admit(&self, number: &str, from: CallingAs<'_>) -> Result<Place, Denied> {
        if self.way_out().is_none() {
            return Err(Denied::NoGateway);
        }
        self.admit_there(number, from)
    }

    /// The same for a call to an address in the network that its calls come from, which needs no gateway.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn admit_there(&self, number: &str, from: CallingAs<'_>) -> Result<Place, Denied> {
        if !self.shows(from) {
            return Err(Denied::CallerId);
        }
        if !self.allows(number) {
            return Err(Denied::Destination);
        }
        if !self.reach.borrow().is_up() {
            return Err(Denied::Down);
        }
        self.place(Direction::Out)
    }

    /// A place for a call that comes for an emergency number, whatever the limits.
    pub fn place_emergency(&self) -> Place {
        self.inbound.carried.fetch_add(1, Ordering::Relaxed);
        self.limit.take_anyway()
    }

    /// A place for a call to an emergency number, whatever the limits; neither it nor its minutes count.
    ///
    /// # Errors
    /// [`Denied::NoGateway`].
    pub fn admit_emergency(&self) -> Result<Place, Denied> {
        if self.way_out().is_none() {
            return Err(Denied::NoGateway);
        }
        self.outbound.carried.fetch_add(1, Ordering::Relaxed);
        Ok(self.limit.take_anyway())
    }

    /// Whether such a number may be called over it.
    pub fn allows(&self, number: &str) -> bool {
        self.destinations.holds(number)
    }

    /// Whether a call out over it may be said to come from there.
    pub fn shows(&self, from: CallingAs<'_>) -> bool {
        let is_own = |id: &str| {
            let own = [&self.settings.username, &self.caller_id].into_iter().flatten().filter(|own| *own != CALLER);
            own.chain(self.caller_ids.iter().flatten()).any(|own| own == id)
        };
        match from {
            CallingAs::Trunk => true,
            CallingAs::Plan(id) => self.caller_ids.is_none() || is_own(id),
            CallingAs::Request(id) => is_own(id),
        }
    }

    /// A place for a call that begins now.
    ///
    /// # Errors
    /// Its limits leave none.
    pub fn place(&self, direction: Direction) -> Result<Place, Denied> {
        let place = self.limit.take(self.began.elapsed()).and_then(|place| match direction {
            Direction::In => Ok(place),
            Direction::Out => place.counted(&self.day),
        });
        let counts = match direction {
            Direction::In => &self.inbound,
            Direction::Out => &self.outbound,
        };
        let counter = if place.is_ok() { &counts.carried } else { &counts.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        place
    }
}
