//! Milo as its callers and operators meet it: every scenario starts the program itself and calls it over real sockets.
//!
//! They are one program, since each program more costs a build its linking; one scenario runs with
//! `cargo test --release -p milo --test scenarios alone::conversation::`.

#[path = "../../signaling/tests/address.rs"]
mod address;
#[path = "../../signaling/tests/browser/mod.rs"]
mod browser;
mod by_hand;
mod database;
#[path = "../../signaling/tests/dns.rs"]
mod dns;
mod house;
mod telephone;

mod account_places;
mod accounts;
mod after;
mod aiortc;
mod alone;
mod attended;
mod bad_input;
mod bans;
mod batch;
mod behind_nat;
mod call_log;
mod caller_ids;
mod calling_out;
mod client_page;
mod destinations;
mod dialling;
mod digits;
mod digits_across;
mod document;
mod early_media;
mod failing_engines;
mod frame;
mod hosted;
mod hostile_http;
mod identity;
mod journal;
mod kamailio;
mod limits;
mod linphone;
mod mcp;
mod notices;
mod observed;
mod on_hold;
mod openai;
mod other_telephones;
mod other_ways;
mod page;
mod picking_up;
mod plan_conditions;
mod plans;
mod priorities;
mod python_system;
mod queue_calls;
mod queues;
mod reference;
mod referring;
mod referring_accounts;
mod registered;
mod relay;
mod secured;
mod sharing;
mod sign_in;
mod sim;
mod sip_seen;
mod soak;
mod starting_and_ending;
mod strangers;
mod supervising;
mod text;
mod texts;
mod tools;
mod translation;
mod transports;
mod trunk_down;
mod trunk_logins;
mod trunk_network;
mod trunk_registers_tls;
mod trunk_servers;
mod trunk_tls;
mod trunk_ways;
mod trunks;
mod warm;
mod web_calls;
mod web_faults;
mod web_page;
mod web_stream;
mod web_tickets;
mod webhooks;
mod webrtc_calls;
mod webrtc_page;
mod webrtc_turns;
mod whip;
