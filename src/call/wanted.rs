//! A call that somebody has Milo place: what is wanted, and what they are told.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{dialplan::TrunkNames, store::Key};

/// A call that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// A number, or a SIP address.
    pub to: String,
    /// The trunks that a number is called over; none: the only one there is.
    pub trunks: Option<TrunkNames>,
    /// What happens when it is answered; none: the plan `outgoing`.
    pub plan: Option<String>,
    /// What the plan is given.
    pub variables: BTreeMap<String, String>,
    /// Who calls; none: as the trunk says, else `milo`.
    pub caller_id: Option<String>,
    /// Whoever is called is not to see who calls.
    pub private: bool,
    /// Further header fields of the INVITE.
    pub headers: BTreeMap<String, String>,
    /// How long it may ring.
    pub ring: Duration,
}

/// A call that is being placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Placed {
    /// Its identifier in the log.
    pub id: Key,
    /// Who is called: the number, or the user part of the address.
    #[schema(example = "0341234567")]
    pub to: String,
    /// The first trunk it is tried over.
    #[schema(example = "carrier")]
    pub trunk: Option<String>,
    /// Its plan.
    #[schema(example = "outgoing")]
    pub plan: String,
}

/// Why a call is not placed: a sentence each, and when to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPlaced {
    /// It cannot be placed as it is wanted.
    Wrong(String),
    /// Nobody may place such a call.
    Forbidden(String),
    /// Too many begin at once; in so many seconds there is room.
    TooMany(String, u64),
    /// There is no room now; perhaps in so many seconds.
    Busy(String, u64),
    /// As many calls are up as may be.
    Full,
}

impl NotPlaced {
    /// The sentence.
    pub fn says(&self) -> &str {
        match self {
            Self::Wrong(says) | Self::Forbidden(says) | Self::TooMany(says, _) | Self::Busy(says, _) => says,
            Self::Full => "as many calls are up as may be ([limits] calls)",
        }
    }
}
