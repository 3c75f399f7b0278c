#![warn(missing_docs)]
//! Milo's engines.

pub mod engine;
pub mod espeak;
pub mod llama;
pub mod text;
