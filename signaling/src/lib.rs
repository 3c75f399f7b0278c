#![warn(missing_docs)]
//! (story)
