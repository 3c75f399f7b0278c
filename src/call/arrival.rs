//! What is known, and believed, of a call that comes.

use jiff::Timestamp;
use milo_signaling::{Identity, Invitation};

use crate::{
    dialplan::{Edition, Facts, Identified},
    store::Stamp,
    trunk::{Trunk, dialled},
};

/// What a plan may be chosen by.
pub(super) fn facts(invitation: &Invitation, trunk: Option<&Trunk>, identity: &Identity, edition: &Edition) -> Facts {
    let named = |name: &str| {
        let all: Vec<_> = invitation.header_all(name).collect();
        (!all.is_empty()).then(|| (name.to_owned(), all.join(", ")))
    };
    Facts {
        from: invitation.from_number().into(),
        to: invitation.to_number().into(),
        trunk: trunk.map(|trunk| trunk.name().to_owned()),
        headers: edition.dialplans.header_names().filter_map(named).collect(),
        at: Timestamp::from_millisecond(Stamp::now().millis()).unwrap_or_default(),
        identity: identified(identity),
    }
}

/// What is believed of a caller beside its From. What a trunk says is; a telephone that is registered here, or somebody on this
/// machine, may write what it likes (RFC 3324), and is heard only where it wants less to be shown.
pub(super) fn believed(invitation: &Invitation, trunk: Option<&Trunk>) -> Identity {
    let said = invitation.identity();
    match trunk {
        Some(_) if invitation.account().is_none() => said.clone(),
        _ => Identity { is_private: said.is_private, ..Identity::default() },
    }
}

/// The same as plans know it.
fn identified(identity: &Identity) -> Identified {
    let first = identity.diverted.first();
    Identified {
        asserted: identity.asserted.iter().find_map(dialled).unwrap_or_default(),
        is_private: identity.is_private,
        diverted_from: first.and_then(|one| dialled(&one.from)).unwrap_or_default(),
        diverted_why: first.map(|one| one.why.clone()).unwrap_or_default(),
    }
}
