#![warn(missing_docs)]
//! Milo's engines.

pub mod engine;
