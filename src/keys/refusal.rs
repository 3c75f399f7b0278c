//! Why a key is not taken, and why none is made.

use crate::store::{Stamp, StoreError};

/// Why a key that was sent is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none like it.
    #[error("this key is not the right one")]
    Unknown,
    /// It has ended.
    #[error("this key expired at {0}")]
    Expired(Stamp),
    /// It was rotated, and the time in which both are taken is over.
    #[error("this key was replaced by another; the time in which both are taken ended at {0}")]
    Replaced(Stamp),
    /// It was revoked.
    #[error("this key was revoked at {0}")]
    Revoked(Stamp),
    /// It is a ticket, and not good.
    #[error("this ticket is not good: each is good once, for a minute at most, and for what it was made for")]
    Ticket,
    /// It is a link to sign in by, and not good.
    #[error("this link is not good: it signs in once, within minutes of Milo's start; start Milo anew for another")]
    Link,
}

/// What can go wrong with the making of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// What was asked cannot be; the sentence says what would be right.
    #[error("{0}")]
    Wrong(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
