//! Why a trunk takes no call out now, or not this one.

/// Why a trunk takes no call out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// As many calls are up over it as may be.
    Full,
    /// As many have begun within the last second as may.
    Pace,
    /// It is no trunk to call out over: it has neither a gateway nor a registrar nor a single address.
    NoGateway,
    /// Such a number is not called over it.
    Destination,
    /// As many calls went out over it today as may.
    CallsOfDay,
    /// Those of today were as long as they may be.
    MinutesOfDay,
    /// It does not answer.
    Down,
    /// It does not show this caller ID.
    CallerId,
    /// Whoever asks for it may not have such a machine called: Milo itself, one on this machine, or in a network that is not theirs.
    Address,
    /// Whoever calls may not call such a number: its account's `allow` and `deny`.
    Account,
}

impl Denied {
    /// Whether it passes by itself, and soon.
    pub fn passes(self) -> bool {
        matches!(self, Self::Full | Self::Pace | Self::Down)
    }

    /// What the event of a call says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full | Self::Pace => "the trunk carries no more",
            Self::Destination => "the trunk does not call this number",
            Self::CallsOfDay => "the trunk has carried its calls of today",
            Self::MinutesOfDay => "the trunk has carried its minutes of today",
            Self::Down => "the trunk does not answer",
            Self::NoGateway => "the trunk has no gateway",
            Self::CallerId => "the trunk does not show this caller ID",
            Self::Address => "they may not have this address called",
            Self::Account => "the account does not call this number",
        }
    }
}
