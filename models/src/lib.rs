#![warn(missing_docs)]
//! Milo's engines: what hears, understands, thinks and speaks. Knows no call, no SIP and no database.
//!
//! ```text
//!  frames ─► silero::VoiceActivity ─► probability of speech, each 32 ms
//!  a pause ─► end_of_turn::EndOfTurn ─► probability that the turn is over
//!  a turn ─► Transcriber ─► Transcript (text, language, confidence)          whisper, ctc | openai
//!  messages ─► LanguageModel ─► Reply: tokens with their logprobs            llama   | openai, anthropic
//!  a text ─► phrases, translator::Translator ─► Translation (text, confidence)  NLLB, M2M100
//!  a clause ─► text::speakable ─► Synthesizer ─► Speech: samples at 16 kHz   espeak, vits | openai
//! ```
//! An engine of this process is a handle that is cheap to clone, and one OS thread that owns its model and serves every call from one
//! bounded queue, calls first, and takes turns with the others on the device that they compute on ([`queue`]). Its graph may run on an
//! inference server ([`kserve`]): the thread then waits for that one's answer. An engine on a server ([`remote`]) is a task a request, so
//! many at once. Where there is no place, either refuses at once with [`engine::EngineError::Overloaded`]; nobody waits in line for a
//! caller who has left: dropping an answer, a [`language_model::Reply`] or a [`synthesizer::Speech`] cancels its work.
//!
//! The life of a reply: the prompt's known beginning is copied from a sequence that was read at load, the rest is read in
//! pieces between the steps of other calls, each step decodes one token for every call that generates, [`text::clauses`]
//! cuts the stream where a voice may breathe, and the voice speaks clause by clause while the model goes on.
//!
//! [`text`] and the Malagasy voice are rules; [`evaluation`] holds them to the sets of `models/evaluation/`.
//!
//! [`demo`] carries the small models that ship, [`manifest`] says what they are and checks them; how they were made stands
//! in `models/training/`, what they can do on the card beside each. [`catalogue`] lists the larger ones that may be fetched.

pub mod anthropic;
pub mod catalogue;
pub mod ctc;
pub mod demo;
pub mod end_of_turn;
pub mod engine;
pub mod espeak;
pub mod evaluation;
pub mod json_schema;
pub mod kserve;
pub mod language_model;
pub mod llama;
pub mod manifest;
mod mel;
pub mod onnx;
pub mod openai;
mod pages;
pub mod phrases;
pub mod queue;
pub mod remote;
mod shape;
pub mod silero;
pub mod synthesizer;
pub mod text;
pub mod tools;
pub mod transcriber;
pub mod translator;
pub mod vits;
pub mod whisper;
