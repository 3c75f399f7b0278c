//! RTP (RFC 3550), without a socket and without a clock.

pub mod packet;
