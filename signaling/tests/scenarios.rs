//! The telephone as its peers meet it, in virtual time and over real sockets.
//!
//! One program, since each program more costs a build its linking; a part of it runs with
//! `cargo test --release -p milo-signaling --test scenarios refer::`.

mod address;
mod browser;
mod dns;
mod line;

mod answering_machine;
mod called;
mod calling;
mod calls;
mod challenged;
mod early;
mod forged;
mod framing;
mod hold;
mod hostile;
mod info;
mod keep_alive;
mod locating;
mod logins;
mod lost;
mod mutations;
mod odd_orders;
mod outside;
mod pinging;
mod reasons;
mod refer;
mod registering;
mod registrar;
mod replaces;
mod routes;
mod secured;
mod session_timers;
mod sipp;
mod storm;
mod texts;
mod tls;
mod torture;
mod updates;
mod web;
mod webrtc_calls;
