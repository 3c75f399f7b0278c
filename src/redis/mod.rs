//! What several Milos share through a Redis. Off unless `[redis] url` is set, and never needed: whatever is asked of it is answered
//! without it while it is away, by what this node has itself.
//!
//! ```text
//! Redis ─┬─ line.rs      one connection and the task that watches it; nobody waits longer than 200 ms, and nobody while it is down
//!        ├─ news.rs      what other nodes say, as they say it (PUBLISH, SUBSCRIBE)
//!        ├─ sessions.rs  milo:session:ID    a sorted set: exchanges, by when they began
//!        ├─ counts.rs    milo:pace:WHOM     requests within the hour that began with the first
//!        ├─ cache.rs     milo:cache:NAME:…  what was made before, bounded by bytes and time
//!        ├─ revoked.rs   milo:revoked       a sorted set: keys that are revoked, by when
//!        └─ tickets.rs   milo:ticket:HASH   whose a ticket is, until it is used
//! ```
//! Each thing that is asked is one script, and so happens whole or not at all, whoever else asks. The keys of a script are not all
//! named beforehand: one Redis (with its replicas), not a cluster.

mod cache;
mod counts;
mod line;
mod news;
#[cfg(test)]
mod real_server;
mod revoked;
mod sessions;
#[cfg(test)]
mod tests;
mod tickets;

pub(crate) use cache::Shelf;
pub(crate) use counts::{Counted, Known};
pub use line::{Kind, Redis, RedisError};
pub(crate) use news::News;
pub(crate) use sessions::Recalled;
