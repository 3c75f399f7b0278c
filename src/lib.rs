//! Milo Voice: a telephone voice agent that speaks Malagasy first.
//!
//! ```text
//!  phone ── SIP/RTP ──► signaling ─► media ─► call ─► agent ─► models (voice activity, transcriber, language model, voice)
//!                                              │
//!  browser, curl ── HTTP ──► http ─► store ◄── log          /metrics ─► Prometheus
//! ```
//! [`server::Server`] composes everything and owns what runs. An incoming call becomes one task that runs [`call::run`] (one that Milo places, [`call::place`]): a
//! straight line through the verbs of its [`dialplan`], of which `converse` is the [`agent`]. The agent's loop stands in
//! `agent/mod.rs`: greet, listen, understand, reply clause by clause, be interrupted, say goodbye. What was heard and said is
//! written by [`store`], and what came of it by the model ([`after`]); [`http`] shows it. [`phone`] is the other end of the line, for people, benches and tests, and [`sim`] plays whole callers on it; [`replay`] hears recorded calls again, with other thresholds.

pub mod accounts;
pub mod after;
pub mod agent;
pub mod batch;
pub mod bench;
pub mod call;
pub mod campaign;
pub mod chat;
pub mod config;
pub mod dialplan;
pub mod doctor;
pub mod engines;
pub mod error;
pub mod eval;
pub mod gpu;
pub mod http;
pub mod keys;
pub mod likeness;
pub mod logging;
pub mod mcp;
pub mod metrics;
pub mod notices;
pub mod phone;
pub mod press;
pub mod redis;
pub mod replay;
pub mod self_call;
pub mod server;
pub mod sim;
pub mod store;
pub mod texts;
pub mod traces;
pub mod trunk;
pub mod webhook;
pub mod weights;
