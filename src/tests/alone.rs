//! Scenarios that measure time, and want the machine for themselves: `make test` runs them after the others, two at a time.

mod conversation;
mod own_echo;
mod pauses;
mod questions;
mod recording;
mod recording_control;
mod taking_turns;
