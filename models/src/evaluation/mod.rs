//! How well Milo reads, hears and translates by its rules: the sets of `models/evaluation/`, and what is right of them.
//!
//! The sets are plain files that ship with the source; `milo eval` prints their scores, and tests hold them to what they must be.

pub mod phonemes;
mod score;
pub mod text;
pub mod translation;

pub use score::{Score, rows};
