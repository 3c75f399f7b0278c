#![warn(missing_docs)]
//! Milo's media plane.
pub mod codec;
mod ears;
mod error;
mod frame;
mod leg;
mod port_pool;
pub mod resample;
mod rtp;
mod session;
mod voice;

pub use codec::{CODECS, Codec};
pub use ears::{Closed, Ears, Heard, HeardFrame};
pub use error::MediaError;
pub use frame::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE};
pub use leg::{Control, Leg, LegOptions, LegStats};
pub use port_pool::{PortPool, RtpSocket};
pub use session::{Direction, Session};
pub use voice::{Played, Voice};
