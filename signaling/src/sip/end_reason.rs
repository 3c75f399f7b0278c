//! Why a call is over.

/// Why a call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The other side hung up.
    RemoteHangup,
    /// The caller gave up before the answer.
    Cancelled,
    /// The other side refused, or nobody answered: status code and reason phrase.
    Rejected {
        /// 300 to 699; 408 also when no response came at all, 503 when the request could not be sent.
        code: u16,
        /// The phrase as it came.
        reason: String,
    },
    /// Our answer, or what we said before it, was never acknowledged (RFC 3261 section 13.3.1.4, RFC 3262 section 3).
    Unacknowledged,
    /// The session was not refreshed in time (RFC 4028 section 10).
    SessionExpired,
    /// A request of ours within the call showed that the other side has lost it (RFC 3261 section 12.2.1.2).
    Lost {
        /// 481, or 408 also when no response came at all, 503 when the request could not be sent.
        code: u16,
    },
    /// The other side's SDP cannot be used. The sentence says why.
    BadMedia(String),
    /// The endpoint has been shut down.
    Shutdown,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RemoteHangup => f.write_str("the other side hung up"),
            Self::Cancelled => f.write_str("the caller gave up before the answer"),
            Self::Rejected { code, reason } => write!(f, "refused: {code} {reason}"),
            Self::Unacknowledged => f.write_str("the answer was never acknowledged"),
            Self::SessionExpired => f.write_str("the session was not refreshed in time"),
            Self::Lost { code } => write!(f, "the other side no longer knows the call, or is gone: {code}"),
            Self::BadMedia(why) => write!(f, "the audio could not be agreed on: {why}"),
            Self::Shutdown => f.write_str("the endpoint was shut down"),
        }
    }
}
