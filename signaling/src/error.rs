//! What can go wrong, told by what the caller of it can do.

use std::net::SocketAddr;

/// An error of the signaling plane.
#[derive(Debug, thiserror::Error)]
pub enum SignalingError {
    /// A listener could not be opened: choose another address or end the program that holds this one.
    #[error("cannot listen for SIP on {transport} {address}: {reason}")]
    Bind {
        /// `udp` or `tcp`.
        transport: crate::sip::flow::Transport,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said; it stands in the sentence, so it is no further cause.
        reason: std::io::Error,
    },
    /// A file of certificates or keys cannot be used: replace it.
    #[error("the certificate file {} cannot be used: {reason}", .path.display())]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The call is over already, most often because the other side gave up: there is nothing left to do for it.
    #[error("the call is over")]
    Gone,
    /// The target cannot be called as it stands: correct it. The sentence says what is wrong.
    #[error("cannot call {target}: {reason}")]
    Target {
        /// The URI asked for.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody was reached at any place of the target: it may be down, or shut off from here.
    #[error("nobody was reached at {target}: {reason}")]
    Unreached {
        /// The URI asked for.
        target: String,
        /// What came of the last place.
        reason: String,
    },
    /// The two sides found no audio in common; the call has been refused.
    #[error("no audio in common: {0}")]
    Offer(String),
    /// The other side did not take a key that was told by SIP INFO: it wants keys another way.
    #[error("the other side takes no keys by SIP INFO: it answered {code}")]
    Key {
        /// Its answer; 408 when none came, 503 when the INFO could not be sent.
        code: u16,
    },
    /// The other side refuses what was asked of it within the call; the call goes on as it was.
    #[error("the other side refuses: it answered {code}")]
    Refused {
        /// Its answer, 300 to 699; 408 when none came, 503 when the request could not be sent.
        code: u16,
    },
    /// As many calls are up as the configuration allows: try later.
    #[error("{limit} calls are up, and that is the limit")]
    Full {
        /// `max_calls`.
        limit: usize,
    },
    /// The endpoint has been shut down.
    #[error("the SIP endpoint has been shut down")]
    Stopped,
    /// The call's RTP socket could not be had.
    #[error(transparent)]
    Media(#[from] milo_media::MediaError),
}
