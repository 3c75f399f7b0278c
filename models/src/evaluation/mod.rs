//! How well Milo reads, hears, answers and translates: the sets of `models/evaluation/`, and what is right of them.
//!
//! The sets are plain files that ship with the source; `milo eval` prints their scores. Rules must have all of them right, and tests hold
//! them to it; models have what they have. Transcripts of any ears are judged by one normaliser ([`wer`]), of the shipped sentences
//! ([`speech`]), of recordings that anybody has ([`recordings`]) and of what a voice says ([`voice`]).

pub mod dialogue;
mod line;
mod noises;
pub mod phonemes;
pub mod recordings;
mod score;
pub mod speech;
pub mod text;
pub mod translation;
pub mod voice;
pub mod wer;

pub use noises::cough;
pub use score::{Figure, Score, rows};
