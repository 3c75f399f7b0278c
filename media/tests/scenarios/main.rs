//! One party's audio over loopback UDP: what a leg does with a real socket and a real clock.

mod bridge;
mod codecs;
mod control;
mod crossing;
mod hold;
mod keys;
mod line;
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
mod load;
mod peer;
mod queues;
mod reports;
mod secured;
mod silence;
