//! What can stop Milo, or a part of it, from working.

use milo_models::engine::EngineError;

use crate::dialplan::Faults;

/// One enum for the whole program; a variant says which part is concerned, its sentence what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plan that is not as it was checked.
    #[error("{0}")]
    Dialplan(String),
    /// The files of dialplans and personas.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// An engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The far side did not take a call.
    #[error("the call was refused: {code} {reason}")]
    Refused {
        /// The SIP status.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// The call did not come up.
    #[error("the call did not come up: {0}")]
    NotUp(String),
    /// A call could not be placed, answered or continued.
    #[error(transparent)]
    Signaling(#[from] milo_signaling::SignalingError),
    /// Audio files and legs.
    #[error(transparent)]
    Media(#[from] milo_media::MediaError),
}
