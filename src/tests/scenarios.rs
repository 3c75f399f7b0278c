//! Milo as its callers and operators meet it: every scenario starts the program itself and calls it over real sockets.
//!
//! They are one program, since each program more costs a build its linking; one scenario runs with
//! `cargo test --release -p milo --test scenarios conversation::`.

mod house;

mod accounts;
mod bad_input;
mod bans;
mod call_log;
mod calling_out;
mod conversation;
mod destinations;
mod dialling;
mod digits;
mod early_media;
mod failing_engines;
mod identity;
mod kamailio;
mod linphone;
mod other_telephones;
mod other_ways;
mod own_echo;
mod page;
mod plans;
mod recording;
mod recording_control;
mod registered;
mod secured;
mod sip_seen;
mod soak;
mod starting_and_ending;
mod strangers;
mod transports;
mod trunk_down;
mod trunks;
