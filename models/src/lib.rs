#![warn(missing_docs)]
//! Milo's engines.

pub mod demo;
pub mod engine;
pub mod espeak;
pub mod llama;
pub mod manifest;
mod mel;
pub mod onnx;
pub mod silero;
pub mod text;
pub mod whisper;
