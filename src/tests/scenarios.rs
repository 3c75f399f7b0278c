//! Milo as its callers and operators meet it: every scenario starts the program itself and calls it over real sockets.
//!
//! They are one program, since each program more costs a build its linking; one scenario runs with
//! `cargo test --release -p milo --test scenarios alone::conversation::`.

#[path = "../../signaling/tests/dns.rs"]
mod dns;
mod house;
mod telephone;

mod accounts;
mod alone;
mod attended;
mod bad_input;
mod bans;
mod call_log;
mod calling_out;
mod destinations;
mod dialling;
mod digits;
mod early_media;
mod failing_engines;
mod identity;
mod kamailio;
mod limits;
mod linphone;
mod on_hold;
mod other_telephones;
mod other_ways;
mod page;
mod plans;
mod queue_calls;
mod queues;
mod referring;
mod registered;
mod secured;
mod sip_seen;
mod soak;
mod starting_and_ending;
mod strangers;
mod text;
mod texts;
mod transports;
mod trunk_down;
mod trunk_logins;
mod trunk_servers;
mod trunk_tls;
mod trunks;
mod webhooks;
