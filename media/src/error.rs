//! What can go wrong in the media plane; the variant says what its caller can do.

use std::{io, net::SocketAddr, path::PathBuf};

/// An error of the media plane.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// No RTP port is free: refuse the call (SIP 503), or widen the range.
    #[error(
        "no RTP port is free: {in_use} of the {total} even ports from {first} to {last} are in use or rest for 2 s after a call; widen [media] rtp_ports"
    )]
    PortsExhausted {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
        /// How many even ports the range has.
        total: usize,
        /// How many of them are bound by calls now.
        in_use: usize,
    },
    /// The system refused a socket on this address: the address is not ours, or descriptors ran out.
    #[error("cannot open an RTP socket on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No telephone has this key: press another.
    #[error("no telephone has the key {key:?}; there are 0 to 9, *, # and A to D")]
    Key {
        /// What was to be pressed.
        key: char,
    },
    /// A file is no WAV file that can be read. The sentence names the file, what is wrong and what would be right.
    #[error("{}: {reason}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be opened, read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried: "open", "read", "write".
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// No resampler exists between these rates (Hz).
    #[error("cannot resample from {from} Hz to {to} Hz; both must lie between 4000 and 192000")]
    Rate {
        /// Rate of the input in Hz.
        from: u32,
        /// Rate wanted in Hz.
        to: u32,
    },
    /// No certificate for DTLS-SRTP could be made.
    #[error("cannot make a certificate for DTLS-SRTP: {reason}")]
    Identity {
        /// What is wrong.
        reason: String,
    },
    /// A file is no sound that can be played. The sentence names the file, what is wrong and what would be right.
    #[error("{}: {reason}", path.display())]
    Sound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A recording cannot be begun: the call goes on without.
    #[error("the call is not recorded: {reason}")]
    Recorder {
        /// Why.
        reason: String,
    },
}
