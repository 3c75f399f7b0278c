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
    /// It does not show this caller ID.
    CallerId,
}

impl Denied {
    /// Whether it passes by itself, and soon.
    pub fn passes(self) -> bool {
        matches!(self, Self::Full | Self::Pace)
    }

    /// What the event of a call says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full | Self::Pace => "the trunk carries no more",
            Self::NoGateway => "the trunk has no gateway",
            Self::CallerId => "the trunk does not show this caller ID",
        }
    }
}
