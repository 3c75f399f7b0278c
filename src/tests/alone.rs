//! Scenarios that measure time, and want the machine for themselves: `make test` runs them after the others, two at a time.

mod conversation;
mod full;
mod own_echo;
mod pauses;
mod questions;
mod recording;
mod recording_control;
mod replay;
mod taking_turns;

use std::path::Path;

/// A graph that takes the beginning of `mg_pause.wav` for unfinished and all of it for finished, and `mg_hours.wav` too.
const BY_LENGTH: &str = "models/tests/turn_tiny/by_length.onnx";

fn by_length() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(BY_LENGTH).display().to_string()
}
