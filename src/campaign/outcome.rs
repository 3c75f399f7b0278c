//! What comes of a call of a campaign.

use crate::store::Logged;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody answered.
    Answered,
    /// An answering machine did.
    Machine,
    /// They speak with somebody else.
    Busy,
    /// It rang for too long, or nothing was heard at all.
    NoAnswer,
    /// They, or the network, do not take the call.
    Refused,
    /// It could not be placed.
    Failed,
    /// Somebody ended it by the API before the answer.
    Cancelled,
    /// Milo was stopped while it was up, or is gone.
    Interrupted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Machine,
        Self::Busy,
        Self::NoAnswer,
        Self::Refused,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// As it stands in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Machine => "machine",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// What the log says of a call that is over.
    pub(super) fn of(logged: &Logged) -> Self {
        if logged.is_cut_off {
            return Self::Interrupted;
        }
        match logged.outcome.as_deref() {
            Some("answered") if by_machine(logged) => Self::Machine,
            Some("answered") => Self::Answered,
            Some("busy") => Self::Busy,
            Some("no answer") => Self::NoAnswer,
            Some("refused") => Self::Refused,
            Some("cancelled") => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Whether the event `answered_by` says that it was a machine.
fn by_machine(logged: &Logged) -> bool {
    logged.answered_by.as_ref().is_some_and(|detail| detail["who"] == "machine")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn logged(outcome: &str) -> Logged {
        Logged { outcome: Some(outcome.into()), reason: None, is_cut_off: false, answered_by: None }
    }

    #[test]
    fn what_the_log_says_is_what_came_of_it() {
        for (said, outcome) in [
            ("answered", Outcome::Answered),
            ("busy", Outcome::Busy),
            ("no answer", Outcome::NoAnswer),
            ("refused", Outcome::Refused),
            ("failed", Outcome::Failed),
            ("cancelled", Outcome::Cancelled),
        ] {
            assert_eq!(Outcome::of(&logged(said)), outcome);
        }
        for up in ["answered", "cancelled"] {
            let cut_off = Logged { is_cut_off: true, ..logged(up) };
            assert_eq!(Outcome::of(&cut_off), Outcome::Interrupted, "{up}");
        }
        for (who, outcome) in
            [("machine", Outcome::Machine), ("person", Outcome::Answered), ("unknown", Outcome::Answered)]
        {
            let heard = Logged { answered_by: Some(json!({ "who": who, "why": "it beeps" })), ..logged("answered") };
            assert_eq!(Outcome::of(&heard), outcome, "{who}");
        }
        let nobody = Logged { answered_by: Some(json!({ "who": "machine" })), ..logged("busy") };
        assert_eq!(Outcome::of(&nobody), Outcome::Busy);
    }
}
